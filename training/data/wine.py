"""Wines of three growers, by what is in them."""

import io

import numpy as np
from numpy.typing import NDArray

from training.data.sources import WINE
from training.data.store import fetch

MEASURES = (
    "alcohol",
    "malic acid",
    "ash",
    "alkalinity of ash",
    "magnesium",
    "phenols",
    "flavonoids",
    "other phenols",
    "proanthocyanins",
    "colour",
    "hue",
    "OD280/OD315",
    "proline",
)


def wine() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The measures [178, 13] and the grower, 0 to 2, of each wine."""
    table = np.loadtxt(io.StringIO(fetch(WINE.name).text()), delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1].astype(np.int64)
