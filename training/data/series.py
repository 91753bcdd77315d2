"""A monthly series of numbers."""

import numpy as np
from numpy.typing import NDArray

from training.data.given import replaceable
from training.data.sources import CAFE_TURNOVER
from training.data.store import fetch


@replaceable
def cafe_turnover() -> NDArray[np.float64]:
    """[426]: billions of Australian dollars a month, from April 1982 on."""
    _, *rows = fetch(CAFE_TURNOVER.name).text().split()
    return np.array([float(row.partition(",")[2]) for row in rows])
