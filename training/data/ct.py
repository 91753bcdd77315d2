"""Computed tomography: whole chests of two patients, and slices of a phantom as a scanner stores them."""

import io
import zipfile
from dataclasses import dataclass

import nrrd
import numpy as np
import pydicom
from numpy.typing import NDArray

from training.data.given import replaceable
from training.data.sources import CHEST_CT, PHANTOM_CT
from training.data.store import fetch


@dataclass(frozen=True)
class Volume:
    """`hu` int16 [slices, rows, columns] in Hounsfield units, from feet to head; a row runs from the patient's right
    to left, rows from front to back. `spacing` in mm along the same axes. What is `noisy` has the noise that is to be
    taken out, and is no truth."""

    patient: str
    hu: NDArray[np.int16]
    spacing: tuple[float, float, float]
    noisy: bool = False


@replaceable
def chest_ct() -> tuple[Volume, Volume]:
    """The chests of two patients: 48 and 61 slices of 512x512, 5 mm apart."""
    files = fetch(CHEST_CT.name).read()
    return _volume("lung1", files["lung1_image.nrrd"]), _volume("lung2", files["lung2_image.nrrd"])


def phantom_ct(series: str = "Low dose thorax") -> list[bytes]:
    """64 slices of the CatPhan phantom, each a whole DICOM file (uncompressed, 512x512), from feet to head.

    "Pelvis" shows the same places at four times the current and a higher voltage.
    """
    with zipfile.ZipFile(io.BytesIO(fetch(PHANTOM_CT.name).read()[f"{series}.zip"])) as archive:
        return sorted((archive.read(name) for name in archive.namelist() if "/CT." in name), key=_height)


def _height(dicom: bytes) -> float:
    """Position of a slice along the patient's axis, in mm."""
    header = pydicom.dcmread(io.BytesIO(dicom), specific_tags=["ImagePositionPatient"], stop_before_pixels=True)
    return float(header.ImagePositionPatient[2])


def _volume(patient: str, data: bytes) -> Volume:
    file = io.BytesIO(data)
    header = nrrd.read_header(file)
    hu = nrrd.read_data(header, file, index_order="C")
    z, y, x = (float(np.linalg.norm(direction)) for direction in header["space directions"][::-1])
    return Volume(patient, hu.astype(np.int16, copy=False), (z, y, x))
