"""The repository serves what is on disk: checked before it is served, replaced without a gap, never half."""

import asyncio
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service import bundle
from service.bundle import Manifest
from service.bundle.seal import SEAL
from service.engine.batcher import Job
from service.engine.repository import Repository
from service.errors import NotReady, UnknownModel, UnknownVersion
from service.metrics import Metrics
from service.settings import Settings
from service.stage_pool import Caller
from tests import toys
from tests.service.conftest import loaded
from training.signing import sign


def test_every_bundle_of_the_folder_is_served(toy_models: Path) -> None:
    repository = loaded(toy_models)
    assert repository.ready
    assert sorted(repository.models) == bundle.names(toy_models)


def test_the_settings_may_name_a_few(toy_models: Path) -> None:
    assert list(loaded(toy_models, models=("toy-ct",)).models) == ["toy-ct"]


def test_an_empty_folder_is_never_ready(tmp_path: Path) -> None:
    assert not loaded(tmp_path).ready


def test_a_declared_model_that_is_not_there_keeps_the_service_from_being_ready(toy_models: Path) -> None:
    repository = loaded(toy_models, models=("toy-ct", "nobody"))
    assert not repository.ready
    assert "nobody" in repository.state
    assert repository.pick("toy-ct", None).manifest.name == "toy-ct"


@pytest.mark.parametrize("file", [bundle.GRAPH, bundle.GOLDEN, bundle.MANIFEST])
def test_a_broken_bundle_leaves_the_others_serving(tmp_path: Path, file: str) -> None:
    toys.digits(tmp_path)
    (toys.ct(tmp_path) / file).write_bytes(b"broken")
    repository = loaded(tmp_path)
    assert list(repository.models) == ["toy-digits"]
    assert not repository.ready


def test_a_model_that_does_not_reproduce_its_golden_outputs_is_not_served(tmp_path: Path) -> None:
    toys.ct(tmp_path)
    folder = toys.tensors(tmp_path)
    with np.load(folder / bundle.GOLDEN) as golden:
        np.savez(folder / bundle.GOLDEN, **(dict(golden) | {"out.y": golden["out.y"] + 1}))
    manifest = Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    sha256 = manifest.sha256 | {bundle.GOLDEN: bundle.file_sha256(folder / bundle.GOLDEN)}
    bundle.write_manifest(folder, manifest.model_copy(update={"sha256": sha256}))
    assert list(loaded(tmp_path).models) == ["toy-ct"]


def test_a_model_is_picked_by_name_version_and_task(repository: Repository) -> None:
    assert repository.pick("toy-ct", None).manifest.name == "toy-ct"
    assert repository.pick("toy-ct", "1", "ct-denoising").manifest.name == "toy-ct"
    for name, kind in (("nobody", None), ("toy-ct", "credit-scoring")):
        with pytest.raises(UnknownModel, match="Served here: "):
            repository.pick(name, None, kind)
    with pytest.raises(UnknownVersion, match="Served of toy-ct: 1"):
        repository.pick("toy-ct", "2")


def test_a_new_version_replaces_the_old_and_a_broken_one_does_not(tmp_path: Path) -> None:
    async def scene() -> None:
        toys.ct(tmp_path)
        repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
        await repository.load()
        old = repository.pick("toy-ct", None)
        toys.ct(tmp_path, version="2")
        await repository.refresh()
        assert repository.pick("toy-ct", None).manifest.version == "2"
        job = Job(old.bundle.golden()[0], Caller(float("inf"), lambda: False))
        assert old.loaded is not None
        old.bundle.check_golden(await old.loaded.outputs(job))  # whoever still holds the old one finishes on it
        (toys.ct(tmp_path, version="3") / bundle.GRAPH).write_bytes(b"broken")
        await repository.refresh()
        assert repository.pick("toy-ct", None).manifest.version == "2"
        assert repository.ready
        states = {entry.version: entry.state for entry in repository.index()}
        assert states == {"2": "READY", "3": "UNAVAILABLE"}

    asyncio.run(scene())


