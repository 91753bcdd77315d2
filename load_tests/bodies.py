"""Request bodies made from the real files in `payloads/`."""

import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

PAYLOADS = Path(__file__).parent / "payloads"
JSON, NPY, PNG, DICOM = "application/json", "application/x-npy", "image/png", "application/dicom"

THINGS = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


class Body(NamedTuple):
    content: bytes
    media_type: str


def digit(label: int) -> NDArray[np.uint8]:
    """A test digit of MNIST, [28, 28], white on black."""
    return np.asarray(Image.open(PAYLOADS / f"digit-{label}.png"))


def digit_png(label: int) -> Body:
    return Body((PAYLOADS / f"digit-{label}.png").read_bytes(), PNG)


def thing(label: str) -> NDArray[np.uint8]:
    """A test picture of Fashion-MNIST, [28, 28], light on black."""
    return np.asarray(Image.open(PAYLOADS / f"thing-{THINGS.index(label)}.png"))


def thing_png(label: str) -> Body:
    return Body((PAYLOADS / f"thing-{THINGS.index(label)}.png").read_bytes(), PNG)


def things_json(*labels: str) -> Body:
    return as_json({"images": [thing(label).tolist() for label in labels]})


def digits_json(*labels: int) -> Body:
    return as_json({"images": [digit(label).tolist() for label in labels]})


def applicants() -> list[dict[str, Any]]:
    """Rows of the Statlog table by attribute name, values as published."""
    rows: list[dict[str, Any]] = json.loads((PAYLOADS / "applicants.json").read_bytes())["applicants"]
    return rows


SLICE_MM = 0.661468  # PixelSpacing of the CT slice


def slice_dicom() -> Body:
    return Body((PAYLOADS / "slice.dcm").read_bytes(), DICOM)


def slice_hu() -> NDArray[np.int16]:
    """The pixels of the CT slice in Hounsfield units, [128, 128]."""
    dataset = dcmread(PAYLOADS / "slice.dcm")
    hu = dataset.pixel_array * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
    return hu.astype(np.int16)


def as_json(document: object) -> Body:
    return Body(json.dumps(document).encode(), JSON)


def as_npy(array: NDArray[Any]) -> Body:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return Body(buffer.getvalue(), NPY)
