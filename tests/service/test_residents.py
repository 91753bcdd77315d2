"""Memory holds the models that are named or alone of their kind, and of the others those that were asked last."""

import asyncio
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from service import bundle
from service.bundle import Bundle, Manifest
from service.engine.batcher import Job
from service.engine.loaded_model import LoadedModel
from service.engine.repository import Repository
from service.engine.served_model import ServedModel
from service.errors import DeadlineExceeded, LoadFailed, NotReady
from service.stage_pool import Caller
from tests import toys
from tests.conftest import Here, assert_refused, in_memory, lane_over
from tests.service.conftest import TOKEN, loaded
from tests.service.test_oip_rest import ask, xk

NAMES = "one", "three", "two"


def shelf(folder: Path, **settings: Any) -> Repository:
    """Three models of a kind, none of which is named."""
    for name in NAMES:
        toys.tensors(folder, name)
    return loaded(folder, **settings)


def held(repository: Repository) -> list[str]:
    return [name for name, model in repository.models.items() if model.loaded is not None]


def times_loaded(caplog: pytest.LogCaptureFixture) -> int:
    return sum(" ready on " in record.getMessage() for record in caplog.records)


def infer(lane: Here, name: str) -> Any:
    return ask(lane, f"/v2/models/{name}/infer", xk())


def miscalculating(models: Path, name: str, **options: Any) -> Path:
    """A bundle whose hashes are right and whose golden outputs are not."""
    folder = toys.tensors(models, name, **options)
    with np.load(folder / bundle.GOLDEN) as golden:
        np.savez(folder / bundle.GOLDEN, **(dict(golden) | {"out.y": golden["out.y"] + 1}))
    manifest = Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    sha256 = manifest.sha256 | {bundle.GOLDEN: bundle.file_sha256(folder / bundle.GOLDEN)}
    bundle.write_manifest(folder, manifest.model_copy(update={"sha256": sha256}))
    return folder


def test_a_model_that_nobody_asks_is_served_and_not_in_memory(tmp_path: Path) -> None:
    repository = shelf(tmp_path)
    assert (repository.ready, held(repository)) == (True, [])
    lane = lane_over(repository)
    assert [one["loaded"] for one in lane("GET", "/v1/models").json()["models"]] == [False] * 3
    assert lane("GET", "/v2/models/two/ready").status_code == 200
    assert infer(lane, "two").status_code == 200
    assert [one["loaded"] for one in lane("GET", "/v1/models").json()["models"]] == [False, False, True]
    assert b'quartet_loaded_models{model="two"' in lane("GET", "/metrics").content


@pytest.mark.parametrize(
    ("settings", "stay"),
    [
        ({"models": NAMES}, list(NAMES)),
        ({"defaults": {"tensor-prediction": "two"}}, ["two"]),
        ({"models": ("three",)}, ["three"]),
    ],
)
def test_what_the_settings_name_is_in_memory_before_it_is_ready(
    tmp_path: Path, settings: dict[str, Any], stay: list[str]
) -> None:
    repository = shelf(tmp_path, **settings, model_memory=0)
    assert held(repository) == stay
    for name in repository.models:
        in_memory(repository, name)
    assert set(stay) <= set(held(repository))


def test_the_only_one_of_its_kind_is_in_memory_until_there_is_another(tmp_path: Path) -> None:
    toys.tensors(tmp_path, "one")
    repository = loaded(tmp_path, model_memory=0)
    assert held(repository) == ["one"]
    toys.tensors(tmp_path, "two")
    asyncio.run(repository.refresh())
    in_memory(repository, "two")
    assert held(repository) == ["two"]


def test_a_default_that_is_named_later_is_in_memory_before_it_answers(tmp_path: Path) -> None:
    repository = shelf(tmp_path)
    (tmp_path / bundle.DEFAULTS).write_text("tensor-prediction two")
    asyncio.run(repository.refresh())
    assert held(repository) == ["two"]
    assert repository.default("tensor-prediction") == "two"


def test_who_asks_at_the_same_time_waits_for_the_same_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    repository = shelf(tmp_path)

    async def scene() -> list[LoadedModel]:
        return await asyncio.gather(*(repository.bring(repository.models["one"], inf) for _ in range(16)))

    assert len(set(asyncio.run(scene()))) == 1
    assert times_loaded(caplog) == 1


def test_who_has_no_time_to_wait_is_told_to_come_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    repository = shelf(tmp_path)
    model = repository.models["one"]

    async def scene() -> None:
        with pytest.raises(NotReady, match="is being loaded") as refusal:
            await repository.bring(model, monotonic() + 1e-4)
        assert refusal.value.retry_after_s == 1
        with pytest.raises(DeadlineExceeded):
            await repository.bring(repository.models["two"], monotonic() - 1)
        await repository.bring(model, inf)

    asyncio.run(scene())
    assert times_loaded(caplog) == 1


def test_the_one_asked_longest_ago_makes_room(tmp_path: Path) -> None:
    size = shelf(tmp_path).models["one"].size
    repository = loaded(tmp_path, model_memory=2 * size)
    for asked, then in (
        ("one", ["one"]),
        ("two", ["one", "two"]),
        ("one", ["one", "two"]),
        ("three", ["one", "three"]),
        ("two", ["three", "two"]),
    ):
        in_memory(repository, asked)
        assert held(repository) == then
        assert repository.residents.held <= 2 * size
    assert {name: model.metrics.evictions for name, model in repository.models.items()} == {
        "one": 1,
        "three": 0,
        "two": 1,
    }
    assert all(infer(lane_over(repository), name).status_code == 200 for name in NAMES)


