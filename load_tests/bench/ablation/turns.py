"""Two variants by turns: a machine that is slow for a while is slow for both."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from statistics import median, quantiles
from time import process_time
from typing import Any, NamedTuple


class Variant(NamedTuple):
    """`run` answers so many requests; what is `replaced` meanwhile is a context's to say."""

    run: Callable[[], int]
    replaced: Callable[[], AbstractContextManager[Any]] = nullcontext

    def cost_us(self) -> float:
        """Processor time of this process per request."""
        with self.replaced():
            started = process_time()
            requests = self.run()
            return 1e6 * (process_time() - started) / requests


def compare(kept: Variant, without: Variant, rounds: int) -> dict[str, float]:
    """The medians of both, and the median and the middle half of their ratio: above 1 what is kept saves time."""
    kept.cost_us(), without.cost_us()
    pairs = list(_pairs(kept, without, rounds))
    ratios = [other / ours for ours, other in pairs]
    low, _, high = quantiles(ratios, n=4)
    return {
        "with µs": median(ours for ours, _ in pairs),
        "without µs": median(other for _, other in pairs),
        "ratio": median(ratios),
        "from": low,
        "to": high,
    }


def _pairs(kept: Variant, without: Variant, rounds: int) -> Iterator[tuple[float, float]]:
    """Who goes first changes from round to round."""
    for number in range(rounds):
        if number % 2:
            yield kept.cost_us(), without.cost_us()
        else:
            other = without.cost_us()
            yield kept.cost_us(), other
