"""Data from outside: what is refused, what is told, and that a row stays on its side."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from service.bundle import Arrays, Bundle
from training import recipe
from training.__main__ import main
from training.data import DataError, emoji_clips, given, mnist
from training.recipes.classify import lenet5
from training.run import Run


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


def test_animations_train_what_reads_clips(tmp_path: Path) -> None:
    train, _ = emoji_clips()
    for place in range(40):
        frames = [Image.fromarray(frame).resize((64, 64)) for frame in train.frames[place]]
        file = tmp_path / "clips" / ("animal", "person")[train.labels[place]] / f"{place}.gif"
        file.parent.mkdir(parents=True, exist_ok=True)
        frames[0].save(file, save_all=True, append_images=frames[1:])
    found = recipe.load("conv-lstm", tmp_path / "clips")
    learned, measured = emoji_clips()
    assert len(learned.labels) + len(measured.labels) == 40
    assert learned.frames.shape[1:] == (3, 32, 32)
    assert found.hyper.validation < len(learned.labels)
    Image.fromarray(train.frames[0][0]).save(tmp_path / "clips" / "animal" / "still.png")
    given.forget()
    assert "animal/still.png: has fewer than 3 frames" in complaint("conv-lstm", tmp_path / "clips")


def boats(path: Path, count: int = 60, **changed: str) -> Path:
    """A table for `linear-housing`, with another name for a column and some rows as told."""
    rows = [f"{50 * row + 600},{1 + row % 4},{1000 * row + 9000},{row // 3}" for row in range(count)]
    for place, text in changed.items():
        rows[int(place.removeprefix("row"))] = text
    path.write_text("area,rooms,price,owner\n" + "\n".join(rows) + "\n")
    schema(path, columns={"bedrooms": "rooms"}, identity="owner")
    return path


def test_a_table_takes_the_place_of_a_recipes_own(tmp_path: Path) -> None:
    found = recipe.load("linear-housing", boats(tmp_path / "boats.csv"))
    x, y = found.examples()["row"], found.data
    assert x[0].tolist() == [600, 1]
    assert y
    assert y.value[1][:2].tolist() == [9000, 10000]
    folds = y.folds
    assert folds is not None
    assert all(len(set(folds[row : row + 3].tolist())) == 1 for row in range(0, 60, 3)), "an owner is on one side"


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    columns = {"area": [600 + 50 * row for row in range(60)], "bedrooms": [2] * 60, "price": [*range(60)]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "boats.parquet")
    found = recipe.load("linear-housing", tmp_path / "boats.parquet").data
    assert found
    assert found.value[0][1].tolist() == [650, 2]
    assert "bedrooms is the same in all rows" in found.report


def test_what_is_wrong_in_a_table_is_told_by_line_and_column_and_never_by_value(tmp_path: Path) -> None:
    said = complaint("linear-housing", boats(tmp_path / "a.csv", row3="99999,2,5,1", row5="700,many,5,1"))
    assert "line 5: area must be from 300 to 10000" in said
    assert "line 7: bedrooms must be a number" in said
    assert "99999" not in said
    (tmp_path / "b.csv").write_text("area,cost\n600,1\n")
    assert "lacks bedrooms, price; it has area, cost" in complaint("linear-housing", tmp_path / "b.csv")
    boats(tmp_path / "c.csv")
    schema(tmp_path / "c.csv", column={})
    assert "c.schema.json, column: Extra inputs" in complaint("linear-housing", tmp_path / "c.csv")


def test_an_identity_on_two_sides_of_the_data_is_refused(tmp_path: Path) -> None:
    rows = [f"{600 + row},2,{row},{row // 2},{'test' if row % 2 else 'train'}" for row in range(20)]
    (tmp_path / "a.csv").write_text("area,bedrooms,price,owner,side\n" + "\n".join(rows))
    schema(tmp_path / "a.csv", identity="owner", split="side")
    assert "line 3: the same identity is in train, line 2, and in test" in complaint(
        "linear-housing", tmp_path / "a.csv"
    )


def test_every_table_recipe_takes_its_own_attributes_back(tmp_path: Path) -> None:
    """What the service would be sent, written as a table, is the recipe's own data again."""
    for name, target, text in (
        ("credit", "default", "01"),
        ("adult-income", "income", "01"),
        ("house-price", "price", ""),
    ):
        taken = recipe.load(name)
        row = taken.examples()
        attributes = taken.task.attributes  # type: ignore[union-attr]
        rows = [*next(iter(row.values()))] * 40
        texts = [
            [one.values[int(v)] if one.values and v >= 0 else "" if v == one.missing else f"{v:g}"
             for one, v in zip(attributes, values, strict=True)]
            for values in rows
        ]  # fmt: skip
        for number, line in enumerate(texts):  # no two alike
            place = next(i for i, one in enumerate(attributes) if one.range and one.range[1] - one.range[0] > 100)
            low, high = attributes[place].range or (0, 0)
            line[place] = str(int(low + (high - low) * number / len(texts)))
        path = tmp_path / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*(one.name for one in attributes), target])
            writer.writerows([*line, text[i % 2] if text else 1000 + i] for i, line in enumerate(texts))
        found = recipe.load(name, path).data
        given.forget()
        assert found
        assert found.folds is not None
        assert len(found.folds) == len(texts)


