"""One axial CT slice out of a DICOM file, in Hounsfield units."""

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from service.codecs.dicom.elements import INFLATED, PIXEL_DATA, Element, File, parse
from service.codecs.dicom.pixels import Format, stored_values
from service.errors import InvalidValue, MalformedBody, QuartetError, TooManyPixels
from service.limits import Limits

WORKING = 32  # bytes per pixel while one is decoded
MODALITY_LUT = 0x00283000
PADDING = 0x00280120, 0x00280121
LEAST_AXIAL = 0.85  # share of the slice's normal along the patient; a gantry tilts by up to 30 degrees


class Slice:
    """One CT slice: its file, its data set without sequences and pixels, and Hounsfield units, float32 [H, W].

    `spacing_mm` is that of its rows and its columns, where it says it; `padding` [H, W] is what it says stands for
    nothing.
    """

    def __init__(self, file: File, dataset: Dataset, format: Format, limits: Limits, field: str | None) -> None:
        self.file, self.dataset, self.format = file, dataset, format
        self.slope, self.intercept = _rescale(file, dataset, field)
        stored = stored_values(file, format, field)
        self.hu = _hounsfield(stored, self.slope, self.intercept, field)
        self.padding = _padding(file, format, stored)
        self.spacing_mm = _spacing(dataset)


def read_slice(data: bytes, limits: Limits, field: str | None = None) -> Slice:
    """Raises MalformedBody (not DICOM), InvalidValue (not a CT slice), UnsupportedMedia (its compression)
    and TooManyPixels.
    """
    file = parse(data, limits, field)
    try:
        dataset = _dataset(file)
        _check(file, dataset, field)
        format = Format.read(dataset, field)
        if format.pixels > limits.max_pixels:
            size = f"{format.rows}x{format.columns}"
            raise TooManyPixels(f"The slice has {size} pixels, limit {limits.max_pixels}.", field)
        limits.claim(WORKING * format.pixels, field)
        return Slice(file, dataset, format, limits, field)
    except QuartetError as error:
        error.field = error.field or field
        raise
    except Exception:  # values are parsed lazily: any of them may turn out to be damaged
        raise MalformedBody("The DICOM file is damaged.", field) from None


def read_slices(files: list[bytes], limits: Limits, field: str) -> list[Slice]:
    """Slices that have at most `limits.max_pixels` together. Raises what `read_slice` raises."""
    slices: list[Slice] = []
    for i, file in enumerate(files):
        limits.check_time()
        slices.append(read_slice(file, limits, f"{field}[{i}]"))
        taken = max(slices[-1].hu.size, slices[-1].file.inflated // INFLATED)
        limits = limits._replace(max_pixels=max(0, limits.max_pixels - taken))
    return slices


def _dataset(file: File) -> Dataset:
    """For values of one kind or another, which pydicom parses when somebody asks for them."""
    implicit = file.syntax == ImplicitVRLittleEndian

    def raw(tag: int, one: Element) -> RawDataElement:
        vr = None if implicit or len(one.vr) != 2 else one.vr
        return RawDataElement(Tag(tag), vr, len(one.value), one.value, 0, implicit, not file.big, True)

    whole = ((tag, one) for tag, one in file.elements.items() if one.items is None and tag != PIXEL_DATA)
    return Dataset({Tag(tag): raw(tag, one) for tag, one in whole})


def _check(file: File, dataset: Dataset, field: str | None) -> None:
    if dataset.get("Modality") != "CT" or dataset.get("SOPClassUID", CTImageStorage) != CTImageStorage:
        raise InvalidValue("The DICOM object is not a CT image.", field)
    if PIXEL_DATA not in file.elements:
        raise InvalidValue("The DICOM object has no pixel data.", field)
    if dataset.get("SamplesPerPixel", 1) != 1 or (dataset.get("NumberOfFrames") or 1) != 1:
        raise InvalidValue("The DICOM object must hold one grey frame.", field)
    if dataset.get("PhotometricInterpretation") not in (None, "", "MONOCHROME1", "MONOCHROME2"):
        raise InvalidValue("PhotometricInterpretation must be MONOCHROME1 or MONOCHROME2.", field)
    if "LOCALIZER" in words(dataset, "ImageType"):
        raise InvalidValue("ImageType says that this is a localizer, not an axial slice.", field)
    orientation = numbers(dataset, "ImageOrientationPatient")
    if len(orientation) == 6 and abs(np.cross(orientation[:3], orientation[3:])[2]) < LEAST_AXIAL:
        raise InvalidValue("ImageOrientationPatient says that the slice is not axial.", field)


def words(dataset: Dataset, name: str) -> list[str]:
    """A value of one or more words; none where it is absent or empty."""
    value = dataset.get(name)
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]


def numbers(dataset: Dataset, name: str) -> list[float]:
    """A value of one or more numbers; none where it is absent or empty, or any of them is no number."""
    try:
        value = dataset.get(name)
        if value is None or value == "":
            return []
        found = [float(one) for one in (value if hasattr(value, "__iter__") else [value])]
    except (TypeError, ValueError):
        return []
    return found if all(isfinite(one) for one in found) else []


def _spacing(dataset: Dataset) -> tuple[float, float] | None:
    spacing = numbers(dataset, "PixelSpacing")
    return (spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None


def _rescale(file: File, dataset: Dataset, field: str | None) -> tuple[float, float]:
    """Slope and intercept, without which stored values are no Hounsfield units."""
    if MODALITY_LUT in file.elements:
        raise InvalidValue(
            "The slice has a ModalityLUTSequence: send one with RescaleSlope and RescaleIntercept.", field
        )
    slope, intercept = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    if len(slope) != 1 or len(intercept) != 1:
        why = "each a finite number. Without them its values are not known to be Hounsfield units."
        raise InvalidValue(f"The slice needs RescaleSlope and RescaleIntercept, {why}", field)
    if slope[0] == 0:
        raise InvalidValue("RescaleSlope must not be zero: the slope of zero leaves nothing of the slice.", field)
    if any(not kind.startswith("HU") for kind in words(dataset, "RescaleType")):
        raise InvalidValue("RescaleType must be HU.", field)
    return slope[0], intercept[0]


def _padding(file: File, format: Format, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """PixelPaddingValue, or the values from there to PixelPaddingRangeLimit: 16 bits of the stored kind."""
    found = [file.elements[tag].value for tag in PADDING if tag in file.elements]
    limits = [format.value_of(int.from_bytes(one, "big" if file.big else "little")) for one in found if len(one) == 2]
    return (stored >= min(limits)) & (stored <= max(limits)) if limits else None


def _hounsfield(stored: NDArray[Any], slope: float, intercept: float, field: str | None) -> NDArray[np.float32]:
    wide: Any = np.float64 if stored.dtype.itemsize > 2 else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        exact = stored.astype(wide) * wide(slope) + wide(intercept)
        hu: NDArray[np.float32] = exact.astype(np.float32, copy=False)
    if not np.isfinite(hu).all():
        raise InvalidValue("RescaleSlope and RescaleIntercept give values that are not finite.", field)
    return hu
