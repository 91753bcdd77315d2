"""Histograms side by side: what was expected as bars, what was seen as lines above them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from service.codecs.pictures import write_png

WIDTH, HEIGHT, GAP, TEXT = 220, 90, 12, 14  # pixels of a panel
ACROSS = 4
PAPER, BAR, LINE, INK = (255, 255, 255), (189, 202, 222), (200, 70, 30), (40, 40, 40)


class Panel(NamedTuple):
    """`seen` is empty where there is nothing to show; both are counts by bin."""

    title: str
    words: str
    expected: Sequence[float]
    seen: Sequence[float] = ()


def draw(panels: Sequence[Panel]) -> bytes:
    """PNG. Shares of the rows, each panel as high as its greatest."""
    across = max(1, min(ACROSS, len(panels)))
    down = max(1, -(-len(panels) // across))
    step, side = WIDTH + GAP, HEIGHT + 2 * TEXT + GAP
    picture = Image.new("RGB", (across * step + GAP, down * side + GAP), PAPER)
    canvas = ImageDraw.Draw(picture)
    for number, panel in enumerate(panels):
        _draw(canvas, panel, GAP + number % across * step, GAP + number // across * side)
    return write_png(np.asarray(picture))


def _draw(canvas: ImageDraw.ImageDraw, panel: Panel, left: int, top: int) -> None:
    font = ImageFont.load_default(size=TEXT - 4)
    for line, words in enumerate((panel.title, panel.words)):
        canvas.text((left, top + line * TEXT), words[:38], fill=INK, font=font)
    base = top + 2 * TEXT + HEIGHT
    expected, seen = (np.array(counts, float) / max(sum(counts), 1) for counts in (panel.expected, panel.seen))
    most = max([*expected, *seen, 1e-9])
    edges = np.linspace(left, left + WIDTH, len(expected) + 1)
    for share, from_, to in zip(expected, edges, edges[1:], strict=False):
        canvas.rectangle((from_ + 1, base - share / most * HEIGHT, to - 1, base), fill=BAR)
    for share, from_, to in zip(seen, edges, edges[1:], strict=False):
        height = base - share / most * HEIGHT
        canvas.line((from_ + 1, height, to - 1, height), fill=LINE, width=2)
    canvas.line((left, base, left + WIDTH, base), fill=INK)