def test_what_may_still_be_loaded_is_set_aside(tmp_path: Path) -> None:
    repository = shelf(tmp_path, model_memory=10**6)
    assert repository.room == 10**6
    in_memory(repository, "one")
    assert repository.room == 10**6 - repository.models["one"].size
    assert loaded(tmp_path, models=("one",)).room == 0


def test_a_model_with_rows_makes_no_room_until_they_are_answered(tmp_path: Path) -> None:
    for name in NAMES:
        toys.ct(tmp_path, name)
    repository = loaded(tmp_path, model_memory=0)
    rows = {"hu": np.zeros((32, 512, 512), np.float32)}

    async def scene() -> None:
        busy = await repository.bring(repository.models["one"], inf)
        answer = asyncio.ensure_future(busy.outputs(Job(rows, Caller(inf, lambda: False))))
        await asyncio.sleep(0)
        await repository.bring(repository.models["two"], inf)
        assert held(repository) == ["one", "two"]
        (output,) = (await answer).values()
        assert len(output) == 32
        await repository.refresh()
        assert held(repository) == ["two"]

    asyncio.run(scene())


def test_requests_finish_on_a_model_that_has_made_room(tmp_path: Path) -> None:
    repository = shelf(tmp_path, model_memory=0)

    async def scene() -> None:
        model = repository.models["one"]
        before = await repository.bring(model, inf)
        await repository.bring(repository.models["two"], inf)
        assert held(repository) == ["two"]
        inputs, expected = model.bundle.golden()
        outputs = await before.outputs(Job(inputs, Caller(inf, lambda: False)))
        np.testing.assert_allclose(outputs["y"], expected["y"])

    asyncio.run(scene())


def test_a_bundle_that_turns_out_broken_is_refused_counted_and_not_ready(tmp_path: Path) -> None:
    miscalculating(tmp_path, "bad")
    repository = shelf(tmp_path, admin_token=TOKEN)
    lane = lane_over(repository)
    assert repository.ready
    for _ in range(2):
        response = lane("POST", "/v1/models/bad/predict", json={"inputs": {"x": [[1, 2, 3]], "k": [1]}})
        assert_refused(response, 503, "not_ready", "model")
        assert response.headers["retry-after"] == "1"
    assert repository.metrics.failed_loads == {("bad",): 1}
    assert not repository.ready
    assert "bad" in repository.state
    assert repository.index()[0].state == "UNAVAILABLE"
    assert infer(lane, "one").status_code == 200
    with pytest.raises(LoadFailed):
        asyncio.run(repository.set_loaded("bad", True))
    toys.tensors(tmp_path, "bad", version="2")
    asyncio.run(repository.refresh())
    assert repository.ready
    assert infer(lane, "bad").status_code == 200


def test_a_model_that_is_loaded_by_name_is_in_memory(tmp_path: Path) -> None:
    repository = shelf(tmp_path)
    asyncio.run(repository.set_loaded("two", True))
    assert held(repository) == ["two"]
    asyncio.run(repository.set_loaded("two", False))
    assert list(repository.models) == ["one", "three"]


def test_a_file_that_changes_after_it_was_verified_is_not_loaded(tmp_path: Path) -> None:
    repository = shelf(tmp_path)
    graph = tmp_path / "one" / "1" / bundle.GRAPH
    graph.write_bytes(graph.read_bytes() + b"\0")
    assert infer(lane_over(repository), "one").status_code == 503
    assert "sha256" in repository.index()[0].reason


def test_a_model_that_is_asked_while_its_volume_is_away_answers_once_it_is_back(tmp_path: Path) -> None:
    models = tmp_path / "models"
    repository = shelf(models)
    models.rename(tmp_path / "unmounted")
    assert infer(lane_over(repository), "one").status_code == 503
    (tmp_path / "unmounted").rename(models)
    asyncio.run(repository.refresh())
    assert infer(lane_over(repository), "one").status_code == 200
    assert repository.ready


@pytest.mark.parametrize("asked", [False, True])
def test_a_new_version_is_in_memory_when_the_one_before_was(tmp_path: Path, asked: bool) -> None:
    repository = shelf(tmp_path, model_memory=0)
    if asked:
        in_memory(repository, "one")
    old = repository.models["one"]
    toys.tensors(tmp_path, "one", version="2")
    asyncio.run(repository.refresh())
    new = repository.models["one"]
    assert new.manifest.version == "2"
    assert (old.loaded is not None, new.loaded is not None) == (asked, asked)
    assert infer(lane_over(repository), "one").json()["model_version"] == "2"


def test_a_request_that_has_chosen_a_version_gets_its_answer_after_a_swap(tmp_path: Path) -> None:
    repository = shelf(tmp_path)
    chosen = repository.pick("one", None)
    toys.tensors(tmp_path, "one", version="2")

    async def scene() -> ServedModel:
        await repository.refresh()
        await repository.bring(chosen, inf)
        return repository.models["one"]

    assert asyncio.run(scene()).loaded is None
    assert chosen.metrics.gauges is None  # it is on its way out, and counts nowhere


def test_what_a_model_takes_is_what_was_measured_else_what_its_files_suggest(tmp_path: Path) -> None:
    repository = shelf(tmp_path)
    one = Bundle(tmp_path / "one" / "1")
    settings, metrics, profile = repository.settings, repository.metrics, repository._profile
    assert ServedModel(one, settings, metrics, profile, size=5).size == 5
    assert ServedModel(one, settings, metrics, profile).size >= (one.path / bundle.GRAPH).stat().st_size
