"""Data from outside: what is refused, what is told, and that a row stays on its side."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.bundle import Bundle
from training import recipe
from training.__main__ import main
from training.data import DataError, given, mnist
from training.recipes.classify import lenet5


@pytest.fixture(autouse=True)
def own_again() -> Iterator[None]:
    yield
    given.forget()


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Thirty digits of each class, as files of a folder."""
    folder, train = tmp_path / "digits", mnist().train
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for row in np.flatnonzero(train.labels == label)[:30]:
            Image.fromarray(train.pixels[row]).save(folder / str(label) / f"{row}.png")
    return folder


def complaint(name: str, path: Path) -> str:
    with pytest.raises(DataError) as error:
        recipe.load(name, path)
    return str(error.value)


def schema(path: Path, **fields: Any) -> None:
    (path / "schema.json" if path.is_dir() else path.with_suffix(".schema.json")).write_text(json.dumps(fields))


def test_a_folder_of_pictures_trains_a_classifier(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(lenet5, "RECIPE", replace(lenet5.RECIPE, hyper=lenet5.Hyper(epochs=1)))
    schema(digits, licence="ours")
    main(["run", "lenet5", "--data", str(digits)])
    made = Bundle(next((tmp_path / "models/lenet5").iterdir()))
    (source,) = made.manifest.provenance.sources
    assert (source.name, source.licence) == ("digits", "ours")
    assert made.manifest.metrics[0].count == len(mnist().test)
    assert made.manifest.provenance.command.endswith("lenet5 --data digits")
    assert "| side | rows |" in (made.path / "data.md").read_text()
    assert f"gate lenet5 {made.manifest.version} --data" in capsys.readouterr().out


def test_a_row_stays_on_its_side_when_data_is_added(digits: Path) -> None:
    new = mnist().train
    before = recipe.load("lenet5", digits).data
    given.forget()
    for row in range(5000, 5050):
        Image.fromarray(new.pixels[row]).save(digits / str(new.labels[row]) / f"new-{row}.png")
    after = recipe.load("lenet5", digits).data
    assert before
    assert after
    for side in ("train", "test"):
        old, more = ({one.tobytes() for one in getattr(of.value, side).pixels} for of in (before, after))
        assert old < more


def test_pictures_that_are_of_two_classes_or_of_none_are_named(digits: Path) -> None:
    first = next((digits / "3").iterdir())
    (digits / "4" / "copy.png").write_bytes(first.read_bytes())
    (digits / "5" / "broken.png").write_bytes(b"no picture")
    said = complaint("lenet5", digits)
    assert "4/copy.png: the same picture is 3" in said
    assert "5/broken.png: is no picture that can be read" in said
    (digits / "cat").mkdir()
    first.rename(digits / "cat" / "tom.png")
    assert "cat is no class" in complaint("lenet5", digits)


def test_whom_a_picture_is_about_keeps_it_on_one_side(digits: Path) -> None:
    for row, file in enumerate(sorted(digits.rglob("*.png"))):
        file.rename(file.with_name(f"writer{row % 40}-{row}.png"))
    schema(digits, identity="(writer[0-9]+)-")
    found = recipe.load("lenet5", digits).data
    assert found
    test = {one.tobytes() for one in found.value.test.pixels}
    sides: dict[str, set[bool]] = {}
    for file in digits.rglob("*.png"):
        sides.setdefault(file.name.partition("-")[0], set()).add(np.asarray(Image.open(file)).tobytes() in test)
    assert all(len(side) == 1 for side in sides.values())


def test_a_leak_between_the_sides_of_the_data_is_refused(digits: Path) -> None:
    for side in ("train", "test"):
        (digits / side).mkdir()
    for label in range(10):
        (digits / str(label)).rename(digits / "train" / str(label))
    (digits / "test" / "3").mkdir()
    leaked = sorted((digits / "train" / "3").iterdir())[0]
    (digits / "test" / "3" / "again.png").write_bytes(leaked.read_bytes())
    assert "the same row is in" in complaint("lenet5", digits)


def test_recipes_that_make_their_data_say_so(tmp_path: Path) -> None:
    with pytest.raises(recipe.RecipeError, match="leave --data out"):
        recipe.load("sine-cosine-rnn", tmp_path)
    assert "is not there" in complaint("convnet", tmp_path / "nowhere")
