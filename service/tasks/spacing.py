"""The size of the pixels of CT slices: what a client may say of it, and what a bundle was measured to help."""

from math import isfinite
from typing import Any

import simdjson

from service.bundle import CtDenoising
from service.errors import InvalidValue
from service.task import Option

Spacing = tuple[float, float]  # mm between rows, and between columns


def parse_spacing(value: Any, field: str = "spacing_mm") -> Spacing | None:
    """One number for both or two of them, also in text with a comma between. Raises InvalidValue."""
    if value is None:
        return None
    given: list[Any] = [value]
    if isinstance(value, str):
        given = list(value[:64].split(","))
    elif isinstance(value, simdjson.Array):
        given = [value[i] for i in range(min(len(value), 3))]
    numbers = [_positive(one, field) for one in given]
    if len(numbers) not in (1, 2):
        raise InvalidValue("Must be one number of millimetres, or two: between rows and between columns.", field)
    return numbers[0], numbers[-1]


def _positive(one: Any, field: str) -> float:
    try:
        number = float(one) if isinstance(one, (str, int, float)) and not isinstance(one, bool) else 0.0
    except (ValueError, OverflowError):
        number = 0.0
    if not (isfinite(number) and number > 0):
        raise InvalidValue("Must be a positive number of millimetres.", field)
    return number


SPACING = Option(
    "spacing_mm",
    "Millimetres between pixels of CT slices, one number or two with a comma between (rows, columns), for slices that"
    " do not say it themselves.",
    {"type": "string"},
    parse_spacing,
)


def check_spacing(spacing: Spacing | None, task: CtDenoising, field: str = "spacing_mm") -> None:
    """Raises InvalidValue unless pixels are of a size at which the model was measured to help."""
    if task.spacing_mm is None:
        return
    low, high = task.spacing_mm
    allowed = f"This model was measured to help at a PixelSpacing of {low:g} to {high:g} mm"
    if spacing is None:
        raise InvalidValue(f"{allowed}: say the slices' own, in DICOM or as spacing_mm.", field)
    if not all(low <= side <= high for side in spacing):
        rows, columns = spacing
        raise InvalidValue(f"{allowed} and would damage slices of {rows:g} x {columns:g} mm.", field)
