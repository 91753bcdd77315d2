"""How much ink is where in a picture, whatever the paper and the light."""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.codecs.handwriting.morphology import running_max

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]

CELLS = 32  # of the shorter side, where the paper is estimated
MOST_CELLS = 2**15  # of a picture: a long strip would have as many as pixels
WINDOWS = 0.35, 0.18  # of the sides' geometric mean: strokes are narrower, shadows wider
# Weights of the ink against the roughness of the paper: strokes are less than six cells wide, those of a digit that
# fills its picture less than ten.
COVERED, FILLED = 1 / 3, 1 / 5
DEEPEST = 0.6  # of the brightest paper's light: a shadow, no deeper
MIN_CONTRAST, SURE_CONTRAST = 16, 64  # grey values between paper and ink, or what may be grain, and surely is none
MIN_CLARITY = 3.0  # contrast, in multiples of what the paper itself shows
SOFT = 0.1  # of the contrast: the edge of a stroke


def ink_of(picture: Grey, covered: float = COVERED) -> Floats | None:
    """How much ink is where [H, W], about 1 in a stroke; None where nothing stands out from the paper.

    `covered` weighs the ink against the roughness of the paper.
    """
    channels = picture[None] if picture.ndim == 2 else np.moveaxis(picture, 2, 0)
    ink_HW: Floats = np.maximum.reduce([_off_paper(np.ascontiguousarray(grey), covered) for grey in channels])
    at_most = np.cumsum(np.bincount(ink_HW.astype(np.uint8).ravel(), minlength=256))
    few = max(1, ink_HW.size // 4096)  # pixels: the darkest one alone may be dust
    usual, contrast = np.searchsorted(at_most, (ink_HW.size // 2, ink_HW.size - few), side="right").tolist()
    if contrast < min(max(MIN_CONTRAST, MIN_CLARITY * usual), SURE_CONTRAST):
        return None
    ink_HW /= contrast
    return ink_HW


def _off_paper(grey_HW: Grey, covered: float) -> Floats:
    """How far each pixel is from the paper, to the side where the ink is: darker or lighter. In grey values.

    The paper is what remains when all that is narrower than a window is filled: dark strokes by a closing, light ones
    by an opening. The wrong one keeps the strokes, so the smoother one is the paper.
    """
    height, width = grey_HW.shape
    share = min(height, width) // CELLS
    cell = max(share, ceil(sqrt(height * width / MOST_CELLS)))
    if share > 3:  # there are pixels enough to take the grain out
        grey_HW = np.asarray(Image.fromarray(grey_HW).filter(ImageFilter.BoxBlur(1)))
    coarse_hw = np.asarray(Image.fromarray(grey_HW).reduce(cell) if cell > 1 else grey_HW).astype(np.float32)
    paper_hw, dark = _paper(coarse_hw, covered)
    paper_HW = paper_hw
    if cell > 1:
        if dark:  # or a step of light, drawn out between two cells, would be ink
            paper_hw = _darkest_around(paper_hw)
        box = (0, 0, width / cell, height / cell)
        paper_HW = np.asarray(Image.fromarray(paper_hw).resize((width, height), Image.Resampling.BILINEAR, box))
    off: Floats = paper_HW - grey_HW if dark else grey_HW - paper_HW
    if dark:  # paper reflects a share of the light, so what is in a shadow counts as it would outside
        brightest = float(paper_hw.max())
        off *= brightest / np.maximum(paper_HW, max(1.0, brightest * DEEPEST))
    return np.clip(off, 0, 255, out=off)


def _paper(grey_hw: Floats, covered: float) -> tuple[Floats, bool]:
    """The most plausible paper [h, w], and whether ink is darker.

    A narrow window follows the edges of sheets and shadows, a wide one fills broad strokes. What is a cell wide is not
    counted as ink: squared paper is full of it.
    """
    fine = _closed_and_opened(grey_hw, 2)
    guesses = [
        (guess, kind)
        for window in WINDOWS
        for kind, guess in enumerate(_closed_and_opened(grey_hw, max(1, round(window * grey_hw.size**0.5))))
    ]
    paper_hw, kind = min(guesses, key=lambda guess: _implausibility(guess[0], fine[guess[1]], covered))
    return paper_hw, kind == 0


def _darkest_around(paper_hw: Floats) -> Floats:
    padded = -np.pad(paper_hw, 1, mode="edge")
    for axis in (0, 1):
        padded = running_max(padded, 3, axis)
    return -padded


def _implausibility(paper_hw: Floats, grey_hw: Floats, covered: float) -> float:
    """Of a guess at the paper: how rough it is and, less, how much ink it would take."""
    down, across = paper_hw[1:] - paper_hw[:-1], paper_hw[:, 1:] - paper_hw[:, :-1]
    return float(np.abs(down).sum() + np.abs(across).sum() + covered * np.abs(paper_hw - grey_hw).sum())


def _closed_and_opened(grey_hw: Floats, window: int) -> Floats:
    """Closing and opening by a square: [2, h, w].

    Beyond its border the picture goes on as it comes, light that fades included.
    """
    pads = [min(window, length) - 1 for length in grey_hw.shape]
    padded = np.pad(grey_hw, [(pad, pad) for pad in pads], mode="reflect", reflect_type="odd")
    both = np.stack([padded, -padded])
    for _ in ("dilate", "erode"):
        for axis, pad in enumerate(pads, 1):
            both = running_max(both, pad + 1, axis)
        both = -both
    return both * np.array([[[1]], [[-1]]], np.float32)