def test_a_model_whose_folder_is_gone_is_no_longer_served(tmp_path: Path) -> None:
    async def scene() -> None:
        toys.ct(tmp_path)
        toys.digits(tmp_path)
        repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
        await repository.load()
        shutil.rmtree(tmp_path / "toy-ct")
        await repository.refresh()
        assert list(repository.models) == ["toy-digits"]

    asyncio.run(scene())


def test_a_broken_bundle_is_forgotten_with_its_folder(tmp_path: Path) -> None:
    toys.ct(tmp_path)
    folder = toys.digits(tmp_path)
    (folder / bundle.GRAPH).write_bytes(b"broken")
    repository = loaded(tmp_path)
    assert not repository.ready
    shutil.rmtree(folder.parent)
    asyncio.run(repository.refresh())
    assert repository.ready


def test_a_broken_bundle_is_served_once_it_is_restored(tmp_path: Path) -> None:
    folder = toys.digits(tmp_path)
    whole = (folder / bundle.GRAPH).read_bytes()
    (folder / bundle.GRAPH).write_bytes(b"broken")
    repository = loaded(tmp_path)
    asyncio.run(repository.refresh())
    assert repository.metrics.failed_loads == {("toy-digits",): 1}
    (folder / bundle.GRAPH).write_bytes(whole)
    asyncio.run(repository.refresh())
    assert list(repository.models) == ["toy-digits"]
    assert repository.ready


@pytest.mark.parametrize("what", ["bytes", "a folder"])
def test_a_model_whose_version_cannot_be_read_leaves_the_others_serving(tmp_path: Path, what: str) -> None:
    toys.ct(tmp_path)
    current = toys.digits(tmp_path).parent / bundle.CURRENT
    if what == "bytes":
        current.write_bytes(b"\xff\xfe")
    else:
        current.unlink()
        current.mkdir()
    assert list(loaded(tmp_path).models) == ["toy-ct"]


def test_readiness_ends_when_draining_begins(toy_models: Path) -> None:
    repository = loaded(toy_models, models=("toy-ct",))
    repository.draining = True
    assert not repository.ready


def test_a_file_that_cannot_be_looked_at_keeps_no_other_model_away(tmp_path: Path) -> None:
    toys.ct(tmp_path)
    toys.tensors(tmp_path)
    (tmp_path / "toy-ct" / "1" / "loose").symlink_to("/nowhere")
    assert "toy-tensors" in loaded(tmp_path).models


def test_what_is_served_stays_while_the_folder_is_away(tmp_path: Path) -> None:
    models = tmp_path / "models"
    toys.tensors(models)
    repository = loaded(models)
    models.rename(tmp_path / "run_in_thread")
    asyncio.run(repository.refresh())
    assert list(repository.models) == ["toy-tensors"]


def test_a_worker_that_starts_when_all_is_unloaded_is_ready(tmp_path: Path) -> None:
    models = tmp_path / "models"
    toys.tensors(models)
    metrics = Metrics()
    metrics.shared = tmp_path / "shared"
    metrics.publish()
    before, after = (Repository(Settings(models_dir=models, threads=1), metrics) for _ in range(2))
    asyncio.run(before.load())
    asyncio.run(before.set_loaded("toy-tensors", False))
    asyncio.run(after.load())
    assert after.ready
    assert after.models == {}


AT_ONCE = 4
WORKERS = {
    "processes": partial(ProcessPoolExecutor, mp_context=get_context("spawn")),  # a fork with threads may hang
    "threads": ThreadPoolExecutor,
}


def sharing(models: Path, shared: Path) -> Repository:
    """The repository of a worker that shares `shared` with others."""
    repository = Repository(Settings(models_dir=models, threads=1), Metrics())
    repository.metrics.shared = shared
    return repository


def unload_again_and_again(models: Path, shared: Path, name: str) -> None:
    async def scene() -> None:
        repository = sharing(models, shared)
        for wanted in [True, False] * 20:
            await repository.set_loaded(name, wanted)

    asyncio.run(scene())


