"""How what a model gives is distributed over its training data: the reference for the drift of its outputs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Arrays, Histogram, TaskSpec, Tensor
from training.measures.evaluation import Predict, histogram, outcomes

ROWS = 2000  # of the training data, drawn at random but always the same


def some(rows: NDArray[Any], count: int = ROWS) -> NDArray[Any]:
    """At most `count` of the rows."""
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:count])]


def of_rows(name: str, rows: Callable[[], NDArray[Any]]) -> Callable[[Predict], Arrays]:
    """What a model gives for some of its training rows, which its input `name` takes."""
    return lambda predict: predict({name: some(rows()).astype(np.float32)})


def reference(task: TaskSpec, outputs: Sequence[Tensor], given: Arrays) -> tuple[Histogram, ...]:
    """Of what was `given`: the first of `outputs`, and each that is one number for a row.

    Named as `Histogram` says: the likeliest label of probabilities, each quantity of a table's values, and the mean
    over an item of anything else.
    """
    quantities = [one.name for one in getattr(task, "quantities", ())]
    single = [one for one in outputs[1:] if one.shape == ("batch",)]
    return tuple(found for one in (outputs[0], *single) for found in _of(one, given[one.name], quantities))


def _of(output: Tensor, values: NDArray[Any], quantities: list[str]) -> Iterator[Histogram]:
    if output.name == "probabilities":
        yield histogram(output.name, values.argmax(1), np.arange(values.shape[1] + 1) - 0.5)
    elif output.name == "values" and quantities:
        yield from (outcomes(name, column) for name, column in zip(quantities, values.T, strict=True))
    elif output.shape == ("batch",):
        yield outcomes(output.name, values)
    else:
        yield outcomes(f"mean {output.name}", values.reshape(len(values), -1).mean(1, dtype=np.float64))
