"""The bundle: the one thing that training hands to serving, and the contract between them.

    models/<name>/CURRENT                 the version that is served, replaced atomically
    models/<name>/<version>/bundle.json   the manifest: everything the service needs to know
                            model.onnx    the graph, arithmetic pre- and post-processing included
                            explain.onnx  class-activation maps and inner activations, where the manifest has any
                            golden.npz    inputs and the outputs they must give: "in.<name>", "out.<name>"
                            card.md       the model card, for people

A version never changes, its card and what the card shows aside. The manifest refuses unknown keys, so a bundle written
for another contract fails when it is read, not when it is asked.
"""

import hashlib
import json
import os
import re
import stat
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST, GRAPH, EXPLANATION, GOLDEN = "bundle.json", "model.onnx", "explain.onnx", "golden.npz"
CARD, CURRENT = "card.md", "CURRENT"

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
MOST_CURRENT, MOST_MANIFEST, MOST_CARD = 1024, 16 * 2**20, 16 * 2**20  # bytes

Name = Annotated[str, Field(pattern=NAME, max_length=64)]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Family = Literal["classify", "regress", "denoise", "generate", "sequence", "analyse"]
Arrays = dict[str, NDArray[Any]]


def size_of(arrays: Arrays) -> int:
    """Bytes."""
    size = 0
    for array in arrays.values():  # every request comes by: a generator would take twice as long
        size += array.nbytes
    return size


class BundleError(Exception):
    """A bundle that must not be served. The message names the file and what to do about it."""


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Tensor(Record):
    """One input or output of the graph. A named axis is dynamic; axis 0 is always "batch"."""

    name: str
    dtype: Literal["float32", "float64", "int64", "int32", "uint8", "bool"]
    shape: tuple[int | str, ...]
    unit: str = ""
    range: tuple[float, float] | None = None
    description: str = ""

    @model_validator(mode="after")
    def _batch_first(self) -> Self:
        if not self.shape or self.shape[0] != "batch":
            raise ValueError(f"axis 0 of tensor {self.name!r} must be the dynamic axis 'batch'")
        return self


class DigitClassification(Record):
    """Grey images, white on black -> one probability per label. Served by /v1/digits/classify.

    With an `acceptance_threshold` the graph also gives `familiarity` [batch], higher for pictures that are more like
    digits; below the threshold the answer is not accepted. A model of digits that were not drawn the way MNIST's were
    takes no `pictures`, which are prepared that way, but numbers alone.
    """

    kind: Literal["digit-classification"] = "digit-classification"
    labels: tuple[int, ...]
    acceptance_threshold: float | None = None
    pictures: bool = True


class ImageClassification(Record):
    """Grey images -> one probability per label. Served by /v1/images/classify."""

    kind: Literal["image-classification"] = "image-classification"
    labels: tuple[str, ...]


class Attribute(Record):
    """One attribute of an applicant: a number in `range`, or one of `values` (each with its `codes` twin).

    The graph's input holds a category as its index in `values`.
    """

    name: str
    description: str
    unit: str = ""
    range: tuple[float, float] | None = None
    values: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _number_or_category(self) -> Self:
        if bool(self.values) == bool(self.range):
            raise ValueError(f"attribute {self.name!r} needs either a range or values")
        if len(self.codes) != len(self.values):
            raise ValueError(f"attribute {self.name!r} needs one code per value")
        return self

    @cached_property
    def positions(self) -> dict[str, float]:
        """What the graph takes for each readable value and for each code."""
        return {text: float(i) for names in (self.values, self.codes) for i, text in enumerate(names)}


class CreditScoring(Record):
    """Applicants in the order of `attributes` -> probability of default. Served by /v1/credit/score.

    An applicant is approved when the probability is below `decision_threshold`.
    """

    kind: Literal["credit-scoring"] = "credit-scoring"
    attributes: tuple[Attribute, ...]
    decision_threshold: float = Field(gt=0, lt=1)

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(attribute.name for attribute in self.attributes)


