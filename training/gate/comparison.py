"""The figures of a candidate beside those of the served model, measured now and on the same rows."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from service.bundle import Metric
from service.release.verdict import Check
from training.measures.evaluation import Z95
from training.measures.paired import Rows, Scores, difference, gain

LEVEL = 0.025  # how often the headline figure, or a slice, of an equally good candidate may fail
# What is worse the larger it is. The rest is worse the smaller it is, but for what should be 0.
WORSE_IF_MORE = (
    *("error", "cost", "Brier", "RMSE", "distance", "deviation", "noise after", "change of", "false", "loss"),
    *("times the floor", "divergence"),
)
BEST_AT_ZERO = ("mean error", "mean shift", "defaults less those expected")
INTERVAL = re.compile(r"coverage of the (\d+) ?% interval")  # one that holds more than it says is too wide


def figures(before: tuple[Metric, ...], after: tuple[Metric, ...]) -> Iterator[Check]:
    """Each figure may lose half the width of the served one's interval, and more where there are many to lose."""
    fresh = {metric.name: metric for metric in after}
    factor = norm.ppf(1 - 0.05 / (2 * len(before))) / Z95
    for old in before:
        if (new := fresh.get(old.name)) is None:
            yield Check(name=old.name, passed=False, text="the candidate has no such figure")
            continue
        allowed = float(factor * (old.high - old.low) / 2 + 1e-6 * abs(old.value))
        lost = _harm(new) - _harm(old)
        text = f"{new.value:.6g}, served {old.value:.6g}; it may lose {allowed:.3g}"
        numbers = {"candidate": new.value, "served": old.value, "lost": lost, "allowed": allowed}
        yield Check(name=old.name, passed=lost <= allowed, text=text, numbers=numbers)


def _harm(metric: Metric) -> float:
    if metric.name.startswith(BEST_AT_ZERO):
        return abs(metric.value)
    if (interval := INTERVAL.match(metric.name)) is not None:
        return abs(metric.value - int(interval[1]) / 100)
    return metric.value if any(word in metric.name for word in WORSE_IF_MORE) else -metric.value


def rows(before: Rows, after: Rows) -> Iterator[Check]:
    """All rows, and each slice by itself: the more of them there are, the surer its loss must be."""
    yield _paired("paired", before, after, None, LEVEL)
    for name, mask in before.slices.items():
        yield _paired(name, before, after, mask, LEVEL / len(before.slices))


def scores(before: Scores, after: Scores) -> Iterator[Check]:
    """The same of a figure that is no share of rows, by resampling the items that both were asked."""
    yield _resampled("paired", before, after, None, LEVEL)
    for name, mask in before.slices.items():
        yield _resampled(name, before, after, mask, LEVEL / len(before.slices))


def _resampled(name: str, before: Scores, after: Scores, mask: NDArray[np.bool_] | None, level: float) -> Check:
    found, chance = gain(before, after, mask)
    text = (
        f"{found.value:+.4g} [{found.low:+.4g}, {found.high:+.4g}] of {found.count:,} {before.items}, "
        f"by chance {chance:.3g}; it must be {level:.3g} or more{_slight(before.slight)}"
    )
    numbers = {"difference": found.value, "low": found.low, "high": found.high, "chance": chance, "level": level}
    return Check(name=name, passed=chance >= level, text=text, numbers=numbers | {"slight": before.slight})


def _paired(name: str, before: Rows, after: Rows, mask: NDArray[np.bool_] | None, level: float) -> Check:
    chosen = slice(None) if mask is None else mask
    found = difference(before.right[chosen], after.right[chosen], before.slight)
    share = found.share
    text = (
        f"{share.value:+.4f} [{share.low:+.4f}, {share.high:+.4f}] of {share.count:,} rows, {found.gained} gained and "
        f"{found.lost} lost, by chance {found.chance:.3g}; it must be {level:.3g} or more{_slight(before.slight)}"
    )
    numbers = {"difference": share.value, "low": share.low, "high": share.high, "chance": found.chance, "level": level}
    return Check(name=name, passed=found.chance >= level, text=text, numbers=numbers | {"slight": before.slight})


def _slight(loss: float) -> str:
    return f", and a loss of {loss:g} is slight" if loss else ""
