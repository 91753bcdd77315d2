"""Pages and lines of several digits: where each is found, and in which order they are read."""

import numpy as np
import pytest
from PIL import Image

from service.codecs.handwriting import Box, read_digits
from service.codecs.handwriting.grouping import group
from service.codecs.handwriting.ink import ink_of
from service.codecs.handwriting.strokes import strokes_of
from tests.service.sheets import SIDE, Pixels, likeness, outlined
from training.data.images import Images


def line(pictures: Pixels, scale: int = 4) -> Pixels:
    ink = np.kron(np.concatenate(list(pictures), axis=1), np.ones((scale, scale), np.uint8))
    return np.pad(255 - ink, 20, constant_values=255)


def test_digits_side_by_side_are_found_from_left_to_right(digits: Images) -> None:
    found = 0
    for start in range(0, 100, 5):
        five = digits.pixels[start : start + 5]
        read = list(read_digits(line(five), SIDE))
        assert [one.box.left for one in read] == sorted(one.box.left for one in read)
        if len(read) == 5:
            found += sum(likeness(one.image, other) > 0.8 for one, other in zip(read, five, strict=True))
    assert found > 90


@pytest.mark.parametrize("pitch", [112, 130])
def test_digits_in_the_boxes_of_a_form_are_found(digits: Images, pitch: int) -> None:
    """Boxes apart and boxes that share their sides, some of them empty then."""
    likest = []
    for start in range(0, 40, 4):
        scan = np.full((160, 760), 255, np.uint8)
        for place in range(4 if pitch > 112 else 6):
            left = 24 + pitch * place
            outlined(scan, left, 24, left + 112, 136)
            if place < 4:
                ink = np.kron(digits.pixels[start + place], np.ones((3, 3), np.uint8))
                top = 20 + 10 * place  # from near the upper side of the box to near the lower one
                scan[top : top + 84, left + 14 : left + 98] -= np.minimum(
                    ink, scan[top : top + 84, left + 14 : left + 98]
                )
        read = list(read_digits(scan, SIDE))
        assert len(read) == 4
        likest += [likeness(one.image, other) for one, other in zip(read, digits.pixels[start:], strict=False)]
    assert np.quantile(likest, 0.1) > 0.8


def test_strokes_one_above_the_other_are_one_digit_and_points_are_none() -> None:
    picture = np.full((100, 200), 255, np.uint8)
    picture[20:26, 30:60] = 0  # the bar of a 5
    picture[32:80, 30:36] = 0  # and its body
    picture[20:80, 120:126] = 0
    picture[76:80, 90:94] = 0  # a point
    boxes = [digit.box for digit in read_digits(picture, SIDE)]
    assert [box.left // 10 for box in boxes] == [2, 11] or [box.left for box in boxes] == [30, 120]
    assert boxes[0].height >= 60


def test_digits_of_two_lines_stay_apart(digits: Images) -> None:
    picture = np.concatenate([line(digits.pixels[:2]), line(digits.pixels[2:4])])
    assert len(list(read_digits(picture, SIDE))) == 4


@pytest.mark.parametrize("slant", [-0.1, 0, 0.1])
def test_lines_are_read_from_top_to_bottom_and_each_from_left_to_right(digits: Images, slant: float) -> None:
    """The second one starts farther left, and its digits are half as large again."""
    picture = np.full((420, 640), 255, np.uint8)
    places = [(60 + 110 * place, 90, 3) for place in range(4)] + [(20 + 150 * place, 240, 4) for place in range(4)]
    for one, (left, top, scale) in zip(digits.pixels, places, strict=False):
        below = top + round(slant * (left - 300))
        picture[below : below + 28 * scale, left : left + 28 * scale] -= np.kron(one, np.ones((scale, scale), np.uint8))
    read = list(read_digits(picture, SIDE))
    assert len(read) == 8
    for digit, (left, top, scale) in zip(read, places, strict=True):
        assert left <= digit.box.left < left + 28 * scale
        assert abs(digit.box.top - top) < 70


@pytest.mark.parametrize("angle", [-30, 30])
def test_a_line_that_leans_is_turned_back(digits: Images, angle: int) -> None:
    level = line(digits.pixels[:4])
    leaning = Image.fromarray(level).rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
    read, expected = (list(read_digits(np.asarray(one), SIDE)) for one in (leaning, level))
    assert len(read) == len(expected) == 4
    for one, other in zip(read, expected, strict=True):
        assert likeness(one.image, other.image) > 0.75  # the line is found to a few degrees
    tops = [one.box.top for one in read]
    assert tops == sorted(tops, reverse=angle > 0)


def test_a_page_of_countless_marks_is_read_one_by_one() -> None:
    """Who stops reading pays for no more than was read."""
    picture = np.full((1200, 1200), 255, np.uint8)
    for row, column in np.ndindex(3, 3):
        picture[5 + row :: 11, 5 + column :: 11] = 0
    ink = ink_of(picture)
    assert ink is not None
    assert len(list(group(strokes_of(ink)))) > 10_000
    assert next(read_digits(picture, SIDE)).box == Box(4, 4, 5, 5)
