"""What a graph takes and gives: tensors, the axes that they share, and the graphs of a bundle."""

from functools import cached_property
from typing import Literal, Self

from pydantic import Field, model_validator

from service.bundle.record import FileName, Record

BATCH = "batch"
MAIN, EXPLANATION, ENCODE, BACK = "main", "explanation", "encode", "back"  # graphs; every bundle has the first


class Tensor(Record):
    """One input or output of a graph. Axis 0 is always "batch"; another with a name is one of the manifest's `axes`."""

    name: str
    dtype: Literal["float32", "float64", "int64", "int32", "uint8", "bool", "string"]
    shape: tuple[int | str, ...]
    unit: str = ""
    range: tuple[float, float] | None = None
    description: str = ""

    @model_validator(mode="after")
    def _batch_first(self) -> Self:
        if not self.shape or self.shape[0] != BATCH:
            raise ValueError(f"axis 0 of tensor {self.name!r} must be the dynamic axis 'batch'")
        return self

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether every side is as declared, or named and thereby free."""
        if shape[1:] == self.shape[1:] and shape:
            return True
        pairs = zip(self.shape, shape, strict=False)
        return len(shape) == len(self.shape) and all(isinstance(a, str) or a == b for a, b in pairs)


class Axis(Record):
    """A dynamic axis beside the batch: items may have `least` to `most` places along it.

    With `buckets` an item is filled up with `padding` to the next of them, so that items of different lengths share a
    batch; the graph must not mind. Where it has to know, `mask` names an input [batch, this axis] that the service
    fills: 1 for what was sent, 0 for padding. Outputs are cut back to the length of the item.
    """

    least: int = Field(default=1, ge=1, le=2**20)
    most: int = Field(ge=1, le=2**20)
    buckets: tuple[int, ...] = Field(default=(), max_length=64)
    padding: float = 0.0
    mask: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError("an axis needs `least` to be at most `most`")
        if self.buckets and (list(self.buckets) != sorted(set(self.buckets)) or self.buckets[-1] != self.most):
            raise ValueError("buckets must grow, and the last must be `most`")
        if self.mask and not self.buckets:
            raise ValueError("a mask tells of padding, which only buckets need")
        return self


class Graph(Record):
    """A graph of the bundle: its file, what it takes and gives, and the most rows that it runs at once."""

    file: FileName
    inputs: tuple[Tensor, ...] = Field(min_length=1)
    outputs: tuple[Tensor, ...] = Field(min_length=1)
    max_batch: int = Field(default=64, gt=0, le=1024)

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The names of its inputs' dynamic axes, without the batch."""
        sides = (side for tensor in self.inputs for side in tensor.shape[1:] if isinstance(side, str))
        return tuple(dict.fromkeys(sides))


class Asset(Record):
    """A file that the service reads beside the graphs, such as a vocabulary: text or a table, nothing that runs."""

    file: FileName
    description: str
