"""What a client wishes of samples: how many, of which labels, and where their codes come from."""

import secrets
from typing import NamedTuple

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.codecs.arrays import numeric_array, parse_object
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import Request
from service.task import Body

WISHES = "count", "seed", "label", "labels", "latents", "interpolate", "grid", "truncation"
CODES = "latents", "interpolate", "grid"  # of which one at most says where codes come from
MAX_SEED = 2**63 - 1
DRAWN = 512  # bytes, as `Body.work` counts: what a latent code takes to draw
MORE = 4  # times as many samples may be drawn as samples may be sent
STEPS = 16  # from one code to another, where no count is given

End = int | NDArray[np.float64]
"""Where a way between codes begins or ends: the first code of a seed, or a code."""


class Wish(NamedTuple):
    """What to draw: `latents` instead of random codes, `label` for all samples or `labels` for each."""

    count: int  # type: ignore[assignment]  # tuples have a method of that name
    seed: int
    label: int | str | None
    labels: list[object] | None
    latents: NDArray[np.float64] | None
    ends: tuple[End, End] | None
    grid: int | None
    truncation: float


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    sent = parse_object(request.body, {*WISHES, *fields}, limits)
    wish = {name: sent.pop(name) for name in WISHES if sent.get(name) is not None}
    if isinstance(wish.get("label"), simdjson.Array) and "labels" not in wish:
        wish["labels"] = wish.pop("label")
    seed = _integer(wish.get("seed", secrets.randbelow(MAX_SEED)), "seed", 0, MAX_SEED)
    for field in [name for name in CODES if name in wish][1:]:
        raise InvalidValue(f"Give only one of {', '.join(CODES)}.", field)
    number, ends, grid = 1, None, None
    if "grid" in wish:
        grid = _integer(wish["grid"], "grid", 1, 2**10)
        number = grid * grid
    if "interpolate" in wish:
        number, ends = STEPS, _ends(wish["interpolate"])
    for field in ("labels", "latents"):
        if field in wish:
            if not isinstance(wish[field], simdjson.Array):
                raise InvalidValue("Must be an array.", field)
            number = len(wish[field])
            limits.check_rows(number, field)
    count = _integer(wish.get("count", number), "count", 1, None)
    limits._replace(max_rows=MORE * limits.max_rows).check_rows(count, "count")
    labels = wish["labels"].as_list() if "labels" in wish else None
    latents = numeric_array(wish["latents"], "latents") if "latents" in wish else None
    others = {name: sent.get(name) for name in fields}
    drawn = Wish(count, seed, wish.get("label"), labels, latents, ends, grid, _truncation(wish.get("truncation", 1.0)))
    return Body(drawn, others, count * DRAWN)


def _integer(value: object, field: str, low: int, high: int | None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        most = f", at most {high}" if high else ""
        raise InvalidValue(f"Must be a whole number of at least {low}{most}, in digits alone.", field)
    return value


def _truncation(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise InvalidValue("Must be a number above 0, at most 1.", "truncation")
    return float(value)


def _ends(value: object) -> tuple[End, End]:
    if not isinstance(value, simdjson.Array) or len(value) != 2:
        raise InvalidValue("Must be an array of two seeds or latent codes.", "interpolate")
    first, last = (_end(one, f"interpolate[{i}]") for i, one in enumerate(value))
    return first, last


def _end(value: object, field: str) -> End:
    if isinstance(value, simdjson.Array):
        return numeric_array(value, field)
    return _integer(value, field, 0, MAX_SEED)
