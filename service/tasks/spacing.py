"""What a CT-denoising bundle takes: slices of the sizes, and of pixels as large, as those that it was measured on."""

from math import isfinite, prod
from typing import Any

import simdjson

from service.bundle import CtDenoising
from service.errors import InvalidShape, InvalidValue, TooManyPixels
from service.limits import Limits

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


def check_slices(
    shape: tuple[int, ...], spacing: Spacing | None, task: CtDenoising, limits: Limits, field: str
) -> None:
    """Raises what says that slices [N, H, W] are too many, or their sides, or their pixels or the size of these."""
    limits.check_rows(shape[0], field)
    if not all(task.min_side <= side <= task.max_side for side in shape[1:]):
        raise InvalidShape(f"Sides must be {task.min_side} to {task.max_side} pixels, got {list(shape[1:])}.", field)
    if (pixels := prod(shape)) > limits.max_pixels:
        raise TooManyPixels(f"{pixels} pixels in one request, limit {limits.max_pixels}.", field)
    check_spacing(spacing, task)


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