def test_texts_are_read_from_folders_and_from_tables_alike(tmp_path: Path) -> None:
    lines = ["text,label"]
    for row in range(100):
        label, text = ("spam", "ham")[row % 2], f"letter number {chr(97 + row % 26) * (1 + row // 26)} to you"
        (tmp_path / "mail" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "mail" / label / f"{row}.txt").write_text(text)
        lines.append(f"{text},{label}")
    (tmp_path / "mail.csv").write_text("\n".join(lines))
    values = []
    for path in (tmp_path / "mail", tmp_path / "mail.csv"):
        found = recipe.load("spam", path).data
        given.forget()
        assert found
        values.append({side: sorted(getattr(found.value, side).texts) for side in ("train", "validation", "test")})
    assert values[0] == values[1]


def test_a_series_is_cut_by_time(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("month,value\n" + "\n".join(f"{row},{100 + row + row % 12}" for row in range(260)))
    schema(path, held_out=48, validation=60)
    found = recipe.load("gru", path).data
    assert found
    assert found.cuts == (152, 212)
    given.forget()
    path.write_text("value\n1\n2\n")
    assert "too few" in complaint("gru", path)


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_takes_data_of_its_own_kind_unless_it_draws_its_data(name: str) -> None:
    chosen = recipe.load(name)
    drawn = not chosen.sources
    assert (chosen.given is None) is drawn
    assert drawn is (name in ("intersection-rnn", "regularised-mlp", "sine-cosine-rnn"))


def shop(path: Path, years: int = 8, rest: int = 0, growth: float = 0.02, noise: float = 0.1) -> Path:
    month = np.arange(12 * years + rest)
    sales = 1000 * (1 + growth) ** (month // 12) * (1 + 0.3 * np.sin(month / 12 * 2 * np.pi))
    sales *= np.random.default_rng(0).lognormal(0, noise, len(month))
    path.write_text("month,value\n" + "\n".join(f"{row},{value:.4f}" for row, value in enumerate(sales)))
    return path


def test_sales_of_ones_own_are_learned_by_year_and_always_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path / "runs"))
    path = shop(tmp_path / "shop.csv", years=8, rest=5)
    spreads = []
    for _ in range(2):
        chosen = recipe.load("sales-forecast", path)
        assert chosen.data
        assert chosen.data.cuts == (36, 72)
        assert chosen.data.value.shape == (8, 12)
        assert "the last 5 values are of a year that is not over" in chosen.data.report
        served = chosen.train(Run("shop", chosen.hyper, fresh=True)).eval()
        spreads.append(served.state_dict()["log_spread"].item())

    def predict(inputs: Arrays) -> Arrays:
        few = inputs | {"uniform": inputs["uniform"][:, :, :200]}
        with torch.no_grad():
            outputs = served(*(torch.from_numpy(few[name]) for name in ("history", "state", "uniform")))
        return dict(zip(("probability", "quantiles"), (one.numpy() for one in outputs), strict=True))

    assert spreads[0] == spreads[1] != 0
    metrics = {one.name: one for one in chosen.evaluate(predict, chosen.hyper).metrics}
    assert (metrics["coverage"].split, metrics["coverage"].count) == ("years 7 to 8", 2)
    assert not any("worked example" in name for name in metrics)
    assert "coverage over 5 years, normal" in metrics


def test_sales_that_nothing_can_be_learned_of_are_refused(tmp_path: Path) -> None:
    assert "6 whole years are too few" in complaint("sales-forecast", shop(tmp_path / "a.csv", years=6))
    assert "alike but for their level" in complaint("sales-forecast", shop(tmp_path / "b.csv", growth=0, noise=0))
    path = shop(tmp_path / "c.csv")
    schema(path, held_out=30)
    assert "held_out must be a number of months" in complaint("sales-forecast", path)
    path.write_text("value\n" + "\n".join(["12"] * 95 + ["many"]))
    assert "line 97: the value must be a number" in complaint("sales-forecast", path)


def test_what_learns_of_a_few_labels_takes_them_from_the_pictures_that_train(digits: Path) -> None:
    found = recipe.load("aae-semisupervised", digits)
    images, rows = found.data.value.train if found.data else None, list(found.hyper.labelled)
    assert min(rows) >= found.hyper.validation
    assert images
    assert np.bincount(images.labels[rows]).tolist() == [10] * 10
