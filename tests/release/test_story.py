"""The page about releases is a story whose commands work, in their order, and a bad candidate meets its three nets."""

import asyncio
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.bundle import GOLDEN, GRAPH, Bundle, file_sha256, write_manifest
from service.release import Release, ReleaseError, verdict
from service.release.command import main as release
from service.release.rollout import Rollout, place_of
from tests.release.test_traffic import Served
from tests.snippets import PROJECT, blocks
from tests.training.test_imported import pictures
from training.__main__ import main as training
from training.export.store import models_directory

NAME = "linear-profit"
# Not what wants a store or another machine.
STORY = re.compile("python -m (training (run|import|gate|prune)|service release) ")
PAGE = PROJECT / "docs" / "releases.md"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the committed model, in a models folder of its own; an ONNX file lies where the commands are given."""
    shutil.copytree(models_directory() / NAME, tmp_path / "models" / NAME)
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "model.onnx")
    return tmp_path / "models" / NAME


def only_the_tree_is_wrong(home: Path, version: str) -> bool:
    """Whether the sources differ from their commit while somebody works on them, and nothing else is the matter."""
    found = verdict.read(home / version)
    assert found is not None
    return [check.name for check in found.checks if not check.passed] == ["tree"]


def given(home: Path, line: str) -> None:
    model = Release(home.parent, NAME)
    words = shlex.split(line.replace("VERSION", model.versions[-1]))[2:]
    if words[0] == "training":
        try:
            training(words[1:])
        except SystemExit:
            assert words[1] == "gate"
            assert only_the_tree_is_wrong(home, model.versions[-1])
    elif words[2] in ("promote", "start") and verdict.objection(home / words[4], model.served):
        assert only_the_tree_is_wrong(home, words[4])
        release([*words[2:], "--force", "--reason", "as a test"])
    else:
        release(words[2:])


def test_the_story_of_the_page_can_be_followed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Release(home.parent, NAME)
    first = model.served
    shells = [text for language, text in blocks(PAGE.read_text()) if language == "sh"]
    lines = [line for text in shells for line in text.splitlines() if STORY.match(line)]
    assert len(lines) == 11
    served = []
    for line in lines:
        given(home, line)
        served.append(model.served)
    second = model.versions[-1]
    assert served == [*[first] * 7, second, first, first, first]
    assert [entry.after for entry in model.history] == [second, first]
    assert (home.parent / "pets").is_dir()
    assert f"from {second} to {first}: complaints" in capsys.readouterr().out


def planted(home: Path) -> str:
    """A candidate whose profits fall where they should rise; by its own golden rows it is right."""
    served = Bundle(home / str(Release(home.parent, NAME).served))
    folder = home / "29990101-000000"
    shutil.copytree(served.path, folder)
    graph = onnx.load(folder / GRAPH)
    slope, offset = (one for one in graph.graph.initializer if one.name.startswith("linear."))
    slope.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(slope), slope.name))
    onnx.save(graph, folder / GRAPH)
    rows = served.golden()[0]["row"]
    values = rows @ numpy_helper.to_array(slope) + numpy_helper.to_array(offset)
    np.savez(folder / GOLDEN, **{"in.row": rows, "out.values": values})
    hashes = {**served.manifest.sha256} | {file: file_sha256(folder / file) for file in (GRAPH, GOLDEN)}
    write_manifest(folder, served.manifest.model_copy(update={"version": folder.name, "sha256": hashes}))
    return folder.name


def versions_that_answer(model: Release, key: str) -> set[str]:
    """While a candidate is tried, and once more when it is gone."""

    async def work() -> set[str]:
        async with Served(model.models) as served:
            answers = [await profit(served, key) for _ in range(40)]
            await served.until_compared(30, NAME)
            await served.traffic.look()
            assert served.traffic.followed == {}
            assert await profit(served, key) == model.served
            return set(answers)

    return asyncio.run(work())


async def profit(served: Served, key: str) -> str:
    """The version that tells it of a city."""
    path = f"/v1/tables/predict?model={NAME}"
    answer = await served.client.post(path, json={"rows": [{"population": 9}]}, headers={"x-split-key": key})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model"]["version"])


def ended(model: Release) -> Rollout:
    rollout = model.rollout
    assert model.running is None
    assert rollout is not None
    assert rollout.stop is not None
    assert (rollout.stop.who, rollout.stop.rule) == ("the service", "difference")
    return rollout


def test_a_bad_candidate_is_caught_by_each_of_three_nets(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, bad = Release(home.parent, NAME), planted(home)
    first = str(model.served)
    with pytest.raises(SystemExit, match="has not passed its gate"):
        training(["gate", NAME])
    assert "BAD  distance from the closed form" in capsys.readouterr().out
    with pytest.raises(ReleaseError, match="its gate was not passed"):
        release(["promote", NAME, bad])
    forced = ["--force", "--reason", "nobody has looked at the gate"]
    rules = ["--most-difference", "1", "--most-latency", "off", *forced]  # of a busy machine times say nothing
    key = next(f"user-{i}" for i in range(1000) if place_of(b"user-%d" % i, bad) < 0.1 * 2**32)
    release(["start", NAME, bad, "--shadow", "100%", *rules])
    assert versions_that_answer(model, key) == {first}
    assert ended(model).mode == "shadow"
    release(["start", NAME, bad, "--canary", "10%", *rules])
    assert versions_that_answer(model, key) == {bad}
    assert ended(model).mode == "canary"
    release(["promote", NAME, bad, *forced])
    assert model.served == bad
    release(["rollback", NAME, "--reason", "complaints"])
    assert model.served == first
