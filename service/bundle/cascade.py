"""A cascade: what the main graph is unsure of goes on to a second graph."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.record import Arrays, Name, Record
from service.bundle.signature import MAIN, Graph

FEW = 1024  # numbers
NONE, FIRST = np.empty(0, np.intp), np.zeros(1, np.intp)


class Cascade(Record):
    """What a second `graph` gives for the rows in doubt takes the place of what the main one gave.

    In doubt is a row of which no number of the main graph's `output` reaches `below`. The second graph takes inputs of
    the main one and gives some of its outputs.
    """

    graph: Name
    output: str
    below: float

    def check(self, graphs: Mapping[str, Graph]) -> None:
        """Raises ValueError where the graphs do not fit together."""
        if self.graph == MAIN or self.graph not in graphs:
            raise ValueError(f"the cascade needs a graph {self.graph!r} beside {MAIN!r}")
        main, second = graphs[MAIN], graphs[self.graph]
        for ours, theirs, side in ((second.inputs, main.inputs, "takes"), (second.outputs, main.outputs, "gives")):
            known = {(one.name, one.dtype, one.shape) for one in theirs}
            if strange := [one.name for one in ours if (one.name, one.dtype, one.shape) not in known]:
                raise ValueError(f"{second.file} {side} {strange[0]!r}, which {main.file} does not")
        if self.output not in {one.name for one in main.outputs if one.dtype.startswith("float")}:
            raise ValueError(f"{main.file} gives no numbers {self.output!r} by which to tell who goes on")

    def in_doubt(self, outputs: Arrays) -> NDArray[np.intp]:
        """Places of the rows that go on.

        A row by itself without numpy: a model leaves so little in the processor's caches that each step takes long.
        """
        numbers: NDArray[Any] = outputs[self.output]
        if len(numbers) == 1 and numbers.size <= FEW:
            return NONE if any(number >= self.below for number in numbers.ravel().tolist()) else FIRST
        reached = numbers.reshape(len(numbers), -1) >= self.below
        return np.flatnonzero(~reached.any(1))

    def run(
        self, inputs: Arrays, first: Callable[[Arrays], Arrays], second: Callable[[Arrays], Arrays], at_once: int
    ) -> Arrays:
        """What a bundle answers, by both its graphs, the second with at most so many rows `at_once`."""
        outputs = first(inputs)
        places = self.in_doubt(outputs)
        for start in range(0, len(places), at_once):
            some = places[start : start + at_once]
            put(second(picked(inputs, some)), outputs, some)
        return outputs


def picked(inputs: Arrays, places: NDArray[np.intp]) -> Arrays:
    """The rows at these places."""
    return {name: array[places] for name, array in inputs.items()}


def put(rows: Arrays, outputs: Arrays, places: NDArray[np.intp]) -> None:
    """Put rows where they belong."""
    for name, array in rows.items():
        outputs[name][places] = array