@pytest.mark.parametrize("kind", WORKERS)
def test_changes_that_workers_make_at_once_are_all_kept(tmp_path: Path, kind: str) -> None:
    models, shared = tmp_path / "models", tmp_path / "shared"
    names = [f"toy-{number}" for number in range(AT_ONCE)]
    for name in names:
        toys.tensors(models, name)
    shared.mkdir(mode=0o700)
    with WORKERS[kind](AT_ONCE) as workers:
        for change in [workers.submit(unload_again_and_again, models, shared, name) for name in names]:
            change.result()
    repository = sharing(models, shared)
    asyncio.run(repository.load())
    assert repository.models == {}


def test_a_volume_that_goes_away_takes_no_model_along_and_is_said(tmp_path: Path) -> None:
    models = tmp_path / "models"
    toys.tensors(models)
    repository = loaded(models)
    models.rename(tmp_path / "unmounted")
    models.mkdir()
    asyncio.run(repository.refresh())
    assert list(repository.models) == ["toy-tensors"]
    assert not repository.ready
    assert "away or empty" in repository.state
    models.rmdir()
    (tmp_path / "unmounted").rename(models)
    asyncio.run(repository.refresh())
    assert repository.ready


def test_the_folder_is_away_when_it_holds_none_of_the_models_to_be_served(tmp_path: Path) -> None:
    folder = toys.tensors(tmp_path)
    toys.ct(tmp_path)
    repository = loaded(tmp_path, models=("toy-tensors",))
    shutil.rmtree(folder.parent)
    asyncio.run(repository.refresh())
    assert list(repository.models) == ["toy-tensors"]
    assert "away or empty" in repository.state
    assert not repository.ready


def test_what_is_asked_of_a_repository_waits_for_no_disk(tmp_path: Path) -> None:
    """It knows what it saw last: the folder may be on a network."""
    models = tmp_path / "models"
    toys.tensors(models)
    repository = loaded(models)
    models.rename(tmp_path / "run_in_thread")
    assert [(one.name, one.state) for one in repository.index()] == [("toy-tensors", "READY")]
    assert repository.declared() == ["toy-tensors"]


def test_a_folder_that_cannot_be_entered_is_a_refusal(tmp_path: Path) -> None:
    toys.tensors(tmp_path)
    (tmp_path / "closed").symlink_to("closed")  # also for root
    repository = loaded(tmp_path)
    assert not repository.ready
    assert [(one.name, one.state) for one in repository.index()] == [
        ("closed", "UNAVAILABLE"),
        ("toy-tensors", "READY"),
    ]


@pytest.mark.parametrize("file", [bundle.CURRENT, bundle.MANIFEST])
def test_a_pipe_is_refused_and_nobody_waits_for_its_end(tmp_path: Path, file: str) -> None:
    toys.ct(tmp_path)
    folder = toys.tensors(tmp_path)
    path = folder.parent / file if file == bundle.CURRENT else folder / file
    path.unlink()
    os.mkfifo(path)
    repository = loaded(tmp_path)
    assert list(repository.models) == ["toy-ct"]
    assert "no regular file" in repository.index()[-1].reason


def test_where_workers_cannot_share_each_unloads_for_itself(tmp_path: Path) -> None:
    toys.tensors(tmp_path / "models")
    metrics = Metrics()
    metrics.shared = tmp_path / "missing" / "shared"
    repository = Repository(Settings(models_dir=tmp_path / "models", threads=1), metrics)

    async def unload() -> None:
        await repository.load()
        await repository.set_loaded("toy-tensors", False)
        await repository.refresh()

    asyncio.run(unload())
    assert repository.models == {}


def test_a_default_answers_until_the_next_one_is_served(tmp_path: Path) -> None:
    toys.tensors(tmp_path, "old")
    defaults = tmp_path / bundle.DEFAULTS
    defaults.write_text("tensor-prediction old")
    repository = loaded(tmp_path)
    graph = toys.tensors(tmp_path, "new") / bundle.GRAPH
    right = graph.read_bytes()
    graph.write_bytes(b"broken")
    defaults.write_text("tensor-prediction new")
    asyncio.run(repository.refresh())
    assert repository.default("tensor-prediction") == "old"
    graph.write_bytes(right)
    asyncio.run(repository.refresh())
    assert repository.default("tensor-prediction") == "new"


