"""What came of denoising: the slices before and after, the noise in both, and how an answer shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.codecs.noise import noise_hu, rms_hu
from service.tasks.ct_options import Window

DIFFERENCE: Window = -100.0, 100.0  # HU, from black to white

FIGURES = {
    "x-noise-before-hu": "Standard deviation of the noise that was found in the slices",
    "x-noise-after-hu": "The same in the denoised slices",
    "x-change-hu": "Root mean square of the change that was made",
}
HEADERS: Mapping[str, Mapping[str, Any]] = {
    name: {"description": f"{what}, in HU; over all slices, where there are several.", "schema": {"type": "number"}}
    for name, what in FIGURES.items()
} | {"warning": {"description": "What makes it doubtful that the model helps.", "schema": {"type": "string"}}}


@dataclass(frozen=True)
class Denoised:
    """Slices [N, H, W] in HU `before` and `after`; `padding` [N, H, W] is what neither shows of the patient."""

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    padding: NDArray[np.bool_] | None

    @classmethod
    def blended(
        cls,
        before: NDArray[np.float32],
        found: NDArray[np.float32],
        strength: float,
        padding: NDArray[np.bool_] | None,
    ) -> "Denoised":
        """With `strength` of the change that a model makes; padding stays as it is."""
        after = found if strength == 1 else before + np.float32(strength) * (found - before)
        return cls(before, after if padding is None else np.where(padding, before, after), padding)

    @cached_property
    def noise_before(self) -> list[float]:
        return [noise_hu(one, padding) for one, padding in zip(self.before, self._paddings, strict=True)]

    @cached_property
    def noise_after(self) -> list[float]:
        return [noise_hu(one, padding) for one, padding in zip(self.after, self._paddings, strict=True)]

    @cached_property
    def change(self) -> list[float]:
        pairs = zip(self.before, self.after, self._paddings, strict=True)
        return [rms_hu(after - before, padding) for before, after, padding in pairs]

    @property
    def _paddings(self) -> Sequence[NDArray[np.bool_] | None]:
        return [None] * len(self.before) if self.padding is None else list(self.padding)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        figures = self.noise_before, self.noise_after, self.change
        return tuple((name.encode(), b"%.2f" % _rms(figure)) for name, figure in zip(FIGURES, figures, strict=True))

    def told(self) -> str:
        """The figures in words."""
        before, after, change = map(_rms, (self.noise_before, self.noise_after, self.change))
        return f"Noise {before:.1f} HU before and {after:.1f} HU after; changed by {change:.1f} HU rms."

    def picture(self, view: str, window: Window) -> NDArray[np.uint8]:
        """Of the first slice, in grey."""
        if view == "compare":
            return np.hstack([windowed(self.before[0], window), windowed(self.after[0], window)])
        return windowed(self.after[0] - self.before[0] if view == "difference" else self.after[0], window)


def _rms(figure: list[float]) -> float:
    return sqrt(sum(one**2 for one in figure) / len(figure))


def windowed(hu: NDArray[np.float32], window: Window) -> NDArray[np.uint8]:
    """Grey 0..255 from `low` to `high` HU."""
    low, high = window
    grey: NDArray[np.uint8] = np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return grey
