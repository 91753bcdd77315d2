"""What is typed: files to their tasks, words to samples, and what is said where something is missing."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest

from service import ask, doctor
from service.ask import AskError
from service.tasks import TASKS
from tests.conftest import PROJECT, Running, free_port

EXAMPLES = PROJECT / "docs" / "examples"


@pytest.fixture(autouse=True)
def address(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ask.URL, server.url)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    ask.main(words)
    return json.loads(capsys.readouterr().out)


def test_every_task_can_be_asked() -> None:
    assert {task.path for task in ask.names().values()} == {task.path for task in TASKS}
    assert {"digits", "credit", "ct", "tables", "predict"} <= ask.names().keys()


def test_the_answer_to_a_picture_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "ask", "digits", f"{EXAMPLES / 'seven.png'}", "--many")["predictions"][0]["digit"] == 7


def test_a_file_from_another_program_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = io.TextIOWrapper(io.BytesIO((EXAMPLES / "seven.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert answer(capsys, "ask", "digits", "-")["predictions"][0]["digit"] == 7


def test_options_and_tables_arrive(capsys: pytest.CaptureFixture[str]) -> None:
    got = answer(capsys, "ask", "credit", f"{EXAMPLES / 'applicant.json'}", "--explain")
    assert got["predictions"][0]["reasons"]


def test_the_suffix_chooses_the_form_of_the_answer(tmp_path: Path) -> None:
    source = f"{EXAMPLES / 'slice.dcm'}"
    ask.main(["ask", "ct", source, "-o", f"{tmp_path / 'out.dcm'}"])
    ask.main(["ask", "ct", source, "-o", f"{tmp_path / 'out.png'}"])
    ask.main(["ask", "ct", source, "-o", f"{tmp_path / 'out.npy'}"])
    assert pydicom.dcmread(tmp_path / "out.dcm").ImageType[0] == "DERIVED"
    with PIL.Image.open(tmp_path / "out.png") as preview:
        assert preview.size == np.load(tmp_path / "out.npy").shape[-2:]


def test_samples_are_asked_for_in_words(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ask.main(["samples", "--label", "7", "--count", "4", "--seed", "1", "-o", f"{tmp_path / name}.png"])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_several_files_are_answered_into_a_folder(tmp_path: Path) -> None:
    ask.main(["ask", "digits", *[f"{EXAMPLES / 'seven.png'}"] * 2, "-o", f"{tmp_path}"])
    assert json.loads((tmp_path / "seven.png.json").read_text())["predictions"][0]["digit"] == 7


def test_tensors_are_asked_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    got = answer(capsys, "ask", "predict", "--model", "linear-housing", "--inputs", '{"row": [[2000, 3]]}')
    assert got["outputs"]["values"][0][0] == pytest.approx(341805.2)


def test_the_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    ask.print_models(None)
    assert any(line.startswith("digits ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ask", "ct", f"{EXAMPLES / 'seven.png'}"], "is image/png"),
        (["ask", "digits", "nowhere.png"], "No such file"),
        (["ask", "digits", f"{EXAMPLES / 'seven.png'}", "-o", "x.dcm"], "does not answer in application/dicom"),
        (["ask", "digits", f"{EXAMPLES / 'seven.png'}", "--model", "none"], "404 unknown_model: model:"),
        (["samples", "--label", "x"], "422 invalid_value: label:"),
        (["samples", "--url", "http://127.0.0.1:1"], "Start one with: quartet serve"),
    ],
)
def test_what_went_wrong_is_one_line(words: list[str], said: str) -> None:
    with pytest.raises(AskError, match=said) as wrong:
        ask.main(words)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("command", [[], ["serve"], ["ask"], ["ask", "digits"], ["samples"], ["doctor"], ["tune"]])
def test_help_shows_an_example(command: list[str]) -> None:
    words = [sys.executable, "-m", "service", *command, "--help"]
    ran = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "quartet" in ran.stdout.replace("usage: quartet", "")


def test_the_doctor_finds_the_bundles_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.examine(free_port())
    assert "bundle       digits" in capsys.readouterr().out


def test_the_doctor_names_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "CURRENT").write_text("1")
    monkeypatch.setenv("QUARTET_MODELS_DIR", f"{tmp_path}")
    assert not doctor.examine(free_port())
    assert "BAD  bundle       broken:" in capsys.readouterr().out
    monkeypatch.setenv("QUARTET_WORKERS", "many")
    assert not doctor.examine(free_port())


def test_the_start_says_where_to_look(server: Running) -> None:
    assert f"Open {server.url}/" in server.log
