"""What a manifest says of the task that its model does, one record for each kind of task."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.bundle.record import Record
from service.bundle.signature import BACK, ENCODE, EXPLANATION, MAIN, Graph
from service.bundle.words import Tokeniser


class Spec(Record):
    """`kind` tells specs apart; the service has a task of that kind in `service/tasks/`."""

    kind: str

    def check(self, graphs: Mapping[str, Graph]) -> None:
        """Raises ValueError when the graphs are not what the task needs."""


class _Classification(Spec):
    """The graph gives `probabilities` [batch, labels].

    A graph `explanation` gives `class_maps` [batch, labels, height, width], and then the activations of the layers
    from the first to the last.
    """

    labels: tuple[int, ...] | tuple[str, ...]

    def check(self, graphs: Mapping[str, Graph]) -> None:
        _require(graphs[MAIN], "probabilities", len(self.labels))
        if (explanation := graphs.get(EXPLANATION)) is not None:
            if explanation.outputs[0].name != "class_maps":
                raise ValueError("the explanation must begin with `class_maps`")
            _require(explanation, "class_maps", len(self.labels))


class DigitClassification(_Classification):
    """Grey images, white on black -> one probability per label.

    With an `acceptance_threshold` the graph also gives `familiarity` [batch], higher for pictures that are more like
    digits; below the threshold the answer is not accepted. A model of digits that were not drawn the way MNIST's were
    takes no `pictures`, which are prepared that way, but numbers alone.
    """

    kind: Literal["digit-classification"] = "digit-classification"
    labels: tuple[int, ...]
    acceptance_threshold: float | None = None
    pictures: bool = True

    def check(self, graphs: Mapping[str, Graph]) -> None:
        super().check(graphs)
        if self.acceptance_threshold is not None and "familiarity" not in {one.name for one in graphs[MAIN].outputs}:
            raise ValueError("with an acceptance_threshold the graph must give `familiarity`")


class ImageClassification(_Classification):
    """Images [batch, height, width], grey, or [batch, height, width, 3], colours -> one probability per label."""

    kind: Literal["image-classification"] = "image-classification"
    labels: tuple[str, ...]


class ClipClassification(_Classification):
    """Clips [batch, frames, height, width], grey -> one probability per label."""

    kind: Literal["clip-classification"] = "clip-classification"
    labels: tuple[str, ...]

    def check(self, graphs: Mapping[str, Graph]) -> None:
        super().check(graphs)
        if [len(one.shape) for one in graphs[MAIN].inputs] != [4]:
            raise ValueError("the graph must take one input [batch, frames, height, width]")


class TextClassification(_Classification):
    """Texts of at most `longest` characters -> one probability per label.

    The graph takes texts [batch], or with a `tokeniser` their words [batch, words]. One that takes words may also give
    `contributions` [batch, labels, words], what each word adds to the score of each label.
    """

    kind: Literal["text-classification"] = "text-classification"
    labels: tuple[str, ...]
    longest: int = Field(default=2**16, gt=0)
    tokeniser: Tokeniser | None = None

    def check(self, graphs: Mapping[str, Graph]) -> None:
        super().check(graphs)
        shape = ("batch", "words") if self.tokeniser else ("batch",)
        if [(one.dtype, one.shape) for one in graphs[MAIN].inputs] != [("string", shape)]:
            raise ValueError(f"the graph must take one input of texts [{', '.join(shape)}]")
        if "contributions" in {one.name for one in graphs[MAIN].outputs}:
            _require(graphs[MAIN], "contributions", len(self.labels), *shape[1:])


class Attribute(Record):
    """One attribute of a row: a number in `range`, or one of `values` (each with its `codes` twin, where it has one).

    The graph's input holds a category as its index in `values`. `levels` are the numbers at which the steps of an
    additive model begin, the least of the range first; `changeable` is what an applicant can change. In training
    numbers lay in `seen`, and the values in `unseen` did not occur. An attribute with `missing` may be left out: then
    the graph takes this number, which is nothing that the attribute can be.
    """

    name: str
    description: str
    unit: str = ""
    range: tuple[float, float] | None = None
    values: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    changeable: bool = False
    seen: tuple[float, float] | None = None
    unseen: tuple[str, ...] = ()
    missing: float | None = None

    @model_validator(mode="after")
    def _number_or_category(self) -> Self:
        if bool(self.values) == bool(self.range):
            raise ValueError(f"attribute {self.name!r} needs either a range or values")
        if self.codes and len(self.codes) != len(self.values):
            raise ValueError(f"attribute {self.name!r} needs one code per value")
        low, high = self.range or (0, len(self.values) - 1)
        if self.missing is not None and low <= self.missing <= high:
            raise ValueError(f"attribute {self.name!r} may be what `missing` says of it")
        return self

    @cached_property
    def positions(self) -> dict[str, float]:
        """What the graph takes for each readable value and for each code."""
        return {text: float(i) for names in (self.values, self.codes) for i, text in enumerate(names)}


class _Tabular(Spec):
    """The main graph takes one input, float32 [batch, attributes], in the order of `attributes`."""

    attributes: tuple[Attribute, ...] = Field(min_length=1)

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(attribute.name for attribute in self.attributes)

    @cached_property
    def required(self) -> frozenset[str]:
        """The attributes that may not be left out."""
        return frozenset(attribute.name for attribute in self.attributes if attribute.missing is None)

    def check(self, graphs: Mapping[str, Graph]) -> None:
        if len(self.names) < len(self.attributes):
            raise ValueError("an attribute is named twice")
        if [one.shape[1:] for one in graphs[MAIN].inputs] != [(len(self.attributes),)]:
            raise ValueError("the graph must take one input [batch, attributes]")


class Points(Record):
    """A scale of scores: `base` at odds of `odds` to 1 for paying back, `double` more where the odds are twice so."""

    base: float = 600
    odds: float = Field(default=50, gt=0)
    double: float = Field(default=20, gt=0)


class CreditScoring(_Tabular):
    """Applicants -> `default_probability` [batch], approved where it is below `decision_threshold`.

    With `refer`, probabilities from its low to its high are for a person to decide. A model that explains itself also
    gives `contributions` [batch, attributes], what each attribute adds to the log-odds of default, and has a graph
    `explanation` that gives `alternatives` [batch, attributes, levels]: what it would add at each of its levels. With
    a `coverage` that graph also gives `interval` [batch, 2], which is to hold the true probability so often.
    """

    kind: Literal["credit-scoring"] = "credit-scoring"
    decision_threshold: float = Field(gt=0, lt=1)
    points: Points = Points()
    refer: tuple[float, float] | None = None
    coverage: float | None = Field(default=None, gt=0, lt=1)

    def check(self, graphs: Mapping[str, Graph]) -> None:
        super().check(graphs)
        _require(graphs[MAIN], "default_probability")
        if self.refer and not 0 <= self.refer[0] <= self.decision_threshold <= self.refer[1] <= 1:
            raise ValueError("the band `refer` must hold the decision_threshold")
        if (explanation := graphs.get(EXPLANATION)) is not None:
            _require(graphs[MAIN], "contributions", len(self.attributes))
            most = max(len(one.values or one.levels) for one in self.attributes)
            _require(explanation, "alternatives", len(self.attributes), most)
        if self.coverage is not None:
            if explanation is None:
                raise ValueError(f"an interval comes from the graph {EXPLANATION}, which is missing")
            _require(explanation, "interval", 2)


class Quantity(Record):
    """A number that a model gives."""

    name: str
    description: str
    unit: str = ""


class TabularPrediction(_Tabular):
    """Rows of any table -> a class, several labels or numbers.

    With `labels` the graph gives `probabilities` [batch, labels], with `quantities` it gives `values` [batch,
    quantities]. With `thresholds`, one for each label, labels do not exclude each other, and those apply whose
    probability reaches theirs. With a `coverage` the graph also gives `interval` [batch, quantities, 2], which is to
    hold that share of the true values; the figures say what it held.
    """

    kind: Literal["tabular-prediction"] = "tabular-prediction"
    labels: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    coverage: float | None = Field(default=None, gt=0, lt=1)

    def check(self, graphs: Mapping[str, Graph]) -> None:
        super().check(graphs)
        if bool(self.labels) == bool(self.quantities):
            raise ValueError("a table gives either labels or quantities")
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ValueError("labels that do not exclude each other need one threshold each")
        if self.coverage is not None:
            _require(graphs[MAIN], "interval", len(self.quantities), 2)
        if self.labels:
            _require(graphs[MAIN], "probabilities", len(self.labels))
        else:
            _require(graphs[MAIN], "values", len(self.quantities))


class CtDenoising(Spec):
    """CT slices [batch, height, width] in Hounsfield units -> the same slices with less noise.

    `window` is the (low, high) HU range of PNG previews; pixels must lie within `spacing_mm` (low, high) both ways,
    where it is given: where a measurement showed that slices gain. `caution` is a sentence that every answer carries
    as a warning. A graph may take `noise` [batch] as well, the standard deviation of the slices' noise in HU.
    """

    kind: Literal["ct-denoising"] = "ct-denoising"
    window: tuple[float, float]
    spacing_mm: tuple[float, float] | None = None
    caution: str = ""

    def check(self, graphs: Mapping[str, Graph]) -> None:
        first, *others = graphs[MAIN].inputs
        if len(first.shape) != 3 or [(one.name, one.shape) for one in others] not in ([], [("noise", ("batch",))]):
            raise ValueError("the graph must take slices [batch, height, width], and may take `noise` [batch]")


class ImageTransformation(Spec):
    """Images [batch, height, width], grey, or [batch, height, width, 3], colours -> other images, the first output.

    Their sides may be others. `ct-denoising` is for slices in Hounsfield units.
    """

    kind: Literal["image-transformation"] = "image-transformation"

    def check(self, graphs: Mapping[str, Graph]) -> None:
        made = graphs[MAIN].outputs[0]
        if made.dtype != "float32" or len(made.shape) - (made.shape[-1] == 3) != 3:
            raise ValueError("the first output must be float32 [batch, height, width] or [batch, height, width, 3]")


class SampleGeneration(Spec):
    """Latent codes (and labels, where the model takes them) -> images.

    A graph `encode` takes images (and `label`, as the main one does) and gives `latent` [batch, latent_size], of which
    the main one draws them again.
    """

    kind: Literal["sample-generation"] = "sample-generation"
    latent_size: int = Field(gt=0, le=65536)
    labels: tuple[str, ...] = ()

    def check(self, graphs: Mapping[str, Graph]) -> None:
        if (encode := graphs.get(ENCODE)) is not None:
            _require(encode, "latent", self.latent_size)
            if [one.name for one in encode.inputs[1:]] != ["label"] * bool(self.labels):
                raise ValueError("the graph `encode` must take images, and `label` where the main one does")


class SampleTranslation(Spec):
    """Grey images [batch, height, width] of the first of two `domains` -> of the second; a graph `back` goes back.

    Both graphs take and give tensors of the same names and shapes.
    """

    kind: Literal["sample-translation"] = "sample-translation"
    domains: tuple[str, str]

    def check(self, graphs: Mapping[str, Graph]) -> None:
        if BACK not in graphs or self.domains[0] == self.domains[1]:
            raise ValueError("the bundle needs two domains, and a graph `back` from the second to the first")
        forth, back = graphs[MAIN], graphs[BACK]
        sides = [[(one.name, one.shape) for one in (*graph.inputs, *graph.outputs)] for graph in (forth, back)]
        if sides[0] != sides[1] or len(forth.inputs) != 1 or len(forth.inputs[0].shape) != 3:
            raise ValueError("both graphs must take and give the same tensors, images [batch, height, width] first")


class SeriesForecasting(Spec):
    """Histories [batch, steps], any number of equal steps in time -> what comes in the next `horizon` steps.

    Beside the history the graph takes a `mask` [batch, steps], 1 where there is a value. It gives `values` [batch,
    horizon], and `low` and `high` [batch, levels, horizon], between which a value lies with the probability of each of
    the `levels`. It scales with the history: no unit is that of the training data. What repeats itself does so after
    `season` steps.
    """

    kind: Literal["series-forecasting"] = "series-forecasting"
    frequency: str
    season: int = Field(gt=0)
    horizon: int = Field(gt=0, le=1024)
    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()

    def check(self, graphs: Mapping[str, Graph]) -> None:
        if [(one.name, one.shape) for one in graphs[MAIN].inputs] != [
            (name, ("batch", "steps")) for name in ("history", "mask")
        ]:
            raise ValueError("the graph must take `history` [batch, steps] and `mask` [batch, steps]")
        _require(graphs[MAIN], "values", self.horizon)
        for bound in ("low", "high") if self.levels else ():
            _require(graphs[MAIN], bound, len(self.levels), self.horizon)


class SalesForecasting(Spec):
    """Months of earlier years and what this year has reached -> the chance of a target, and quantiles of the total.

    The graph takes `history` [batch, years, 12], `state` [batch, 3] - months passed, reached, target - and `uniform`
    [batch, 12, draws], and gives `probability` [batch, options] and `quantiles` [batch, options, quantiles]. The
    options are ways to draw the months that are left; the service draws `draws` times.
    """

    kind: Literal["sales-forecasting"] = "sales-forecasting"
    options: tuple[str, ...] = Field(min_length=1)
    quantiles: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    draws: int = Field(default=10_000, ge=1, le=100_000)

    def check(self, graphs: Mapping[str, Graph]) -> None:
        given = {one.name: one.shape[1:] for one in graphs[MAIN].inputs}
        if given != {"history": ("years", 12), "state": (3,), "uniform": (12, "draws")}:
            raise ValueError("the graph must take `history`, `state` and `uniform`, as the kind says")
        _require(graphs[MAIN], "probability", len(self.options))
        _require(graphs[MAIN], "quantiles", len(self.options), len(self.quantiles))


class TensorPrediction(Spec):
    """Any other model: tensors in and out by the signature."""

    kind: Literal["tensor-prediction"] = "tensor-prediction"
    labels: tuple[str, ...] = ()


TaskSpec = Annotated[
    DigitClassification
    | ImageClassification
    | ClipClassification
    | TextClassification
    | TabularPrediction
    | CreditScoring
    | CtDenoising
    | ImageTransformation
    | SampleGeneration
    | SampleTranslation
    | SeriesForecasting
    | SalesForecasting
    | TensorPrediction,
    Field(discriminator="kind"),
]


def _require(graph: Graph, name: str, *sides: int | str) -> None:
    """Raises ValueError unless the graph gives `name` [batch, sides...]; more sides may follow."""
    shape = next((tensor.shape for tensor in graph.outputs if tensor.name == name), None)
    if shape is None or shape[1 : 1 + len(sides)] != sides:
        wanted = ", ".join(["batch", *map(str, sides)])
        raise ValueError(f"{graph.file} must give `{name}` [{wanted}{', ...' if sides else ''}], its manifest says so")
