"""Heat maps and sheets of activations are pictures of what they are given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.codecs.heat import MIN_TILE, activation_sheet, heat_map, stacked

FLOATS = st.floats(-1e6, 1e6, width=32)


def test_heat_goes_from_black_over_red_and_yellow_to_white() -> None:
    rising = np.array([[-1, 0, 1, 2, 3]], np.float32)
    colours = [[0, 0, 0], [0, 0, 0], [255, 0, 0], [255, 255, 0], [255, 255, 255]]
    np.testing.assert_array_equal(heat_map(rising, (1, 5))[0], colours)


def test_a_small_map_is_spread_over_the_picture() -> None:
    corner = np.zeros((7, 7), np.float32)
    corner[0, 6] = 1
    heat = heat_map(corner, (28, 28)).astype(int).sum(axis=2)
    assert heat.shape == (28, 28)
    assert np.unravel_index(heat.argmax(), heat.shape)[0] < 4
    assert heat[14:, :14].max() == 0


def test_what_speaks_against_a_class_everywhere_is_black() -> None:
    assert heat_map(np.full((7, 7), -1, np.float32), (28, 28)).max() == 0


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=FLOATS))
def test_any_map_is_a_picture(class_map: np.ndarray) -> None:
    heat = heat_map(class_map, (20, 30))
    assert (heat.shape, heat.dtype) == ((20, 30, 3), np.uint8)


@pytest.mark.parametrize("shape", [(4, 24, 24), (16, 7, 7), (1, 1, 1), (10,), (64,), (3, 5)])
def test_the_channels_of_a_layer_are_side_by_side(shape: tuple[int, ...]) -> None:
    sheet = activation_sheet(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    columns = int(np.ceil(np.sqrt(shape[0])))
    assert sheet.shape[1] >= columns * (MIN_TILE if len(shape) < 3 or shape[2] >= shape[1] else 1)
    assert sheet[0, 0] == 0
    assert sheet.max() == (255 if np.prod(shape) > 1 else 0)


def test_sheets_are_stacked_with_white_between_them() -> None:
    both = stacked([np.zeros((2, 3), np.uint8), np.zeros((4, 5), np.uint8)], gap=1)
    assert both.shape == (7, 5)
    assert (both[2] == 255).all()
    assert (both[:2, 3:] == 255).all()
    assert both[3:].max() == 0
