"""Enhanced multi-frame CT objects, whose every frame has a rescale of its own."""

import io

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, generate_uid

SIDE, FRAMES = 32, 3
SLOPES, INTERCEPTS = (1.0, 0.5, 2.0), (-1024.0, -1000.0, -900.0)


def dataset(spacing_mm: float | None = 0.6) -> FileDataset:
    """Three frames of 12 bits, as a scanner would write them: a group of each kind, shared or for a frame."""
    found = dcmread(str(get_testdata_file("CT_small.dcm")))
    for name in ("RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"):
        delattr(found, name)
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    found.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    found.Rows, found.Columns, found.NumberOfFrames = SIDE, SIDE, FRAMES
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 16, 12, 11, 0
    found.PixelData = stored().astype("<u2").tobytes()
    del found.PixelPaddingValue
    shared = Dataset()
    if spacing_mm:
        shared.PixelMeasuresSequence = _group(PixelSpacing=[spacing_mm, spacing_mm], SliceThickness=5)
    shared.PlaneOrientationSequence = _group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.CTImageFrameTypeSequence = _group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    found.SharedFunctionalGroupsSequence = Sequence([shared])
    found.PerFrameFunctionalGroupsSequence = Sequence([_frame(i) for i in range(FRAMES)])
    return found


def stored() -> NDArray[np.uint16]:
    return np.random.default_rng(3).integers(900, 1200, (FRAMES, SIDE, SIDE)).astype(np.uint16)


def hu() -> NDArray[np.float32]:
    slopes, intercepts = (np.array(one, np.float32)[:, None, None] for one in (SLOPES, INTERCEPTS))
    return np.asarray(stored() * slopes + intercepts, np.float32)


def saved(found: FileDataset) -> bytes:
    buffer = io.BytesIO()
    found.save_as(buffer)
    return buffer.getvalue()


def _frame(number: int) -> Dataset:
    frame = Dataset()
    frame.FrameContentSequence = _group(StackID="1", InStackPositionNumber=number + 1)
    frame.PlanePositionSequence = _group(ImagePositionPatient=[0, 0, 5.0 * number])
    frame.PixelValueTransformationSequence = _group(
        RescaleSlope=SLOPES[number], RescaleIntercept=INTERCEPTS[number], RescaleType="HU"
    )
    return frame


def _group(**elements: object) -> Sequence:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return Sequence([item])
