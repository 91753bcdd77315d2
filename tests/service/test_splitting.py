"""Digits that touch: a piece is cut, and of what may be digits in it those are read that are likeliest together."""

import numpy as np
import pytest

from service.codecs.handwriting import Span, likeliest, read_digits
from service.codecs.pictures import write_png
from service.limits import Limits
from service.messages import Request
from service.stage_pool import HEAVY
from service.tasks.digits import TASK
from tests.conftest import Here
from training.data.images import Images

SIDE = (28, 28)


def joined(pictures: np.ndarray, overlap: int = 1, scale: int = 4) -> np.ndarray:
    """Digits in black on a white page, each `overlap` pixels of 28 before the end of the one to its left."""
    cut = [one[:, one.any(axis=0)] for one in pictures]
    ink = np.zeros((28, sum(one.shape[1] for one in cut)), np.uint8)
    left = 0
    for one in cut:
        place = ink[:, left : left + one.shape[1]]
        np.maximum(place, one, out=place)
        left += one.shape[1] - overlap
    return np.pad(255 - np.kron(ink, np.ones((scale, scale), np.uint8)), 30, constant_values=255)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_of_two_digits_that_touch_each_is_among_the_parts(digits: Images) -> None:
    likest = []
    for start in range(0, 60, 2):
        left, right = digits.pixels[start : start + 2]
        first, *parts = read_digits(joined(digits.pixels[start : start + 2]), SIDE, spare=100)
        if not any(one.span.whole for one in parts):  # or they do not touch
            assert first.span.whole
            ends = (
                min(likeness(one.image, left), likeness(other.image, right))
                for one in parts
                for other in parts
                if one.span.start == 0 and one.span.end == other.span.start and other.span.end == first.span.end
            )
            likest.append(max(ends, default=0))
    assert len(likest) > 5
    assert np.median(likest) > 0.8


def test_an_answer_has_the_digits_that_are_read_and_their_boxes_alone(lane: Here, digits: Images) -> None:
    """The toy is familiar with much ink, which parts of these have, and the whole piece has not."""
    page = write_png(joined(digits.pixels[[1, 2, 3, 5]], overlap=2))
    path = "/v1/digits/classify?model=toy-wary&many=true&explain=true"
    answer = lane("POST", path, content=page, headers={"content-type": "image/png"}).json()["predictions"]
    boxes = [one["box"] for one in answer]
    assert len(answer) >= 2
    assert all(left + width < other[0] + 12 for (left, _, width, _), other in zip(boxes, boxes[1:], strict=False))
    assert all(one.keys() >= {"digit", "accepted", "image", "box", "seen", "heat_map"} for one in answer)


def test_one_digit_alone_and_pieces_that_nobody_asked_to_cut_are_whole(digits: Images) -> None:
    assert [one.span for one in read_digits(joined(digits.pixels[:1]), SIDE, spare=100)] == [Span(0, 1)]
    assert all(one.span.whole for one in read_digits(joined(digits.pixels[:4], overlap=2), SIDE))


@pytest.mark.parametrize("spare", [1, 7])
def test_no_more_parts_are_given_than_may_be(digits: Images, spare: int) -> None:
    page = np.concatenate([joined(digits.pixels[:4], overlap=2)] * 2)
    given = list(read_digits(page, SIDE, spare))
    assert sum(not one.span.whole for one in given) == spare
    wholes = [one.span for one in given if one.span.whole]
    assert [one.start for one in wholes] == [0, *(one.end for one in wholes[:-1])]


def read(spans: list[Span], confidence: list[float], familiarity: list[float]) -> list[int]:
    return likeliest(spans, np.array(confidence, np.float32), np.array(familiarity, np.float32))


PIECE = [Span(0, 2), Span(0, 1, whole=False), Span(1, 2, whole=False)]


def test_parts_that_look_like_digits_are_read_for_a_whole_that_does_not() -> None:
    assert read(PIECE, [0.9, 0.99, 0.99], [-3, 5, 5]) == [1, 2]
    assert read(PIECE, [0.99, 0.99, 0.99], [5, 5, 5]) == [0]


def test_a_piece_with_a_part_that_is_no_digit_stays_whole() -> None:
    assert read(PIECE, [0.5, 0.99, 0.99], [-9, 5, -0.1]) == [0]


def test_digits_are_read_in_the_order_of_their_cuts() -> None:
    spans = [Span(0, 1), *(one.after(1) for one in PIECE), Span(3, 4)]
    assert read(spans, [0.9] * 5, [3, -9, 3, 3, 3]) == [0, 2, 3, 4]


def test_a_small_picture_of_many_digits_is_prepared_in_a_thread(digits: Images) -> None:
    small = write_png(255 - digits.pixels[0])
    headers = {b"content-type": b"image/png"}
    one, many = (TASK.read(Request(small, headers, query), Limits(1, 2**20)) for query in (b"", b"many=true"))
    assert one.work < HEAVY <= many.work
