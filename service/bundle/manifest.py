"""The manifest, `bundle.json`: what a model is, what it takes and gives, where it comes from and how good it is."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from service.bundle.cascade import Cascade
from service.bundle.record import Family, FileName, Name, Record, Sha256, Version
from service.bundle.signature import BATCH, MAIN, Asset, Axis, Graph, Tensor
from service.bundle.specs import TaskSpec

GOLDEN = "golden.npz"


class Source(Record):
    """Where training data came from. `address` is the canonical public place, `licence` what it says of the data."""

    name: str
    package: str
    sha256: Sha256
    licence: str
    address: str


class Start(Record):
    """The version of the same model whose weights a training began with, and the sha256 of its graph."""

    version: Version
    sha256: Sha256


class Provenance(Record):
    """How this version came to be: enough to train it again.

    `git_commit` is what the training began with, `exported_at` the commit of the export where that is another.
    `recipe_hash` is git's of the recipe as that commit has it: a rebase replaces the commit and leaves the hash.
    `exported_from` is an earlier version with the same weights, whose answers it gives; `start` is absent where the
    weights were random at first.
    """

    recipe: str
    command: str
    git_commit: str
    recipe_hash: str | None = None
    exported_at: str | None = None
    exported_from: Start | None = None
    start: Start | None = None
    seed: int
    hyperparameters: dict[str, Any]
    sources: tuple[Source, ...]
    libraries: dict[str, str]
    device: str
    seconds: float = Field(ge=0)


class Metric(Record):
    """A held-out figure with its 95 % confidence interval; `count` is the number of samples behind it."""

    name: str
    value: float
    low: float
    high: float
    count: int = Field(gt=0)
    unit: str = ""
    split: str = "test"
    description: str = ""


class Histogram(Record):
    """Distribution of a feature or an output in the training data, the reference that drift is measured against.

    `feature` is the name of an attribute, of an input or output [batch], or of one of the quantities; `probabilities`,
    which stands for the place of the likeliest label; or begins with `mean `: the mean over an item of the output whose
    name follows, or else of the first input.
    """

    feature: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    @model_validator(mode="after")
    def _one_more_edge(self) -> Self:
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"histogram {self.feature!r} needs one edge more than counts")
        return self


class Tolerance(Record):
    """How far an output may lie from its golden value: |out - golden| <= atol + rtol * |golden|."""

    atol: float = 1e-4
    rtol: float = 1e-4


class Precision(Record):
    """What the main graph comes to in a shorter arithmetic, as the recipe's evaluation measured it.

    `metric` is the headline figure under it, `difference` the greatest from single precision, by output, over all that
    was evaluated. `file` is the graph that computes so; without one it is a setting of the provider.
    """

    provider: str
    device: str
    metric: Metric
    difference: dict[str, Annotated[float, Field(ge=0)]]
    file: FileName | None = None


class Manifest(Record):
    """`graphs` by name, of which `main` answers, in a `cascade` with a second one; `axes` by the name that tensors call
    them; `sha256` by file."""

    schema_version: Literal[2] = 2
    name: Name
    version: Version
    family: Family
    description: str
    task: TaskSpec
    sha256: dict[str, Sha256]
    opset: int
    graphs: dict[Name, Graph] = Field(max_length=16)
    cascade: Cascade | None = None
    axes: dict[str, Axis] = {}
    assets: dict[Name, Asset] = {}
    tolerance: Tolerance = Tolerance()
    provenance: Provenance
    metrics: tuple[Metric, ...] = Field(min_length=1)
    reference: tuple[Histogram, ...] = ()
    precisions: dict[Annotated[str, Field(pattern="^(tf32|fp16)$")], Precision] = {}

    @property
    def identity(self) -> dict[str, str]:
        """Who answered, as every JSON answer says."""
        return {"name": self.name, "version": self.version}

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Of the main graph."""
        return self.graphs[MAIN].inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Of the main graph."""
        return self.graphs[MAIN].outputs

    @model_validator(mode="after")
    def _main_there(self) -> Self:
        if MAIN not in self.graphs:
            raise ValueError(f"one of the graphs must be called {MAIN!r}")
        return self

    @model_validator(mode="after")
    def _axes_declared(self) -> Self:
        for graph in self.graphs.values():
            if missing := set(graph.axes) - self.axes.keys():
                raise ValueError(f"{graph.file} has the axis {min(missing)!r}, of which `axes` says nothing")
            masks = {self.axes[name].mask: (BATCH, name) for name in graph.axes if self.axes[name].mask}
            given = {tensor.name: tensor.shape for tensor in graph.inputs}
            if wrong := [mask for mask, shape in masks.items() if given.get(mask) != shape]:
                raise ValueError(f"{graph.file} must take the mask {wrong[0]!r}, of its axis alone")
        return self

    @model_validator(mode="after")
    def _fit_for_task(self) -> Self:
        self.task.check(self.graphs)
        if self.cascade is not None:
            self.cascade.check(self.graphs)
        return self

    @model_validator(mode="after")
    def _hashes_present(self) -> Self:
        files = {GOLDEN} | {one.file for one in self.graphs.values()} | {one.file for one in self.assets.values()}
        files |= {one.file for one in self.precisions.values() if one.file}
        if missing := files - self.sha256.keys():
            raise ValueError(f"sha256 lacks {', '.join(sorted(missing))}")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of `bundle.json`, as published in docs/bundle.schema.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Manifest.model_json_schema()
