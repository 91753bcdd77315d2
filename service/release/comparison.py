"""Two versions of a model on the same rows: whether they can be compared, and how far they agree."""

from typing import Any, NamedTuple

import numpy as np

from service.bundle import MAIN, Arrays, Graph, Manifest
from service.predictions import predictions_of

# Of a spec: what a row is made of before a graph takes it, and what its answer means.
MEANING = {
    *("kind", "labels", "latent_size", "horizon", "levels", "options", "quantiles", "draws", "tokeniser", "longest"),
    *("pictures", "spacing_mm"),
}


class Compared(NamedTuple):
    """Rows on which both have answered; those on which the labels are the same, None where there are no labels.

    `difference` is the mean difference of a row's numbers, added up over the rows: of probabilities, of Hounsfield
    units, of whatever the model gives.
    """

    rows: int
    agreed: int | None
    difference: float


def compare(served: tuple[Manifest, Arrays], candidate: tuple[Manifest, Arrays]) -> Compared:
    one, other = predictions_of(*served), predictions_of(*candidate)
    rows = len(next(iter(served[1].values())))
    agreed = None
    if one.labels is not None and other.labels is not None:
        same = (one.labels == other.labels).reshape(rows, -1)
        agreed = int(same.all(1).sum())
    difference = 0.0
    if one.numbers is not None and other.numbers is not None:
        difference = float(np.abs(one.numbers - other.numbers).reshape(rows, -1).mean(1, dtype=np.float64).sum())
    return Compared(rows, agreed, difference)


def mismatch(served: Manifest, candidate: Manifest) -> str:
    """Why the candidate cannot take the requests of what is served; nothing where it can."""
    for name, graph in served.graphs.items():
        if served.cascade is not None and name == served.cascade.graph:  # which no request asks for
            continue
        if name not in candidate.graphs:
            return f"it lacks the graph {name}"
        if _signature(candidate.graphs[name]) != _signature(graph):
            return f"the signature of its graph {name} is another"
    ours, theirs = _meaning(served), _meaning(candidate)
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    return f"its {', '.join(different)} are not those of what is served" if different else ""


def _signature(graph: Graph) -> object:
    return (
        [(one.name, one.dtype, one.shape, one.range) for one in graph.inputs],
        [(one.name, one.dtype, one.shape) for one in graph.outputs],
    )


def _meaning(manifest: Manifest) -> dict[str, Any]:
    told = manifest.task.model_dump(include=MEANING)
    if attributes := getattr(manifest.task, "attributes", ()):
        told["attributes"] = [(one.name, one.values, one.codes, one.missing) for one in attributes]
    if quantities := getattr(manifest.task, "quantities", ()):
        told["quantities"] = [(one.name, one.unit) for one in quantities]
    return told | {"axes": manifest.axes}


def main_inputs(manifest: Manifest, inputs: Arrays) -> Arrays | None:
    """What the main graph takes of a request's inputs; None where it did not run."""
    names = [one.name for one in manifest.graphs[MAIN].inputs]
    return {name: inputs[name] for name in names} if all(name in inputs for name in names) else None
