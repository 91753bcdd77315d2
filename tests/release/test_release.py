"""A promotion serves another version and a roll back the one before; nothing else moves what is served."""

import os
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from service.bundle import CURRENT, MANIFEST, RELEASES, Bundle, BundleError, file_sha256, write_current
from service.release import Release, ReleaseError, verdict
from service.release.command import main
from service.release.rollout import Step
from service.release.verdict import Check, Verdict
from tests import toys

NAME = "toy-digits"


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Of a model with the versions 1 to 3, of which the first is served."""
    for version in ("1", "2", "3"):
        toys.digits(tmp_path, version=version)
    write_current(tmp_path, NAME, "1")
    return Release(tmp_path, NAME)


def moved(release: Release, version: str) -> None:
    release.promote(version, "ada", "as a test", force=True, check=whole)


def back(release: Release) -> str:
    return release.rollback("ada", check=whole).after


def whole(folder: Path) -> None:
    Bundle(folder)


def test_a_promotion_is_kept_with_who_when_why_from_and_to(release: Release) -> None:
    release.promote("2", "ada", "more digits", force=True)
    assert release.served == "2"
    (entry,) = release.history
    assert (entry.who, entry.action, entry.before, entry.after, entry.reason) == (
        "ada",
        "forced promote",
        "1",
        "2",
        "more digits",
    )
    assert entry.when.endswith("Z")


def test_the_first_version_of_a_model_is_promoted_from_nothing(release: Release) -> None:
    (release.home / CURRENT).unlink()
    moved(release, "1")
    assert (release.served, release.way_back, release.history[0].before) == ("1", None, None)


def test_a_roll_back_goes_further_back_each_time(release: Release) -> None:
    moved(release, "2")
    moved(release, "3")
    assert [back(release), back(release)] == ["2", "1"]
    with pytest.raises(ReleaseError, match="no version of toy-digits was served before: promote one of 3, 2, 1"):
        back(release)
    moved(release, "3")
    assert release.way_back == "1"


def test_a_version_that_does_not_answer_as_it_should_is_not_served(release: Release) -> None:
    golden = release.home / "2" / "golden.npz"
    golden.write_bytes(golden.read_bytes() + b"x")
    with pytest.raises(BundleError, match="does not have the sha256"):
        release.promote("2", "ada", "as a test", force=True)
    assert (release.served, release.history) == ("1", ())


@pytest.mark.parametrize(
    ("version", "said"), [("1", "is served already"), ("7", "has no version '7': it has 3, 2, 1"), ("../x", "has no")]
)
def test_what_cannot_be_promoted_is_told(release: Release, version: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        moved(release, version)


@pytest.mark.parametrize("name", ["toy-none", "../toy-digits", ""])
def test_a_model_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReleaseError, match="there is no model"):
        Release(tmp_path, name)


def test_of_two_operators_at_once_one_is_told(release: Release) -> None:
    other = os.open(release.home, os.O_RDONLY)
    flock(other, LOCK_EX)
    for change in (lambda: moved(release, "2"), lambda: back(release), lambda: release.prune(1)):
        with pytest.raises(ReleaseError, match="somebody else is releasing toy-digits"):
            change()
    os.close(other)
    moved(release, "2")


def test_a_version_written_by_hand_shows_in_the_history_and_may_be_rolled_back(release: Release) -> None:
    moved(release, "2")
    write_current(release.models, NAME, "3")
    assert [entry.action for entry in release.history] == ["forced promote", "written by hand"]
    assert back(release) == "2"


def test_a_damaged_history_is_told_and_what_is_served_stays(release: Release) -> None:
    (release.home / RELEASES).write_text("{")
    with pytest.raises(ReleaseError, match="RELEASES cannot be read .*: restore it, or remove it"):
        moved(release, "2")
    assert release.served == "1"


def test_pruning_keeps_the_latest_the_served_one_and_the_way_back(release: Release) -> None:
    for version in ("9", "10", "11"):
        toys.digits(release.models, version=version)
    write_current(release.models, NAME, "1")
    moved(release, "3")
    assert release.prune(2) == ["2", "9"]
    assert release.versions == ["1", "3", "10", "11"]
    assert back(release) == "1"
    assert release.prune(1) == ["3", "10"]


def test_the_commands_tell_the_whole_story(
    release: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(release.models))
    monkeypatch.setenv("QUARTET_KEEP_VERSIONS", "1")
    main(["promote", NAME, "2", "--force", "--reason", "more digits", "--who", "ada"])
    main(["status"])
    shown = capsys.readouterr().out
    assert "forced promote by ada, from 1 to 2: more digits" in shown
    assert "toy-digits: serves 2" in shown
    assert "the way back: 1" in shown
    assert "3, there is no verdict on it: run `python -m training gate toy-digits 3`" in shown
    main(["rollback", NAME, "--who", "bob"])
    main(["history", NAME])
    told = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(" ", 1)[1] for line in told] == [
        "rollback by bob, from 2 to 1",
        "forced promote by ada, from 1 to 2: more digits",
    ]
    main(["prune", NAME])
    assert capsys.readouterr().out == "toy-digits: removed 2\n"


def judged(release: Release, version: str, against: str | None = "1", passed: bool = True) -> None:
    manifest = file_sha256(release.home / version / MANIFEST)
    checks = (Check(name="size", passed=passed, text="9 bytes"),)
    verdict.write(release.home / version, Verdict(against=against, manifest=manifest, when="now", checks=checks))


def test_a_passed_gate_is_enough(release: Release) -> None:
    judged(release, "2")
    assert release.promote("2", "ada", check=whole).action == "promote"


@pytest.mark.parametrize(
    ("against", "passed", "said"),
    [("1", False, "not passed: size"), ("3", True, "compared with 3, and 1 is served now")],
)
def test_a_gate_that_failed_or_is_of_another_time_is_not_enough(
    release: Release, against: str, passed: bool, said: str
) -> None:
    judged(release, "2", against, passed)
    with pytest.raises(ReleaseError, match=said):
        release.promote("2", "ada", check=whole)


def test_a_verdict_on_other_files_does_not_count(release: Release) -> None:
    judged(release, "2")
    (release.home / "3" / verdict.GATE).write_bytes((release.home / "2" / verdict.GATE).read_bytes())
    with pytest.raises(ReleaseError, match="on another manifest"):
        release.promote("3", "ada", check=whole)


def test_without_a_gate_there_must_be_a_reason(release: Release) -> None:
    with pytest.raises(ReleaseError, match="there is no verdict on it: run `python -m training gate toy-digits 2`"):
        release.promote("2", "ada", check=whole)
    with pytest.raises(ReleaseError, match="there must be a reason"):
        release.promote("2", "ada", " ", force=True, check=whole)


def test_a_rollout_is_started_shown_ended_and_kept_in_the_history(
    release: Release, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(release.models))
    judged(release, "2")
    main(["start", NAME, "2", "--canary", "5%,25%:1h,100%", "--who", "ada", "--least-agreement", "99%"])
    assert capsys.readouterr().out == "canary of 2 beside 1 runs: 0.05 of the requests by x-split-key, step 1 of 3\n"
    begun = release.running
    assert begun is not None
    assert [one.seconds for one in begun.steps] == [600, 3600, 600]
    assert begun.rules.least_agreement == 0.99
    with pytest.raises(ReleaseError, match="a canary of toy-digits 2 runs: end it with `release rollback toy-digits`"):
        main(["start", NAME, "3", "--shadow", "10%", "--force", "--reason", "x"])
    assert release.prune(1) == []
    main(["rollback", NAME, "--who", "bob", "--reason", "too early"])
    assert release.served == "1"
    main(["status", NAME])
    assert "by bob: too early" in capsys.readouterr().out
    main(["start", NAME, "3", "--shadow", "10%", "--force", "--reason", "look", "--who", "ada"])
    main(["promote", NAME, "2", "--who", "ada"])
    capsys.readouterr()
    main(["history", NAME])
    told = [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert "shadow of 3 beside 1 by ada: look; overtaken" in told
    assert any(line.startswith("canary of 2 beside 1 by ada; too early at") for line in told)
    assert "promote by ada, from 1 to 2" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--canary", "50%,5%"], "no list of growing shares"),
        (["--canary", "1"], "'1' is no share: say 5% or 0.05"),
        (["--shadow", "0%"], "is no share"),
        (["--canary", "5%:soon"], "'soon' is no duration: say 90s, 10m, 2h or 1d"),
        (["--canary", "5%", "--most-errors", "2"], "most_errors: Input should be less than 1"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_told(
    release: Release, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(release.models))
    with pytest.raises(ReleaseError, match=said):
        main(["start", NAME, "2", *words, "--force", "--reason", "x"])


def test_a_candidate_that_takes_or_means_something_else_is_not_tried(release: Release, tmp_path: Path) -> None:
    toys.images(tmp_path / "other", name=NAME, version="8")
    (tmp_path / "other" / NAME / "8").rename(release.home / "8")
    with pytest.raises(ReleaseError, match="cannot be tried on the requests of 1: the signature of its graph main"):
        release.start("8", "shadow", (Step(share=1),), "ada", "x", force=True, check=whole)
