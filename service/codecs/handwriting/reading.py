"""Which digits are read in a picture where some may be parts of others: those that are likeliest together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.codecs.handwriting.ink import Floats

WHOLE = 0.2  # by so much, as a logarithm, a whole piece is likelier than its parts


class Span(NamedTuple):
    """Numbers of the cuts between which a digit lies; a part of a piece is not `whole`."""

    start: int
    end: int
    whole: bool = True

    def after(self, cuts: int) -> "Span":
        return Span(self.start + cuts, self.end + cuts, self.whole)


def likeliest(spans: Sequence[Span], confidence: Floats, familiarity: Floats) -> list[int]:
    """Which of the spans, one after the other from cut 0 to the last one, are read.

    `familiarity` is counted from the threshold; a part that is below it is none. The most likely way is found as
    Viterbi does (IEEE Trans. Information Theory 13, 1967): all ways to a cut are known before one goes on from it.
    """
    likely = np.log(np.maximum(confidence, 1e-9)) - np.logaddexp(0, -familiarity)
    best, last = {0: 0.0}, dict[int, int]()
    for one in sorted(range(len(spans)), key=lambda one: spans[one]):
        start, end, whole = spans[one]
        if start in best and (whole or familiarity[one] >= 0):
            together = best[start] + float(likely[one]) + WHOLE * whole
            if together > best.get(end, -np.inf):
                best[end], last[end] = together, one
    way, cut = list[int](), max(best)
    while cut:
        way.append(last[cut])
        cut = spans[last[cut]].start
    return way[::-1]