class CtDenoising(Record):
    """CT slices in Hounsfield units -> the same slices with less noise. Served by /v1/ct/denoise.

    `window` is the (low, high) HU range of PNG previews; sides must be `min_side` to `max_side` pixels, and pixels
    within `spacing_mm` (low, high) both ways, where it is given: where a measurement showed that slices gain.
    """

    kind: Literal["ct-denoising"] = "ct-denoising"
    window: tuple[float, float]
    min_side: int = Field(gt=0)
    max_side: int = Field(gt=0, le=16384)
    spacing_mm: tuple[float, float] | None = None


class SampleGeneration(Record):
    """Latent codes (and labels, where the model takes them) -> images. Served by /v1/samples/generate."""

    kind: Literal["sample-generation"] = "sample-generation"
    latent_size: int = Field(gt=0, le=65536)
    labels: tuple[str, ...] = ()


class TensorPrediction(Record):
    """Any other model: tensors in and out by the signature. Served by /v1/models/{name}/predict."""

    kind: Literal["tensor-prediction"] = "tensor-prediction"
    labels: tuple[str, ...] = ()


Task = Annotated[
    DigitClassification | ImageClassification | CreditScoring | CtDenoising | SampleGeneration | TensorPrediction,
    Field(discriminator="kind"),
]


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

    `git_commit` is what the training began with, `exported_at` the commit of the export where that is another. `start`
    is absent where the weights were random at first.
    """

    recipe: str
    command: str
    git_commit: str
    exported_at: str | None = None
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
    """Distribution of a feature in the training data, the reference that drift is measured against."""

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


class Manifest(Record):
    """`bundle.json`: what the model is, what it takes and gives, where it comes from and how good it is."""

    schema_version: Literal[1] = 1
    name: Name
    version: Version
    family: Family
    description: str
    task: Task
    sha256: dict[str, Sha256]
    opset: int
    inputs: tuple[Tensor, ...] = Field(min_length=1)
    outputs: tuple[Tensor, ...] = Field(min_length=1)
    explanation: tuple[Tensor, ...] = Field(
        default=(),
        description="Outputs of explain.onnx, which takes the same inputs: `class_maps` [batch, labels, height, width],"
        " then the activations of the layers from the first to the last.",
    )
    max_batch: int = Field(default=64, gt=0, le=1024)
    tolerance: Tolerance = Tolerance()
    provenance: Provenance
    metrics: tuple[Metric, ...] = Field(min_length=1)
    reference: tuple[Histogram, ...] = ()

    @property
    def identity(self) -> dict[str, str]:
        """Who answered, as every JSON answer says."""
        return {"name": self.name, "version": self.version}

    @property
    def any_size(self) -> bool:
        """Whether items may differ in size: an input has another axis with a name beside the batch."""
        return any(isinstance(side, str) for tensor in self.inputs for side in tensor.shape[1:])

    @model_validator(mode="after")
    def _outputs_complete(self) -> Self:
        threshold = getattr(self.task, "acceptance_threshold", None)
        if threshold is not None and "familiarity" not in {tensor.name for tensor in self.outputs}:
            raise ValueError("with an acceptance_threshold the graph must give `familiarity`")
        if self.explanation and self.explanation[0].name != "class_maps":
            raise ValueError("the explanation must begin with `class_maps`")
        return self

    @model_validator(mode="after")
    def _hashes_present(self) -> Self:
        files = {GRAPH, GOLDEN, EXPLANATION} if self.explanation else {GRAPH, GOLDEN}
        if missing := files - self.sha256.keys():
            raise ValueError(f"sha256 lacks {', '.join(sorted(missing))}")
        return self


def json_schema() -> dict[str, Any]:
    """JSON Schema of `bundle.json`, as published in docs/bundle.schema.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Manifest.model_json_schema()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bounded(path: Path, most: int) -> bytes:
    """A file's bytes, `most` of them. Raises OSError, or BundleError for a pipe or device, which might never end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BundleError(f"{path} is no regular file: restore the bundle or train it again")
        content = file.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{path} has more than {most} bytes: restore the bundle or train it again")
    return content


class Bundle:
    """A version on disk whose manifest is valid and whose files have the hashes it declares."""

    def __init__(self, path: Path) -> None:
        """Read and verify. Raises BundleError naming the file that is missing, corrupt or inconsistent."""
        self.path = path
        self.manifest = _read_manifest(path / MANIFEST)
        expected = (path.parent.name, path.name)
        if (self.manifest.name, self.manifest.version) != expected:
            raise BundleError(
                f"{path / MANIFEST} describes {self.manifest.name}/{self.manifest.version}: folder renamed?"
            )
        for name, sha256 in self.manifest.sha256.items():
            if not (path / name).is_file():
                raise BundleError(f"{path / name} is missing: restore the bundle or train it again")
            if file_sha256(path / name) != sha256:
                raise BundleError(f"{path / name} does not have the sha256 of its manifest: restore or train it again")

    @property
    def graph(self) -> Path:
        return self.path / GRAPH

    @property
    def explanation(self) -> Path:
        """The graph whose outputs `manifest.explanation` declares, if any."""
        return self.path / EXPLANATION

    @property
    def card(self) -> str:
        """As it is on disk now, empty where there is none. Raises BundleError when it is no text of decent length."""
        try:
            return read_bounded(self.path / CARD, MOST_CARD).decode()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise BundleError(f"{self.path / CARD} is no text in UTF-8: write it anew or remove it") from None

    def golden(self) -> tuple[Arrays, Arrays]:
        """Golden inputs and outputs, by tensor name."""
        with np.load(self.path / GOLDEN, allow_pickle=False) as arrays:
            inputs = {tensor.name: arrays[f"in.{tensor.name}"] for tensor in self.manifest.inputs}
            outputs = {tensor.name: arrays[f"out.{tensor.name}"] for tensor in self.manifest.outputs}
        return inputs, outputs

    def check_golden(self, outputs: Arrays) -> None:
        """Raise BundleError when `outputs` are not the golden ones within the bundle's tolerance."""
        _, golden = self.golden()
        tolerance = self.manifest.tolerance
        for name, expected in golden.items():
            if not np.allclose(outputs[name], expected, atol=tolerance.atol, rtol=tolerance.rtol):
                worst = float(np.abs(outputs[name].astype(np.float64) - expected).max())
                raise BundleError(f"{self.path} does not reproduce its golden output {name!r}: off by {worst:.3g}")


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(read_bounded(path, MOST_MANIFEST))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: restore the bundle or train it again") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(f"{path} breaks the bundle contract at {where}: {first['msg']}") from None


