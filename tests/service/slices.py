"""A CT slice that comes with pydicom, opened and saved, and what is told of what is made of it."""

import io
from pathlib import Path

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset

from service.codecs.dicom import Derivation
from service.limits import Limits

MADE = Derivation("ct-denoiser", "1", "Noise reduced by ct-denoiser 1")
LIMITS = Limits(max_rows=32, max_pixels=2**20)
SLICE = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


def opened(body: bytes) -> FileDataset:
    return pydicom.dcmread(io.BytesIO(body))


def saved(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()
