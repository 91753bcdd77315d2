"""A request may hold some rows, but not none and not any number."""

from time import monotonic

import pytest

from service.errors import DeadlineExceeded, InvalidShape, TooManyRows
from service.limits import Limits

LIMITS = Limits(max_rows=4, max_pixels=100)


@pytest.mark.parametrize("rows", [1, 4])
def test_rows_up_to_the_limit_are_fine(rows: int) -> None:
    LIMITS.check_rows(rows, "images")


def test_no_rows_are_refused() -> None:
    with pytest.raises(InvalidShape) as refusal:
        LIMITS.check_rows(0, "images")
    assert refusal.value.field == "images"


def test_too_many_rows_are_refused_with_the_limit() -> None:
    with pytest.raises(TooManyRows, match="More than 4 samples"):
        LIMITS.check_rows(5, "images")


def test_what_is_late_is_not_begun() -> None:
    LIMITS.check_time()
    with pytest.raises(DeadlineExceeded):
        LIMITS._replace(deadline=monotonic() - 1).check_time()