def current_version(models: Path, name: str) -> str:
    """The version that `models/<name>/CURRENT` names."""
    try:
        version = read_bounded(models / name / CURRENT, MOST_CURRENT).decode().strip()
    except FileNotFoundError:
        raise BundleError(f"{models / name / CURRENT} is missing: write the version to serve into it") from None
    except (OSError, UnicodeDecodeError) as error:  # of a folder that may not be entered, too
        raise BundleError(f"{models / name / CURRENT} cannot be read: {type(error).__name__}") from None
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", version):
        raise BundleError(f"{models / name / CURRENT} holds {version[:80]!r}, which is no version")
    return version


def current(models: Path, name: str) -> "Bundle":
    """The bundle of that version."""
    return Bundle(models / name / current_version(models, name))


def rows_of(arrays: Arrays) -> list[Arrays]:
    """Each row of batch-first arrays by itself."""
    count = len(next(iter(arrays.values())))
    return [{name: array[row : row + 1] for name, array in arrays.items()} for row in range(count)]


def names(models: Path) -> list[str]:
    """Every model below `models`, sorted."""
    return sorted(path.name for path in models.glob("*") if _is_model(path))


def _is_model(folder: Path) -> bool:
    """Whether it names a version, or cannot be looked into, which somebody should be told."""
    try:
        (folder / CURRENT).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return bool(re.fullmatch(NAME, folder.name))
    return True


def write_current(models: Path, name: str, version: str) -> None:
    """Point `CURRENT` at `version` in one rename, so that a reader sees the old version or the new, never half."""
    target = models / name / CURRENT
    staged = target.with_suffix(f".{os.getpid()}")
    staged.write_text(version + "\n", encoding="utf-8")
    staged.replace(target)


def write_manifest(path: Path, manifest: Manifest) -> None:
    (path / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
