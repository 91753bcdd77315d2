"""Studies: each has a page that its command wrote, and those that need no training say what is true."""

import importlib

import numpy as np
import pytest

from training import studies
from training.studies import Findings, Table
from training.studies.zca import whitened


@pytest.mark.parametrize("name", studies.names())
def test_a_study_has_its_page_and_every_picture_of_it(name: str) -> None:
    text = (studies.PAGES / f"{name}.md").read_text(encoding="utf-8")
    about = importlib.import_module(f"training.studies.{name.replace('-', '_')}").__doc__ or ""
    assert text.startswith(studies.page(name, about.strip(), Findings({})).partition("\n\nMade by")[0])
    pictures = sorted(path.name for path in studies.PAGES.glob(f"{name}-*.png"))
    assert pictures
    assert all(f"]({picture})" in text for picture in pictures)
    assert text.endswith(f"Made by `python -m training study {name}`.\n")


def test_a_page_has_tables_and_pictures() -> None:
    found = Findings({"Numbers": Table(("a", "b"), [(1.23456, "x")])}, {"a-picture": b""})
    text = studies.page("some", "A title.\n\nAnd more.", found)
    assert text == (
        "# A title\n\nAnd more.\n\n## Numbers\n\n| a | b |\n| --- | --- |\n| 1.235 | x |\n\n"
        "![A picture](some-a-picture.png)\n\nMade by `python -m training study some`.\n"
    )


def test_a_study_that_there_is_not_is_told_of() -> None:
    with pytest.raises(studies.StudyError, match="k-fold"):
        studies.write("astrology")


def test_eigenvectors_of_wine() -> None:
    from training.studies.eigen import study

    agree = study().tables["Both ways agree"].rows
    assert all(float(str(far)) < 1e-9 for _, far in agree)


def test_whitening_leaves_no_correlation_where_there_are_samples_enough() -> None:
    mixed = np.random.default_rng(0).normal(size=(500, 6)) @ np.diag([3.0, 3, 2, 2, 2, 3]) @ np.ones((6, 6)).cumsum(0)
    mixed += np.random.default_rng(1).normal(size=mixed.shape)
    forms = whitened(mixed)
    for name in ("PCA", "ZCA"):
        covariance = np.cov(forms[name].T)
        np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=0.01)  # the ridge leaves some
    near = {name: np.abs(forms[name] - forms["centred"]).mean() for name in ("PCA", "ZCA")}
    assert near["ZCA"] < near["PCA"]
