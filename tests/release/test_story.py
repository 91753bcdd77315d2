"""The page about releases is a story whose commands work, in their order."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from service.release import Release, verdict
from service.release.command import main as release
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
