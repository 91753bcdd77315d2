"""CT slices from outside: a folder of DICOM files, whatever folders they lie in, or these below train/, validation/ and
test/.

What the service takes is taken here, if it says how large its pixels are and that it is axial: simulated noise needs
both. Slices that the schema calls noisy are learned from by their own noise, in place of a simulated one. All about one
patient is on one side. Complaints name files, and quote nothing of what they hold.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from service.codecs.dicom import Image, read_image
from service.codecs.dicom.images import numbers
from service.errors import QuartetError
from service.limits import Limits
from training.data import Volume, chest_ct
from training.data.given import Given
from training.data.store import DataError
from training.given.report import Report
from training.given.schema import schema_of, source
from training.given.sides import ALIAS, SIDES, TEST, TRAIN, VALIDATION, fingerprint, split
from training.images import own_noise
from training.images.ct_pairs import SPACINGS_MM, resampled
from training.recipe import Recipe

LIMITS = Limits(max_rows=4096, max_pixels=2**28)
LEAST_PIXELS, LEAST_MM = 384, 240.0  # each way: coarser slices are made of them, and parts are cut out of those
VALIDATING = 6  # slices, as many as the recipe's own
AIR_HU = -1024
OWN_NOISE = {"edges": 0.0, "lesions": 0.0, "sets": 120}  # hyper-parameters: nothing is known of what is clean
NEAR = 0.99  # spacings as like as that are the same


class Slice(NamedTuple):
    """`whom`, a fingerprint, says whom it is about; `place` is where it lies among others."""

    file: Path
    whom: str
    place: tuple[str, str, float]
    hu: NDArray[np.int16]
    spacing_mm: float


def folder(recipe: Recipe[Any], path: Path) -> Given:
    """How a recipe takes slices in place of those of `chest_ct`."""
    schema = schema_of(path)
    slices = sorted(_read(path), key=lambda one: one.place)
    report = Report(path, lambda row: slices[row].file.relative_to(path).as_posix())
    keys = [fingerprint(one.hu.tobytes()) for one in slices]
    above = [one.file.relative_to(path).parts[0].lower() for one in slices]
    told = above if {*above} & {*SIDES, *ALIAS} else None
    sides = split(keys, [one.whom for one in slices], told, report)
    grid_mm = _grid(slices, report, schema.noisy)
    validating = np.flatnonzero(sides == VALIDATION)
    for side, least in ((VALIDATION, VALIDATING), (TEST, VALIDATING)):
        if 0 < (sides == side).sum() < least:
            report.errors.append(f"{side} has fewer than {least} slices: more are needed")
    text = report.check(*SIDES)
    chosen = validating[np.linspace(0, len(validating) - 1, VALIDATING).astype(int)]

    def volume(name: str, rows: Any) -> Volume:
        laid = np.stack([slices[row].hu if schema.noisy else _on_grid(slices[row], grid_mm) for row in rows])
        spacing = math.nan, grid_mm, grid_mm  # slices of many series have no one distance
        return Volume(name, laid, spacing, schema.noisy)

    first = volume("given", [*chosen, *np.flatnonzero(sides == TRAIN)])
    held_out = volume("held out", np.flatnonzero(sides == TEST))
    if schema.noisy:  # raises DataError now rather than after the training
        own_noise.covariance_of(first, list(range(VALIDATING, len(first.hu))))
        own_noise.covariance_of(held_out, list(range(len(held_out.hu))))
    return Given(
        source=source(path, schema, (file.read_bytes() for file in dict.fromkeys(one.file for one in slices))),
        replaces=recipe.sources[0],
        reader=chest_ct.__name__,
        value=(first, held_out),
        report=text,
        hyper={"validation": (0, VALIDATING), "gap": 0} | (OWN_NOISE if schema.noisy else {}),
    )


def _read(path: Path) -> list[Slice]:
    """Raises DataError with every file that cannot be used."""
    if not path.is_dir():
        raise DataError(f"{path} is no folder: slices come as DICOM files in one")
    files = sorted(one for one in path.rglob("*") if one.is_file() and one.name not in ("DICOMDIR", "schema.json"))
    if not files:
        raise DataError(f"{path.name} holds no files: there must be CT slices in DICOM")
    report = Report(path, lambda row: files[row].relative_to(path).as_posix())
    slices: list[Slice] = []
    for row, file in enumerate(files):
        try:
            image = read_image(file.read_bytes(), LIMITS)
        except QuartetError as error:
            report.wrong(row, f"cannot be used. {error.detail}")
            continue
        wrong = _doubt(image)
        if wrong:
            report.wrong(row, wrong)
        else:
            slices += _slices(file, image)
    report.check()
    return slices


def _doubt(image: Image) -> str:
    """Why nothing is learned of it, where the service would answer all the same."""
    height, width = image.hu.shape[1:]
    spacings = [frame.spacing_mm for frame in image.frames]
    if height != width or height < LEAST_PIXELS:
        return f"must be square, of {LEAST_PIXELS}x{LEAST_PIXELS} pixels or more"
    if not all(frame.oriented for frame in image.frames):
        return "lacks ImageOrientationPatient, so nothing says that it is axial"
    if len({*spacings}) != 1 or spacings[0] is None:
        return "lacks PixelSpacing, or its frames have several"
    if min(spacings[0]) < NEAR * max(spacings[0]):
        return "has pixels that are not square by PixelSpacing"
    if not SPACINGS_MM[0] <= spacings[0][1] <= SPACINGS_MM[1]:
        return f"has pixels that are not {SPACINGS_MM[0]} to {SPACINGS_MM[1]} mm wide by PixelSpacing"
    return ""


def _slices(file: Path, image: Image) -> Iterator[Slice]:
    told = (str(image.dataset.get(name) or "") for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
    patient, study, series = told
    whom = fingerprint((patient or study or file.parent.as_posix()).encode())
    height_mm = (numbers(image.dataset, "ImagePositionPatient") or [0.0])[-1]
    for number, (frame, hu) in enumerate(zip(image.frames, image.hu, strict=True)):
        kept = hu if image.padding is None else np.where(image.padding[number], AIR_HU, hu)
        stored = np.rint(kept.clip(-(2**15), 2**15 - 1)).astype(np.int16)
        assert frame.spacing_mm
        yield Slice(file, whom, (whom, fingerprint(series.encode()), height_mm + number), stored, frame.spacing_mm[1])


def _grid(slices: list[Slice], report: Report, noisy: bool) -> float:
    """The coarsest pixels there are, in mm: all slices are laid on a grid of those, but `noisy` ones, whose noise would
    change its kind."""
    for row, one in enumerate(slices):
        if one.hu.shape != slices[0].hu.shape:
            report.wrong(row, f"has another number of pixels than {report.where(0)}")
    finest, coarsest = (pick(one.spacing_mm for one in slices) for pick in (min, max))
    if len(slices[0].hu) * coarsest < LEAST_MM:
        report.errors.append(f"no slice shows {LEAST_MM:g} mm each way: wider ones are needed")
    if finest < NEAR * coarsest:
        done = "noise is taken to be of one kind in all" if noisy else "all are laid on a grid of the coarsest"
        report.doubts.append(f"pixels are {finest:g} to {coarsest:g} mm wide; {done}")
    return coarsest


def _on_grid(one: Slice, grid_mm: float) -> NDArray[np.int16]:
    """With air about it, where its own pixels are smaller."""
    if one.spacing_mm >= NEAR * grid_mm:
        return one.hu
    inner = resampled(torch.from_numpy(one.hu)[None].float(), one.spacing_mm / grid_mm)[0].round().numpy()
    whole, first = np.full_like(one.hu, AIR_HU), (len(one.hu) - len(inner)) // 2
    whole[first : first + len(inner), first : first + len(inner)] = inner
    return whole
