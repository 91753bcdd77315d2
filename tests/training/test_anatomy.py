"""Drawn bodies: sharp, repeatable, the same at any pixel spacing, with lesions of the contrast that was asked for."""

import numpy as np
import pytest

from training.images import anatomy
from training.images.anatomy import ANATOMIES, Body, Shape, lesion

GRID = (np.arange(200, dtype=np.float32) - 99.5) * 2


@pytest.mark.parametrize("kind", ANATOMIES)
def test_a_body_lies_in_air_and_the_same_seed_draws_it_again(kind: str) -> None:
    first, again, other = (ANATOMIES[kind](np.random.default_rng(seed)).draw(GRID, GRID) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first[0] == anatomy.AIR).all()
    assert (first > -200).mean() > 0.02
    assert -1100 < first.min() < first.max() < 3000


def test_a_chest_has_lungs_and_bone() -> None:
    drawn = ANATOMIES["chest"](np.random.default_rng(3)).draw(GRID, GRID)
    middle = drawn[60:140, 40:160]
    assert ((middle < -700) & (middle > -950)).mean() > 0.1
    assert (drawn > 300).any()


def test_a_body_looks_the_same_on_a_finer_grid() -> None:
    body = Body(
        shapes=(Shape(x=3, y=-5, a=60, b=40, hu=50, turn=0.3), Shape(x=10, y=0, a=4, b=4, hu=400, end=(40, 9, 2)))
    )
    fine = (np.arange(800, dtype=np.float32) - 399.5) * 0.5
    blocks = body.draw(fine, fine).reshape(200, 4, 200, 4).mean((1, 3))
    assert np.abs(blocks - body.draw(GRID, GRID)).mean() < 2


@pytest.mark.parametrize("contrast", [-30.0, 20.0, 60.0])
def test_a_lesion_has_its_size_and_contrast(contrast: float) -> None:
    fine = (np.arange(100, dtype=np.float32) - 49.5) * 0.4
    body = Body(shapes=(Shape(x=0, y=0, a=90, b=90, hu=50),), lesions=(lesion(0, 0, 8, contrast),))
    drawn = body.draw(fine, fine) - 50
    far = np.hypot(fine, fine[:, None])
    assert drawn[far < 3] == pytest.approx(contrast)
    assert drawn[far > 5] == pytest.approx(0, abs=1e-4)
    assert drawn.sum() * 0.4**2 == pytest.approx(contrast * np.pi * 16, rel=0.05)


def test_a_tube_tapers_from_one_end_to_the_other() -> None:
    fine = (np.arange(200, dtype=np.float32) - 99.5) * 0.2
    body = Body(shapes=(Shape(x=-15, y=0, a=3, b=3, hu=0, end=(15, 0, 1)),), blur_mm=0.2)
    wide = (body.draw(fine, fine) > -500).sum(0) * 0.2
    assert wide[fine.searchsorted(-15)] == pytest.approx(6, abs=0.5)
    assert wide[fine.searchsorted(15)] == pytest.approx(2, abs=0.5)
    assert wide[fine.searchsorted(17)] == 0
