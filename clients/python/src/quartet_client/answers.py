"""What the endpoints answer, as types. `raw` is the JSON object itself, with whatever a newer service adds."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import httpx

if TYPE_CHECKING:
    import pandas as pd

Json = Mapping[str, Any]
A = TypeVar("A", bound="Answer")
P = TypeVar("P", bound="Answer")


@dataclass(frozen=True)
class Answer:
    """Built of a JSON object by the names of its fields; those that are missing keep their defaults."""

    parts: ClassVar[Mapping[str, type["Answer"]]] = {}  # fields that are objects, or lists of them

    raw: Json = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    @classmethod
    def of(cls: type[A], data: Json) -> A:
        known = {one.name for one in dataclasses.fields(cls)} - {"raw"}
        values = {name: cls._part(name, value) for name, value in data.items() if name in known}
        return cls(**values, raw=data)

    @classmethod
    def _part(cls, name: str, value: Any) -> Any:
        kind = cls.parts.get(name)
        if kind is None or value is None:
            return value
        return [kind.of(one) for one in value] if isinstance(value, list) else kind.of(value)

    @classmethod
    def read(cls: type[A], response: httpx.Response) -> A:
        return cls.of(response.json())


@dataclass(frozen=True)
class Model(Answer):
    """Which model answered."""

    name: str
    version: str


@dataclass(frozen=True)
class Predictions(Answer, Generic[P], Sequence[P]):
    """One prediction for each sample, in their order."""

    parts: ClassVar[Mapping[str, type[Answer]]] = {"model": Model}

    model: Model
    predictions: list[P]

    def __len__(self) -> int:
        return len(self.predictions)

    def __getitem__(self, index: Any) -> Any:
        return self.predictions[index]

    def __iter__(self) -> Iterator[P]:
        return iter(self.predictions)

    def frame(self) -> "pd.DataFrame":
        """A row for each prediction, as pandas has it."""
        import pandas

        return pandas.json_normalize([dict(one.raw) for one in self.predictions])


@dataclass(frozen=True)
class Digit(Answer):
    """`accepted` is false for what is no digit, and `reason` says why. `box` is x, y, width, height in the picture
    `image`, where several were looked for. `heat_map` and `seen` are PNG in base64, where an explanation was asked for.
    """

    digit: int
    confidence: float
    probabilities: list[float]
    accepted: bool = True
    reason: str | None = None
    image: int | None = None
    box: list[int] | None = None
    heat_map: str | None = None
    seen: str | None = None


@dataclass(frozen=True)
class Digits(Predictions[Digit]):
    parts = {"model": Model, "predictions": Digit}


@dataclass(frozen=True)
class ImageLabel(Answer):
    label: str
    confidence: float
    probabilities: list[float]
    heat_map: str | None = None
    seen: str | None = None


@dataclass(frozen=True)
class ImageLabels(Predictions[ImageLabel]):
    parts = {"model": Model, "predictions": ImageLabel}


@dataclass(frozen=True)
class ClipLabel(Answer):
    label: str
    confidence: float
    probabilities: list[float]


@dataclass(frozen=True)
class ClipLabels(Predictions[ClipLabel]):
    parts = {"model": Model, "predictions": ClipLabel}


@dataclass(frozen=True)
class Word(Answer):
    """A word of a text from `start` to `end`; a `weight` below 0 spoke against the label."""

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class TextLabel(Answer):
    """`words` are the weightiest, where an explanation was asked for."""

    parts = {"words": Word}

    label: str
    confidence: float
    probabilities: list[float]
    words: list[Word] | None = None


@dataclass(frozen=True)
class TextLabels(Predictions[TextLabel]):
    parts = {"model": Model, "predictions": TextLabel}

    labels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RowError(Answer):
    """What is wrong with a row, counted from 1; without a row it is wrong with the whole table."""

    detail: str
    row: int | None = None
    column: str | None = None
    field: str | None = None


@dataclass(frozen=True)
class Row(Answer):
    """A class with its probability, all `labels` that apply, or numbers by their names with `intervals` about them."""

    label: str | None = None
    confidence: float | None = None
    labels: list[str] | None = None
    probabilities: list[float] | None = None
    values: dict[str, float] | None = None
    intervals: dict[str, list[float]] | None = None


@dataclass(frozen=True)
class Rows(Predictions[Row]):
    """`coverage` is the share of true values that the intervals are to hold. Where wrong rows were skipped, `rows` are
    those that were answered, counted from 1, and `errors` what is wrong with the others.
    """

    parts = {"model": Model, "predictions": Row, "errors": RowError}

    units: dict[str, str] | None = None
    coverage: float | None = None
    rows: list[int] | None = None
    errors: list[RowError] = field(default_factory=list)


@dataclass(frozen=True)
class Reason(Answer):
    """An attribute that costs points."""

    attribute: str
    value: str | float
    points: float
    text: str


@dataclass(frozen=True)
class Change(Answer):
    """The change of one attribute that has the loan approved; `raw` has it under `from` and `to`."""

    attribute: str
    default_probability: float


@dataclass(frozen=True)
class Score(Answer):
    """All but the first two are None unless an explanation was asked for."""

    parts = {"reasons": Reason, "change": Change}

    default_probability: float
    decision: str
    interval: list[float] | None = None
    points: float | None = None
    reasons: list[Reason] | None = None
    other_points: float | None = None
    change: Change | None = None
    unusual: list[str] | None = None


@dataclass(frozen=True)
class Scores(Predictions[Score]):
    """`rows` and `errors` as of `Rows`; `coverage` says how often intervals are to hold the true probability."""

    parts = {"model": Model, "predictions": Score, "errors": RowError}

    rows: list[int] | None = None
    errors: list[RowError] = field(default_factory=list)
    coverage: float | None = None


@dataclass(frozen=True)
class Received(Answer):
    """How many outcomes came, and how many of them belong to a row that is known."""

    received: int
    matched: int


@dataclass(frozen=True)
class ModelSummary(Answer):
    """One of the list of models. `raw` has all figures; `kind` says which endpoint it answers to, `default` whether it
    does where none is named.
    """

    name: str
    version: str
    kind: str = ""
    default: bool = False
    family: str = ""
    description: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)
