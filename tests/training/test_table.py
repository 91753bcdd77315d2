"""The tables of models say what the bundles say, and how fast the graphs are here."""

from pathlib import Path

import onnx
import pytest

from service import bundle
from tests import toys
from training.__main__ import main
from training.export import store
from training.recipes.classify.fashion_cnn import FashionNet
from training.report import table, tabular

DOCUMENTS = Path(__file__).parents[2] / "docs"


def cells(page: str) -> list[list[str]]:
    """The table of a page, row by row, its head and the line below it included."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]


def test_the_documented_table_is_that_of_the_committed_bundles() -> None:
    page = (DOCUMENTS / "classifiers.md").read_text(encoding="utf-8")
    documented = cells(page)
    shortened = [row[: len(table.COLUMNS)] for row in documented]
    advice = "write it with `python -m training table classifiers > docs/classifiers.md`"
    assert shortened == cells(table.page("classifiers", speeds=False)), advice
    assert all(text in page for text in (table.MEANING, table.NOTES["classifiers"])), advice
    assert all(float(speed.replace(",", "")) > 0 for row in documented[2:] for speed in row[len(table.COLUMNS) :])


@pytest.mark.parametrize("family", ["denoisers", "generators", "sequences"])
def test_a_table_with_columns_of_its_own_is_that_of_the_committed_bundles(family: str) -> None:
    documented = cells((DOCUMENTS / f"{family}.md").read_text(encoding="utf-8"))
    named = table.columns(family)
    advice = f"write it with `python -m training table {family} > docs/{family}.md`"
    assert [row[: len(named)] for row in documented] == cells(table.page(family, speeds=False)), advice


def test_a_sequence_model_stands_beside_what_was_measured_on_the_same_data() -> None:
    rows = {found.manifest.name: row for found, row in table.rows("sequences")}
    assert rows["spam"][-1].startswith("TF-IDF logistic regression 0.9")


def test_every_bundle_is_in_the_table_of_its_family() -> None:
    listed = [found.manifest.name for family in table.FAMILIES for found, _ in table.rows(family)]
    assert sorted(listed) == bundle.names(store.models_directory())


def test_a_row_shows_the_headline_figure_beside_the_one_of_the_source() -> None:
    rows = {found.manifest.name: row for found, row in table.rows("classifiers")}
    link, numbers, size, figure, source = rows["convnet"]
    assert link == "[convnet](../models/convnet)"
    assert (numbers[:6], figure[:12], source) == ("1,007,", "accuracy 0.9", "about 99 %")
    assert size == f"{store.committed('convnet').graph.stat().st_size / 1000:,.0f}"


def test_parameters_are_the_numbers_in_the_initialisers_without_shapes() -> None:
    found = store.committed("convnet")
    weights = [one for one in onnx.load(found.graph).graph.initializer if one.name.startswith("network")]
    trained = sum(onnx.numpy_helper.to_array(one).size for one in weights)
    assert trained == 10 * 26 + 20 * 91 + 2001 * 500 + 501 * 10
    assert 0 <= table.parameters(found) - trained < 10


def test_parameters_of_a_second_look_are_those_of_the_network() -> None:
    fashion = sum(weight.numel() for name, weight in FashionNet().state_dict().items() if "num_batches" not in name)
    assert table.parameters(store.committed("fashion-cnn")) == pytest.approx(fashion, rel=0.01)


def test_speeds_are_those_of_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROUND", 0.02)
    found = store.committed("credit-logistic")
    assert table.speed(found, 64) > table.speed(found, 1) > 100


def test_the_command_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    main(["table", "denoisers", "--no-speeds"])
    assert capsys.readouterr().out == table.page("denoisers", speeds=False)


def test_a_bundle_without_a_recipe_is_in_the_table_without_a_figure_of_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path))
    toys.digits(tmp_path, "my-own")
    ((_, row),) = table.rows("classifiers")
    assert (row[0], row[-1]) == ("[my-own](../models/my-own)", "none")


def test_a_family_without_models_is_answered_with_those_that_have_some() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["table", "analyses"])
    there = "classifiers, regressors, denoisers, generators, sequences"
    assert stop.value.code == f"there are no analyses in {store.models_directory()}; there are {there}"


def test_an_unknown_family_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["table", "clusterers"])
    assert "'classifiers'" in capsys.readouterr().err


def test_the_documented_table_of_tabular_models_is_that_of_the_committed_bundles() -> None:
    page = (DOCUMENTS / "tabular.md").read_text(encoding="utf-8")
    assert page == tabular.page(), "write it with `python -m training table tabular > docs/tabular.md`"


def test_other_models_on_the_same_rows_stand_beside_ours() -> None:
    manifest = store.committed("credit").manifest
    assert [one.name for one in tabular.rivals(manifest)] == [
        f"cross-validated AUC, {rival}"
        for rival in ("logistic, L2", "random forest", "boosting", "explainable boosting")
    ]
