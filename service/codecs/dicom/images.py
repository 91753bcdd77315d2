"""Axial CT slices out of a DICOM file, in Hounsfield units: one, or the frames of an enhanced multi-frame object."""

from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from service.codecs.dicom.elements import INFLATED, PIXEL_DATA, Element, Elements, File, parse
from service.codecs.dicom.functional_groups import frame_elements
from service.codecs.dicom.pixels import Format, stored_frames
from service.errors import InvalidValue, MalformedBody, QuartetError, TooManyPixels
from service.limits import Limits

ENHANCED = {EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
WORKING = 32  # bytes per pixel of a frame while it is decoded
HELD = 6  # bytes per pixel of an image once it is
MODALITY_LUT = 0x00283000
PADDING = 0x00280120, 0x00280121
LEAST_AXIAL = 0.85  # share of the slice's normal along the patient; a gantry tilts by up to 30 degrees


class Frame(NamedTuple):
    """What a slice says of itself: how its stored values become HU, and in mm how far its rows and its columns lie
    apart, where it says it; `oriented`: whether it says that it is axial.
    """

    slope: float
    intercept: float
    spacing_mm: tuple[float, float] | None
    oriented: bool

    @classmethod
    def read(cls, dataset: Dataset, field: str | None) -> "Frame":
        """Raises InvalidValue for what is not an axial slice in Hounsfield units."""
        if "LOCALIZER" in words(dataset, "ImageType"):
            raise InvalidValue("ImageType says that this is a localizer, not an axial slice.", field)
        orientation = numbers(dataset, "ImageOrientationPatient")
        if len(orientation) == 6 and abs(np.cross(orientation[:3], orientation[3:])[2]) < LEAST_AXIAL:
            raise InvalidValue("ImageOrientationPatient says that the slice is not axial.", field)
        return cls(*_rescale(dataset, field), _spacing(dataset), len(orientation) == 6)


class Image:
    """A DICOM image: its file, its data set without sequences and pixels, and its frames in HU, float32 [N, H, W].

    `padding` [N, H, W] is what it says stands for nothing.
    """

    def __init__(self, file: File, dataset: Dataset, format: Format, frames: list[Frame], field: str | None) -> None:
        self.file, self.dataset, self.format, self.frames = file, dataset, format, frames
        self.hu = np.empty((len(frames), format.rows, format.columns), np.float32)
        self.padding: NDArray[np.bool_] | None = None
        padding = _padding_values(file, format)
        if padding is not None:
            self.padding = np.empty(self.hu.shape, bool)
        for i, stored in enumerate(stored_frames(file, format, len(frames), field)):
            self.hu[i] = _hounsfield(stored, frames[i], field)
            if padding is not None and self.padding is not None:
                self.padding[i] = (stored >= padding[0]) & (stored <= padding[1])

    @property
    def sop_class(self) -> str:
        return str(self.dataset.get("SOPClassUID") or CTImageStorage)

    @property
    def derived(self) -> bool:
        return words(self.dataset, "ImageType")[:1] == ["DERIVED"]

    @property
    def enhanced(self) -> bool:
        return self.sop_class in ENHANCED


def read_image(data: bytes, limits: Limits, field: str | None = None) -> Image:
    """Raises MalformedBody (not DICOM), InvalidValue (not CT slices), UnsupportedMedia (its compression), TooManyRows
    and TooManyPixels.
    """
    file = parse(data, limits, field)
    try:
        dataset = _dataset(file.elements, file)
        frames = _frames(file, dataset, limits, field)
        format = Format.read(dataset, field)
        pixels = len(frames) * format.pixels
        if pixels > limits.max_pixels:
            size = f"{format.rows}x{format.columns}" + (f" pixels in {len(frames)} frames" if len(frames) > 1 else "")
            raise TooManyPixels(f"The slice has {size} pixels, and there is room for {limits.max_pixels}.", field)
        limits.claim(WORKING * format.pixels + HELD * pixels, field)
        image = Image(file, dataset, format, frames, field)
        limits.release(WORKING * format.pixels)
        return image
    except QuartetError as error:
        error.field = error.field or field
        raise
    except Exception:  # values are parsed lazily: any of them may turn out to be damaged
        raise MalformedBody("The DICOM file is damaged.", field) from None


def read_images(files: list[bytes], limits: Limits, field: str) -> list[Image]:
    """Images that have at most `limits.max_pixels` and `limits.max_rows` frames together. Raises what `read_image`
    raises.
    """
    images: list[Image] = []
    for i, file in enumerate(files):
        limits.check_time()
        images.append(read_image(file, limits, f"{field}[{i}]"))
        taken = max(images[-1].hu.size, images[-1].file.inflated // INFLATED)
        limits = limits._replace(max_pixels=max(0, limits.max_pixels - taken))
    return images


def _frames(file: File, dataset: Dataset, limits: Limits, field: str | None) -> list[Frame]:
    _check(file, dataset, field)
    count = dataset.get("NumberOfFrames") or 1
    if dataset.get("SOPClassUID", CTImageStorage) not in ENHANCED:
        if count != 1:
            raise InvalidValue("A CT image that is not enhanced holds one frame.", field)
        return [Frame.read(dataset, field)]
    if not isinstance(count, int) or count < 1:
        raise InvalidValue("NumberOfFrames must be a whole number of 1 or more.", field)
    limits.check_rows(count, field or "frames")
    told = frame_elements(file.elements, count, field)
    return [Frame.read(_dataset(one, file), f"{field or 'dicom'}.frames[{i}]") for i, one in enumerate(told)]


def _dataset(elements: Elements, file: File) -> Dataset:
    """For values of one kind or another, which pydicom parses when somebody asks for them."""
    implicit = file.syntax == ImplicitVRLittleEndian

    def raw(tag: int, one: Element) -> RawDataElement:
        vr = None if implicit or len(one.vr) != 2 else one.vr
        return RawDataElement(Tag(tag), vr, len(one.value), one.value, 0, implicit, not file.big, True)

    whole = ((tag, one) for tag, one in elements.items() if one.items is None and tag != PIXEL_DATA)
    return Dataset({Tag(tag): raw(tag, one) for tag, one in whole})


def _check(file: File, dataset: Dataset, field: str | None) -> None:
    kinds = {CTImageStorage, *ENHANCED}
    if dataset.get("Modality") != "CT" or dataset.get("SOPClassUID", CTImageStorage) not in kinds:
        raise InvalidValue("The DICOM object is not a CT image.", field)
    if PIXEL_DATA not in file.elements:
        raise InvalidValue("The DICOM object has no pixel data.", field)
    if dataset.get("SamplesPerPixel", 1) != 1:
        raise InvalidValue("The DICOM object must hold grey pixels, one sample each.", field)
    if dataset.get("PhotometricInterpretation") not in (None, "", "MONOCHROME1", "MONOCHROME2"):
        raise InvalidValue("PhotometricInterpretation must be MONOCHROME1 or MONOCHROME2.", field)
    if MODALITY_LUT in file.elements:
        raise InvalidValue(
            "The slice has a ModalityLUTSequence: send one with RescaleSlope and RescaleIntercept.", field
        )


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


def _rescale(dataset: Dataset, field: str | None) -> tuple[float, float]:
    """Slope and intercept, without which stored values are no Hounsfield units."""
    slope, intercept = numbers(dataset, "RescaleSlope"), numbers(dataset, "RescaleIntercept")
    if len(slope) != 1 or len(intercept) != 1:
        why = "each a finite number. Without them its values are not known to be Hounsfield units."
        raise InvalidValue(f"The slice needs RescaleSlope and RescaleIntercept, {why}", field)
    if slope[0] == 0:
        raise InvalidValue("RescaleSlope must not be zero: the slope of zero leaves nothing of the slice.", field)
    if any(not kind.startswith("HU") for kind in words(dataset, "RescaleType")):
        raise InvalidValue("RescaleType must be HU.", field)
    return slope[0], intercept[0]


def _padding_values(file: File, format: Format) -> tuple[int, int] | None:
    """PixelPaddingValue and PixelPaddingRangeLimit, where there is one, the lower first: 16 bits of the stored kind."""
    found = [file.elements[tag].value for tag in PADDING if tag in file.elements]
    limits = [format.value_of(int.from_bytes(one, "big" if file.big else "little")) for one in found if len(one) == 2]
    return (min(limits), max(limits)) if limits else None


def _hounsfield(stored: NDArray[Any], frame: Frame, field: str | None) -> NDArray[np.float32]:
    wide: Any = np.float64 if stored.dtype.itemsize > 2 else np.float32
    with np.errstate(over="ignore", invalid="ignore"):
        exact = stored.astype(wide) * wide(frame.slope) + wide(frame.intercept)
        hu: NDArray[np.float32] = exact.astype(np.float32, copy=False)
    if not np.isfinite(hu).all():
        raise InvalidValue("RescaleSlope and RescaleIntercept give values that are not finite.", field)
    return hu
