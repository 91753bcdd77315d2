"""The rules that end a rollout: what a candidate may do worse than what is served.

A share breaks its rule once chance would explain it less often than one time in ten thousand, were the candidate just
within the rule: by the Chernoff bound, n KL(share, limit) > ln 10,000 (Hoeffding 1963). So four rows are enough where
all of them are wrong, and hundreds are wanted where it is close. Means are compared by their standard errors.
"""

from math import log, sqrt
from typing import Any, NamedTuple

from pydantic import Field

from service.bundle import Record

SURE = log(10_000)
ERRORS_APART = 4.0  # standard errors between two means; a normal distribution has 3 in 100,000 beyond
FEWEST = 20  # of a mean
SLACK_S = 0.001  # that a candidate may take longer whatever the factor


class Rules(Record):
    """What a candidate may do; None: no such rule. `least` answers or compared rows must be there to end a step."""

    most_errors: float | None = Field(default=0.01, ge=0, lt=1)
    most_latency: float | None = Field(default=2.0, gt=0)
    least_agreement: float | None = Field(default=0.9, gt=0, le=1)
    most_difference: float | None = Field(default=None, ge=0)
    most_drift: float | None = Field(default=0.25, gt=0)
    most_loss: float | None = Field(default=0.05, ge=0, lt=1)
    least: int = Field(default=100, ge=0)


class Side(NamedTuple):
    """Requests that one of the two versions answered, of which it failed some, and the seconds of the others."""

    answers: int = 0
    errors: int = 0
    seconds: float = 0.0
    squares: float = 0.0

    def and_one(self, seconds: float) -> "Side":
        return Side(self.answers + 1, self.errors, self.seconds + seconds, self.squares + seconds * seconds)

    def and_error(self) -> "Side":
        return self._replace(answers=self.answers + 1, errors=self.errors + 1)

    @property
    def timed(self) -> int:
        return self.answers - self.errors

    @property
    def mean(self) -> float:
        return self.seconds / self.timed if self.timed else 0.0

    @property
    def variance(self) -> float:
        """Of the mean."""
        return max(0.0, self.squares / self.timed - self.mean**2) / self.timed if self.timed else 0.0


class Pairs(NamedTuple):
    """Rows that both have answered: `labelled` of them have labels, the same on `agreed`."""

    rows: int = 0
    labelled: int = 0
    agreed: int = 0
    difference: float = 0.0
    squares: float = 0.0
    skipped: int = 0

    @property
    def agreement(self) -> float | None:
        return self.agreed / self.labelled if self.labelled else None

    @property
    def mean(self) -> float:
        return self.difference / self.rows if self.rows else 0.0


class Quality(NamedTuple):
    """Rows whose truth is known: of the candidate, and of what is served."""

    rows: int
    wrong: int
    served_rows: int
    served_wrong: int


class Evidence(NamedTuple):
    """What is known of a candidate. `drift` is how much farther its index is than that of what is served, and where."""

    candidate: Side = Side()
    served: Side = Side()
    pairs: Pairs = Pairs()
    drift: tuple[float, str] | None = None
    quality: Quality | None = None

    def since(self, before: "Evidence") -> "Evidence":
        """Without what was there before."""

        def apart(now: tuple[float, ...], then: tuple[float, ...]) -> list[Any]:
            return [a - b for a, b in zip(now, then, strict=True)]

        candidate, served = apart(self.candidate, before.candidate), apart(self.served, before.served)
        pairs = Pairs(*apart(self.pairs, before.pairs))
        return self._replace(candidate=Side(*candidate), served=Side(*served), pairs=pairs)


class Breach(NamedTuple):
    rule: str
    why: str


def breach(rules: Rules, evidence: Evidence) -> Breach | None:
    """The first rule that is broken."""
    found = (
        _errors(rules, evidence),
        _latency(rules, evidence),
        _agreement(rules, evidence.pairs),
        _difference(rules, evidence.pairs),
        _drift(rules, evidence),
        _quality(rules, evidence.quality),
    )
    return next((one for one in found if one is not None), None)


def is_beyond(count: int, total: int, limit: float) -> bool:
    """Whether a share of `count` in `total` is above the limit by more than chance explains."""
    if not total or count / total <= limit:
        return False
    share = count / total
    divergence = share * log(share / limit) if limit > 0 else float("inf")
    if share < 1:
        divergence += (1 - share) * log((1 - share) / (1 - limit))
    return total * divergence > SURE


def _errors(rules: Rules, evidence: Evidence) -> Breach | None:
    mine, theirs = evidence.candidate, evidence.served
    if rules.most_errors is None:
        return None
    usual = theirs.errors / theirs.answers if theirs.answers else 0.0
    if not is_beyond(mine.errors, mine.answers, min(0.999, rules.most_errors + usual)):
        return None
    return Breach("errors", f"it failed {mine.errors} of {mine.answers} requests, at most {rules.most_errors:.2%} may")


def _latency(rules: Rules, evidence: Evidence) -> Breach | None:
    mine, theirs = evidence.candidate, evidence.served
    if rules.most_latency is None or min(mine.timed, theirs.timed) < FEWEST:
        return None
    beyond = mine.mean - SLACK_S - rules.most_latency * theirs.mean
    if beyond <= ERRORS_APART * sqrt(mine.variance + rules.most_latency**2 * theirs.variance):
        return None
    took = f"{mine.mean * 1e3:.2f} ms, what is served {theirs.mean * 1e3:.2f} ms"
    return Breach("latency", f"it takes {took}: at most {rules.most_latency:g} times as long is allowed")


def _agreement(rules: Rules, pairs: Pairs) -> Breach | None:
    if rules.least_agreement is None or not is_beyond(
        pairs.labelled - pairs.agreed, pairs.labelled, 1 - rules.least_agreement
    ):
        return None
    return Breach(
        "agreement", f"it agrees on {pairs.agreed} of {pairs.labelled} rows, at least {rules.least_agreement:.1%} must"
    )


def _difference(rules: Rules, pairs: Pairs) -> Breach | None:
    if rules.most_difference is None or pairs.rows < FEWEST:
        return None
    spread = sqrt(max(0.0, pairs.squares / pairs.rows - pairs.mean**2) / pairs.rows)
    if pairs.mean - rules.most_difference <= ERRORS_APART * spread:
        return None
    return Breach(
        "difference",
        f"its numbers are {pairs.mean:.4g} away on average over {pairs.rows} rows, at most {rules.most_difference:g}"
        " is allowed",
    )


def _drift(rules: Rules, evidence: Evidence) -> Breach | None:
    if rules.most_drift is None or evidence.drift is None or evidence.drift[0] <= rules.most_drift:
        return None
    index, where = evidence.drift
    return Breach("drift", f"{where} is {index:.2f} farther from its training data than with what is served")


def _quality(rules: Rules, found: Quality | None) -> Breach | None:
    if rules.most_loss is None or found is None or min(found.rows, found.served_rows) < FEWEST:
        return None
    mine, theirs = found.wrong / found.rows, found.served_wrong / found.served_rows
    spread = sqrt((mine * (1 - mine) + 1 / found.rows) / found.rows + theirs * (1 - theirs) / found.served_rows)
    if mine - theirs - rules.most_loss <= ERRORS_APART * spread:
        return None
    return Breach(
        "quality",
        f"by what turned out it was wrong on {found.wrong} of {found.rows} rows, what is served on"
        f" {found.served_wrong} of {found.served_rows}",
    )
