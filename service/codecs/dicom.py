"""CT slices in DICOM, through pydicom."""

import io
import logging
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.pixels.utils import decompress
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from service.errors import InvalidValue, MalformedBody, TooManyPixels, UnsupportedMedia

# pydicom warns by quoting values, and a value of a DICOM file may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module="pydicom")


# Of the pixels there were: optional, and wrong once they are others.
STATISTICS = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "HistogramSequence",
)


class Slice:
    """One CT slice: its data set, and its pixels in Hounsfield units, float32 [H, W]."""

    def __init__(self, dataset: FileDataset, hu: NDArray[np.float32]) -> None:
        self.dataset, self.hu = dataset, hu


def read_slice(data: bytes, max_pixels: int, field: str | None = None) -> Slice:
    """Raises MalformedBody (not DICOM), InvalidValue (not a CT slice), UnsupportedMedia (its compression)."""
    if DeflatedExplicitVRLittleEndian.encode() in data:  # pydicom would inflate it without a limit
        raise UnsupportedMedia("Deflated DICOM files are not accepted.", field)
    try:
        dataset = dcmread(io.BytesIO(data))
    except Exception:  # pydicom raises nearly anything on hostile bytes
        raise MalformedBody("Not a DICOM file, or a damaged one.", field) from None
    try:
        _check(dataset, max_pixels, field)
        return Slice(dataset, _hounsfield(dataset, field))
    except (InvalidValue, MalformedBody, TooManyPixels, UnsupportedMedia):
        raise
    except Exception:  # elements are parsed lazily: any of them may turn out to be damaged
        raise MalformedBody("The DICOM file is damaged.", field) from None


def read_slices(files: list[bytes], max_pixels: int, field: str) -> list[Slice]:
    """Slices that have at most `max_pixels` together. Raises what `read_slice` raises."""
    slices: list[Slice] = []
    for i, file in enumerate(files):
        slices.append(read_slice(file, max_pixels, f"{field}[{i}]"))
        max_pixels -= slices[-1].hu.size
    return slices


def _check(dataset: Dataset, max_pixels: int, field: str | None) -> None:
    if dataset.get("Modality") != "CT" or dataset.get("SOPClassUID", CTImageStorage) != CTImageStorage:
        raise InvalidValue("The DICOM object is not a CT image.", field)
    if "PixelData" not in dataset:
        raise InvalidValue("The DICOM object has no pixel data.", field)
    if dataset.get("SamplesPerPixel") != 1 or dataset.get("NumberOfFrames", 1) != 1:
        raise InvalidValue("The DICOM object must hold one grey frame.", field)
    if dataset.Rows * dataset.Columns > max_pixels:
        raise TooManyPixels(f"The slice has {dataset.Rows}x{dataset.Columns} pixels, limit {max_pixels}.", field)


def _hounsfield(dataset: FileDataset, field: str | None) -> NDArray[np.float32]:
    try:
        stored = dataset.pixel_array
    except (NotImplementedError, RuntimeError):
        name = dataset.file_meta.TransferSyntaxUID.name
        raise UnsupportedMedia(f"Pixel data in the transfer syntax {name} cannot be read.", field) from None
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if slope == 0 or not np.isfinite(hu).all():
        raise InvalidValue("RescaleSlope and RescaleIntercept must be finite, the slope not zero.", field)
    return hu


def write_derived(source: Slice, hu: NDArray[np.float32], algorithm: str) -> bytes:
    """A derived image (DICOM PS3.3 C.7.6.1.1.2): new instance and series, the source referenced, Explicit VR LE.

    Values that the stored type cannot hold are clipped to its range. Raises MalformedBody.
    """
    try:
        return _derive(source, hu, algorithm)
    except Exception:  # only now is every element of the source looked at
        raise MalformedBody("The DICOM file holds an element that cannot be written again.") from None


def _derive(source: Slice, hu: NDArray[np.float32], algorithm: str) -> bytes:
    dataset = source.dataset
    stored = _stored(dataset, hu)
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        decompress(dataset, generate_instance_uid=False)
    origin = Dataset()
    origin.ReferencedSOPClassUID, origin.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.SourceImageSequence = [origin]
    kind = list(dataset.get("ImageType") or ["ORIGINAL", "PRIMARY", "AXIAL"])
    dataset.ImageType = ["DERIVED", *(kind[1:] or ["PRIMARY"])]
    dataset.DerivationDescription = f"Noise reduced by {algorithm}"
    dataset.SOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[str(dataset.get("SeriesInstanceUID", "")), algorithm])
    for name in STATISTICS:
        dataset.pop(name, None)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    return _encode(dataset)


def _stored(dataset: Dataset, hu: NDArray[np.float32]) -> NDArray[Any]:
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    dtype = np.dtype(f"<{'i' if signed else 'u'}{dataset.BitsAllocated // 8}")
    stored: NDArray[Any] = np.clip(np.rint((hu - intercept) / slope), low, high).astype(dtype)
    return stored


def _encode(dataset: FileDataset) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return buffer.getvalue()
