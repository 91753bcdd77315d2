"""Hyper-parameters that follow from how many rows there are: a recipe's own are for its own data."""

from typing import Any

STEPS = 20  # of an epoch, at least, down to the smallest batch
LEAST = 16
REMEMBERED = 10  # times that the running average forgets the initial weights in the course of a training


def fitting(hyper: Any, rows: int) -> dict[str, Any]:
    """A smaller batch for fewer rows, and an average of the weights that has forgotten the initial ones."""
    if hasattr(hyper, "standardise"):  # columns as they come may want another learning rate
        return {"standardise": True}
    batch = getattr(hyper, "batch", None)
    if batch is None:
        return {}
    fitted = min(batch, max(LEAST, rows // STEPS))
    steps = hyper.epochs * -(-rows // fitted)
    found = {"batch": fitted}
    if hasattr(hyper, "average_decay"):
        found["average_decay"] = round(min(hyper.average_decay, max(0.5, 1 - REMEMBERED / steps)), 4)
    return found