def test_the_only_model_of_a_kind_answers_until_the_first_default_is_served(tmp_path: Path) -> None:
    toys.tensors(tmp_path, "old")
    repository = loaded(tmp_path)
    graph = toys.tensors(tmp_path, "new") / bundle.GRAPH
    graph.write_bytes(b"broken")
    (tmp_path / bundle.DEFAULTS).write_text("tensor-prediction new")
    asyncio.run(repository.refresh())
    assert repository.default("tensor-prediction") == "old"


def test_where_the_default_lacks_a_graph_the_only_model_that_holds_it_answers(tmp_path: Path) -> None:
    kind = "digit-classification"
    toys.digits(tmp_path)
    toys.wary(tmp_path)
    repository = loaded(tmp_path, defaults={kind: "toy-digits"})
    assert repository.default(kind) == "toy-digits"
    assert repository.default(kind, bundle.EXPLANATION) == "toy-wary"
    toys.wary(tmp_path, "toy-wise")
    asyncio.run(repository.refresh())
    with pytest.raises(UnknownModel, match="Say which, there are toy-wary, toy-wise"):
        repository.default(kind, bundle.EXPLANATION)


def test_a_default_that_is_being_loaded_is_no_unknown_model(tmp_path: Path) -> None:
    """Whoever asks while it is tried comes again."""
    toys.ct(tmp_path)
    repository = loaded(tmp_path)
    toys.tensors(tmp_path, "new")
    (tmp_path / bundle.DEFAULTS).write_text("tensor-prediction new")

    async def scene() -> None:
        refreshing = asyncio.create_task(repository.refresh())
        while "new" not in repository.declared():
            await asyncio.sleep(0)
        with pytest.raises(NotReady, match="is being loaded"):
            repository.pick("new", None)
        await refreshing

    asyncio.run(scene())
    assert repository.pick(repository.default("tensor-prediction"), None).manifest.name == "new"


def test_files_that_begin_with_a_byte_order_mark_say_what_they_say(tmp_path: Path) -> None:
    for name in ("one", "other"):
        toys.tensors(tmp_path, name)
        (tmp_path / name / bundle.CURRENT).write_text("1\r\n", encoding="utf-8-sig")
    (tmp_path / bundle.DEFAULTS).write_text("tensor-prediction one\r\n", encoding="utf-8-sig")
    repository = loaded(tmp_path)
    assert repository.default("tensor-prediction") == "one"
    assert repository.ready


def test_a_default_that_was_unloaded_is_not_replaced(tmp_path: Path) -> None:
    toys.tensors(tmp_path, "one")
    toys.tensors(tmp_path, "other")
    (tmp_path / bundle.DEFAULTS).write_text("tensor-prediction one")
    repository = loaded(tmp_path)
    asyncio.run(repository.set_loaded("one", False))
    assert repository.default("tensor-prediction") == "one"


def test_with_a_public_key_only_what_it_signed_is_served(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = tmp_path / "public.pem"
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    folder = toys.ct(tmp_path / "models")

    async def scene() -> None:
        settings = Settings(models_dir=tmp_path / "models", threads=1, bundle_key=public)
        repository = Repository(settings, Metrics())
        await repository.load()
        assert not repository.ready
        assert "is not signed" in repository.index()[0].reason
        sign(bundle.Bundle(folder), key)
        await repository.refresh()
        assert repository.pick("toy-ct", None).manifest.version == "1"
        unsigned = toys.ct(tmp_path / "models", version="2")
        (unsigned / SEAL).write_bytes((folder / SEAL).read_bytes())
        await repository.refresh()
        assert repository.pick("toy-ct", None).manifest.version == "1"

    asyncio.run(scene())
