"""Greatest values around each pixel, which is how masks grow and paper is found under ink."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def widened(mask: Mask, by: int) -> Mask:
    """A mask and all around it, within its bounds."""
    mask = np.pad(mask, by)
    for axis in (0, 1):
        mask = running_max(mask, 2 * by + 1, axis)
    return mask


def running_max(array: Any, window: int, axis: int) -> Any:
    """The maximum of `window` neighbours, in logarithmically many steps; the axis gets `window` - 1 shorter."""
    rows, width = array.swapaxes(0, axis), 1
    while width < window:
        step = min(width, window - width)
        rows, width = np.maximum(rows[:-step], rows[step:]), width + step
    return rows.swapaxes(0, axis)
