"""A rollout: a candidate beside what is served, on a share of the live traffic, in a file beside `CURRENT`.

Whoever reads the file knows all of it, so workers, replicas and operators need nothing else. It holds only for the
version that `against` names: where `CURRENT` names another one, it is over.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import Field, ValidationError

from service.bundle import ROLLOUT, BundleError, Record, Version, read_bounded, replace_text
from service.release.ledger import ReleaseError
from service.release.rules import Rules

MOST, MOST_PAST = 2**20, 50
SPLIT_BY = "x-split-key"
BUCKETS = 2**32

Mode = Literal["shadow", "canary"]
State = Literal["running", "stopped", "promoted", "overtaken"]


class Step(Record):
    """A share of the requests, and for how many seconds; None: until somebody decides."""

    share: float = Field(gt=0, le=1)
    seconds: float | None = Field(default=None, gt=0)


class Stop(Record):
    """Why a rollout was ended, by whom, and when; `rule` is the one that was broken, where one was."""

    when: str
    who: str
    why: str
    rule: str = ""


class Past(Record):
    """A rollout that is over."""

    version: Version
    against: Version
    mode: Mode
    when: str
    who: str
    reason: str = ""
    end: Stop


class Rollout(Record):
    """`since` is when the present step began, in seconds since 1970. `by` names the header that requests are split by.

    `forced`: whether there was no passed gate, and the `reason` says why.
    """

    id: str
    version: Version
    against: Version
    mode: Mode
    steps: tuple[Step, ...] = Field(min_length=1)
    step: int = Field(default=0, ge=0)
    since: float
    by: str = SPLIT_BY
    rules: Rules = Rules()
    when: str
    who: str
    reason: str = ""
    forced: bool = False
    stop: Stop | None = None
    past: tuple[Past, ...] = ()

    @property
    def now(self) -> Step:
        return self.steps[min(self.step, len(self.steps) - 1)]

    def state(self, served: str | None) -> State:
        """What has become of it, where `served` is what `CURRENT` names."""
        if self.stop is not None:
            return "stopped"
        if served == self.version:
            return "promoted"
        return "running" if served == self.against else "overtaken"

    def takes(self, key: bytes) -> bool:
        """Whether the candidate answers who has this key: the same everywhere, and it stays so when the share grows."""
        return place_of(key, self.version) < self.now.share * BUCKETS

    def moved_on(self, clock: float, answers: int) -> "Rollout":
        """What follows once the step's time is up and there were enough answers.

        Behind the last step there is one more number, under which its share goes on. A clock that was put back begins
        the step anew.
        """
        if clock < self.since - 1:
            return self.model_copy(update={"since": clock})
        seconds = self.now.seconds
        if seconds is None or clock - self.since < seconds or answers < self.rules.least or self.is_through:
            return self
        return self.model_copy(update={"step": self.step + 1, "since": clock})

    @property
    def is_through(self) -> bool:
        """Whether the time of the last step is up."""
        return self.step >= len(self.steps)

    def stopped(self, stop: Stop) -> "Rollout":
        return self.model_copy(update={"stop": stop})

    def as_past(self, served: str | None) -> Past:
        end = self.stop or Stop(when="", who="", why=self.state(served))
        own = {name: getattr(self, name) for name in ("version", "against", "mode", "when", "who", "reason")}
        return Past(**own, end=end)


def place_of(key: bytes, version: str) -> int:
    """Where a key lies among the 2^32 places: another version shuffles anew, so that nobody is always the first."""
    return int.from_bytes(blake2b(key, digest_size=4, key=version.encode()[:64]).digest(), "big")


def new_id() -> str:
    return uuid4().hex


def read(home: Path) -> Rollout | None:
    """The last one, None where there was none. Raises ReleaseError for a file that is no rollout."""
    path = home / ROLLOUT
    try:
        return Rollout.model_validate_json(read_bounded(path, MOST))
    except FileNotFoundError:
        return None
    except (OSError, BundleError, ValidationError) as error:
        raise ReleaseError(
            f"{path} cannot be read ({type(error).__name__}): remove it, which ends the rollout that it held"
        ) from None


def write(home: Path, rollout: Rollout) -> None:
    replace_text(home / ROLLOUT, rollout.model_dump_json(indent=2) + "\n")


def steps_of(text: str, every: float | None) -> tuple[Step, ...]:
    """`5%,25%,100%` or `5%:10m,100%:1h` -> steps; those without a time take `every`. Raises ReleaseError."""
    parts = [part.partition(":") for part in text.replace(" ", "").split(",") if part]
    found = tuple(
        Step(share=share_of(share), seconds=seconds_of(time) if time else every if len(parts) > 1 else None)
        for share, _, time in parts
    )
    if not found or [one.share for one in found] != sorted(one.share for one in found):
        raise ReleaseError(f"{text!r} is no list of growing shares, such as 5%,25%,50%,100%")
    return found


def share_of(text: str) -> float:
    """`5%` or `0.05`. Raises ReleaseError."""
    share = _number(text.removesuffix("%"), f"{text!r} is no share: say 5%")
    if not 0 < (share := share / 100 if text.endswith("%") else share) <= 1 or text == "1":
        raise ReleaseError(f"{text!r} is no share: say 5% or 0.05, at most 100%")
    return share


def seconds_of(text: str) -> float:
    """`90s`, `10m`, `2h`, `1d`. Raises ReleaseError."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    said = f"{text!r} is no duration: say 90s, 10m, 2h or 1d"
    seconds = _number(text[:-1] if text[-1:] in units else text, said) * units.get(text[-1:], 1)
    if not 0 < seconds <= 366 * 86400:
        raise ReleaseError(said)
    return seconds


def _number(text: str, otherwise: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ReleaseError(otherwise) from None
