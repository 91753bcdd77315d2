"""How noisy a CT slice is, in Hounsfield units, found in the slice itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 8  # pixels each way: some millimetres, in which tissue is even
TISSUE = -300.0, 300.0  # HU; air and bone are noisy in other ways, and air is often cut off
FEWEST = 16  # blocks of tissue: with less of it, all blocks count
_across = np.tile(np.arange(BLOCK, dtype=np.float32) - (BLOCK - 1) / 2, (BLOCK, 1))
SLOPES = np.stack([_across.ravel(), _across.T.ravel()]) / np.linalg.norm(_across)  # of a plane, each of length 1


def noise_hu(hu: NDArray[np.float32], padding: NDArray[np.bool_] | None = None) -> float:
    """Standard deviation of the noise in a slice [H, W]: that of most blocks of tissue about a plane of their own.

    What has edges in it spreads widely, and even tissue is all alike, so the most frequent reading is the noise's
    (Christianson et al. 2015, global noise level). 0 where a slice is smaller than a block, or padding alone.
    """
    blocks = _blocks(hu)
    if padding is not None:
        blocks = blocks[~_blocks(padding).any(1)]
    tissue = blocks[((blocks > TISSUE[0]) & (blocks < TISSUE[1])).all(1)]
    blocks = (tissue if len(tissue) >= FEWEST else blocks).astype(np.float64)  # holds the squares
    if not len(blocks):
        return 0.0
    even = blocks - blocks.mean(1, keepdims=True)
    squares = (even**2).sum(1) - ((even @ SLOPES.T) ** 2).sum(1)
    return _most_frequent(np.sqrt(np.maximum(squares, 0) / (BLOCK**2 - 3)))


def rms_hu(change: NDArray[np.float32], padding: NDArray[np.bool_] | None = None) -> float:
    """Root mean square of a difference of slices [H, W], without padding."""
    inside = change if padding is None else change[~padding]
    return float(np.sqrt(np.mean(np.square(inside, dtype=np.float64)))) if inside.size else 0.0


def _blocks(slice: NDArray[Any]) -> NDArray[Any]:
    """[blocks, pixels of one]; what does not fill a block at the right and below is left out."""
    rows, columns = (side // BLOCK for side in slice.shape)
    cut = slice[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return cut.swapaxes(1, 2).reshape(rows * columns, BLOCK**2)


def _most_frequent(readings: NDArray[np.float32]) -> float:
    """The half-sample mode (Bickel and Fruehwirth 2006): of the readings the densest half, of that one again, ..."""
    readings = np.sort(readings)
    while len(readings) > 2:
        half = -(-len(readings) // 2)
        widths = readings[half - 1 :] - readings[: len(readings) - half + 1]
        first = int(np.argmin(widths))
        readings = readings[first : first + half]
    return float(readings.mean())
