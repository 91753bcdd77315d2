"""The grid of harm tells who blurs, who invents and who leaves a slice as it was."""

import dataclasses
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.data import Volume
from training.measures import ct, no_harm
from training.measures.no_harm import CLEAN, Cell, Denoise
from training.report import slices as pictures

Slices = NDArray[np.float32]
NOBODY = Volume("nobody", np.zeros((1, 64, 64), np.int16), (5.0, 1.0, 1.0))
CELL = Cell(
    anatomy="head", spacing_mm=1, kernel="soft", views=360, dose="25 %", before=35, gain=2, similarity=0.1, sharpness=1,
    change=20,
)  # fmt: skip


def unchanged(slices: Slices) -> Slices:
    return slices


def blurred(slices: Slices) -> Slices:
    return np.asarray(gaussian_filter(slices, (0, 1.5, 1.5)))


def measured(denoise: Denoise) -> list[Cell]:
    return no_harm.measure(denoise, NOBODY, [], spacings=(0.98,), anatomies=("head",))


def test_who_changes_nothing_harms_nothing() -> None:
    cells = measured(unchanged)
    assert len(cells) == 1 + len(no_harm.VIEWS) * len(no_harm.KERNELS) * len(no_harm.FLUX)
    assert {cell.dose for cell in cells} == {CLEAN, *no_harm.FLUX}
    assert not [cell for cell in cells if cell.harms]
    assert all(cell.gain == cell.similarity == cell.change == 0 and cell.sharpness == 1 for cell in cells)
    by_dose = [cell.before for cell in cells if (cell.views, cell.kernel) == (360, "sharp")]
    assert by_dose == sorted(by_dose, reverse=True)


def test_who_blurs_is_found_out_in_every_cell() -> None:
    assert all("edges" in " ".join(cell.harms) or cell.dose == CLEAN for cell in measured(blurred))


@pytest.mark.parametrize(
    ("changes", "harm"),
    [
        ({}, ""),
        ({"gain": -0.1}, "PSNR -0.10 dB"),
        ({"similarity": -0.01}, "SSIM -0.0100"),
        ({"sharpness": 0.9}, "edges 0.900"),
        ({"before": 75, "gain": -1}, ""),  # 0.3 HU are left, which whole numbers do not hold
        ({"dose": CLEAN, "change": 2.9}, ""),
        ({"dose": CLEAN, "change": 3.1}, "changed by 3.1 HU"),
    ],
)
def test_what_counts_as_harm(changes: dict[str, float], harm: str) -> None:
    assert ", ".join(dataclasses.replace(CELL, **changes).harms) == harm  # type: ignore[arg-type]


def test_the_figures_say_how_many_cells_are_harmed_and_by_what() -> None:
    worse, dull = dataclasses.replace(CELL, gain=-1), dataclasses.replace(CELL, sharpness=0.5, spacing_mm=2)
    clean = dataclasses.replace(CELL, dose=CLEAN, change=1, spacing_mm=2)
    figures = {metric.name: metric for metric in ct.no_harm_figures([CELL, worse, dull, clean])}
    assert figures["cells of the no-harm grid"].value == 0.5
    assert figures["cells of the no-harm grid"].description.endswith("harmed: 1 by PSNR, 1 by edges")
    assert (figures["cells at 1 mm"].value, figures["cells at 2 mm"].value) == (0.5, 0.5)
    assert figures["change of a clean part in the grid"].value == 1


def test_the_picture_of_the_grid_has_a_place_for_every_cell() -> None:
    few, many = (
        Image.open(io.BytesIO(pictures.harm_grid([dataclasses.replace(CELL, spacing_mm=mm) for mm in range(1, rows)])))
        for rows in (3, 9)
    )
    assert many.height > few.height
    assert many.width == few.width
