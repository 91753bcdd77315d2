"""What a client may ask of CT denoising beside the slices themselves."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any, Literal

from service.errors import InvalidValue
from service.messages import flag
from service.task import Option

Window = tuple[float, float]  # from the lowest to the highest HU that is told from black and white
View = Literal["denoised", "compare", "difference"]

VIEWS: tuple[View, ...] = ("denoised", "compare", "difference")
# Centre and width as radiologists set them.
WINDOWS: dict[str, Sequence[str | int]] = {
    "lung": (-600, 1500),
    "soft-tissue": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
}
WIDEST = 65536.0  # HU
LOUDEST = 1000.0  # HU of noise


def parse_window(value: object, field: str = "window") -> Window | None:
    """The name of a window, or its centre and width in HU with a stroke between. Raises InvalidValue."""
    if value is None:
        return None
    text = value.strip().lower() if isinstance(value, str) else ""
    parts = WINDOWS.get(text.replace(" ", "-").replace("_", "-"), text.split("/"))
    try:
        centre, width = map(float, parts)
    except ValueError:
        centre, width = 0.0, 0.0
    if not (abs(centre) <= WIDEST and 0 < width <= WIDEST):
        names = ", ".join(WINDOWS)
        raise InvalidValue(f"Must be {names} or centre/width in HU, such as 40/400.", field)
    return centre - width / 2, centre + width / 2


def _parse_view(value: object, field: str) -> View | None:
    for view in VIEWS:
        if value == view:
            return view
    if value is None:
        return None
    raise InvalidValue(f"Must be one of {', '.join(VIEWS)}.", field)


def _number(lowest: float, highest: float, what: str) -> Callable[[object, str], Any]:
    def parse(value: object, field: str) -> float | None:
        if value is None:
            return None
        try:
            number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else -1.0
        except (ValueError, OverflowError):
            number = -1.0
        if not (isfinite(number) and lowest <= number <= highest):
            raise InvalidValue(f"Must be {what}.", field)
        return number

    return parse


STRENGTH = Option(
    "strength",
    "How much of the model's change is made, 0 (none) to 1 (all of it, the default).",
    {"type": "number", "minimum": 0, "maximum": 1},
    _number(0, 1, "a number from 0 to 1"),
)
NOISE = Option(
    "noise",
    "The slices' noise in HU, for models that want to be told; found in the slices where it is not given.",
    {"type": "number", "minimum": 0, "maximum": LOUDEST},
    _number(0, LOUDEST, f"a number of HU from 0 to {LOUDEST:g}"),
)
WINDOW = Option(
    "window",
    f"Of a PNG: {', '.join(WINDOWS)}, or centre/width in HU; the model's own where none is given.",
    {"type": "string"},
    parse_window,
)
VIEW = Option(
    "view",
    "Of a PNG: the denoised slice, before and after side by side, or what was changed, grey where nothing was.",
    {"type": "string", "enum": list(VIEWS)},
    _parse_view,
)
DEIDENTIFY = Option(
    "deidentify",
    "Answer DICOM without what tells of the patient, by the basic profile of DICOM PS3.15 annex E.",
    {"type": "boolean"},
    flag,
)
