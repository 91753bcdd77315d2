"""Recordings of a forest: 260 measures of their sound, and which of 19 species of birds were heard."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import Attribute
from training.data.frames import Frame, read_parquet

# What the data leave out of their numbering.
_NO_SPECTRUM = {*(23, 24, 47, 48, 71, 72, 95, 96, 119, 120), *(142, 143, 144)}
_NO_CLUSTER = {58, 77}
_BOXES = {
    "mean_rect_width": ("mean width of the boxes around sounds", 1000),
    "std_rect_width": ("deviation of that width", 1000),
    "mean_rect_height": ("mean height of the boxes around sounds", 500),
    "std_rect_height": ("deviation of that height", 500),
    "mean_rect_volume": ("mean area of the boxes around sounds", 100_000),
    "std_rect_volume": ("deviation of that area", 500_000),
}


def _number(name: str, description: str, low: float, high: float) -> Attribute:
    return Attribute(name=name, description=description, range=(low, high))


MEASURES = (
    *(
        _number(f"audio-ssd{i}", "statistical descriptor of the spectrum", -10, 2000)
        for i in range(1, 167)
        if i not in _NO_SPECTRUM
    ),
    *(
        _number(f"cluster{i}", "how much of the sounds is of this cluster", 0, 1)
        for i in range(1, 101)
        if i not in _NO_CLUSTER
    ),
    _number("segments", "sounds in the recording", 0, 200),
    *(_number(name, words, 0, high) for name, (words, high) in _BOXES.items()),
    _number("hasSegments", "1 where there is any sound", 0, 1),
    Attribute(
        name="location",
        description="which microphone",
        values=("1", "2", "4", "5", "7", "8", "10", "11", "13", "15", "16", "17"),
    ),
)
SPECIES = (
    *("Brown Creeper", "Pacific Wren", "Pacific-slope Flycatcher", "Red-breasted Nuthatch", "Dark-eyed Junco"),
    *("Olive-sided Flycatcher", "Hermit Thrush", "Chestnut-backed Chickadee", "Varied Thrush", "Hermit Warbler"),
    *("Swainson's Thrush", "Hammond's Flycatcher", "Western Tanager", "Black-headed Grosbeak"),
    *("Golden Crowned Kinglet", "Warbling Vireo", "MacGillivray's Warbler", "Stellar's Jay", "Common Nighthawk"),
)


@dataclass(frozen=True)
class Recordings:
    """Rows [N, 260] for the graph, and 1 for each species that was heard [N, 19]."""

    rows: NDArray[np.float32]
    heard: NDArray[np.float32]

    def __getitem__(self, which: NDArray[np.int64]) -> "Recordings":
        return Recordings(self.rows[which], self.heard[which])


def bird_recordings() -> tuple[Recordings, Recordings]:
    """The published training set of 322 and the test set of 323."""
    tables = read_parquet("birds")
    return _recordings(tables["birds_train"]), _recordings(tables["birds_test"])


def _recordings(table: Frame) -> Recordings:
    heard = [table[name.replace("'", "\\'")].astype(np.float32) for name in SPECIES]
    rows = [
        [one.positions[text.decode()] for text in table[one.name]] if one.values else table[one.name].astype(np.float32)
        for one in MEASURES
    ]
    return Recordings(np.column_stack(rows).astype(np.float32), np.column_stack(heard))
