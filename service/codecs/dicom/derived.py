"""A derived image (PS3.3 C.7.6.1.1.2): the source's own elements byte for byte, but for what is new of it."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid

from service.codecs.dicom.confidentiality import deidentified
from service.codecs.dicom.elements import EXTENDED_LENGTHS, EXTENDED_OFFSETS, PIXEL_DATA, Element, Elements
from service.codecs.dicom.encoding import little_endian, write_file
from service.codecs.dicom.functional_groups import derived_groups
from service.codecs.dicom.images import Image, words
from service.codecs.dicom.pixels import LOSSY, Format
from service.codecs.dicom.provenance import CONTRIBUTIONS, LONGEST_NAME, Derivation, contributions, evidence, provenance

MOST_WORDS, LONGEST_WORD = 16, 16  # of ImageType
DENOISED = b" denoised"
SERIES_AFTER = 1000  # the derived series' number is its source's and so many more
LARGEST_NUMBER = 2**31 - 1

# Of the pixels there were, or of how they were written: optional, and wrong once they are others.
STATISTICS = {
    "SmallestImagePixelValue": 0x00280106,
    "LargestImagePixelValue": 0x00280107,
    "SmallestPixelValueInSeries": 0x00280108,
    "LargestPixelValueInSeries": 0x00280109,
    "SmallestImagePixelValueInPlane": 0x00280110,
    "LargestImagePixelValueInPlane": 0x00280111,
    "HistogramSequence": 0x00603000,
    "IconImageSequence": 0x00880200,
}
CREATED = {0x00080012, 0x00080013, 0x00080014}  # when and by whom the source was written
SIGNATURES = {0x4FFE0001, 0xFFFAFFFA}
DROPPED = {*STATISTICS.values(), *CREATED, *SIGNATURES, EXTENDED_OFFSETS, EXTENDED_LENGTHS}
QUALIFICATION = 0x00189004


def write_derived(source: Image, hu: NDArray[np.float32], derivation: Derivation) -> bytes:
    """The image with `hu` [N, H, W] as its pixels: new instance and series, the source referenced.

    Values that the stored type cannot hold are clipped to its range. Images of a series are one series again.
    """
    own = source.file.elements
    kept = {tag: one for tag, one in own.items() if _kept(tag, own)}
    elements = little_endian(kept, source.file.big, source.format.signed)
    if derivation.pseudonyms is not None:
        elements = deidentified(elements, derivation.pseudonyms)
    instance = str(generate_uid())
    elements |= _identity(source, instance, derivation) | _pixel_format(source) | _lossy(source)
    elements[CONTRIBUTIONS] = contributions(elements, derivation)
    if source.enhanced:
        elements |= derived_groups(elements, provenance(source, derivation)) | evidence(source, derivation)
        elements[QUALIFICATION] = Element("CS", b"RESEARCH")
    else:
        elements |= provenance(source, derivation)
    elements[PIXEL_DATA] = Element("OW" if source.format.allocated > 8 else "OB", _stored(source, hu))
    return write_file(elements, source.sop_class, instance)


def _kept(tag: int, elements: Elements) -> bool:
    """Overlays are gone with the bits that held them."""
    group = tag >> 16
    overlay = group & 0xFF01 == 0x6000 and (group << 16 | 0x3000) not in elements
    return group > 2 and not overlay and tag not in DROPPED


def _identity(source: Image, instance: str, derivation: Derivation) -> Elements:
    """Who it is: instance, series, and kind of image."""
    kind = [word for word in words(source.dataset, "ImageType")[:MOST_WORDS] if len(word) <= LONGEST_WORD]
    primary = kind[1] if len(kind) > 1 and kind[1] in ("PRIMARY", "SECONDARY") else "PRIMARY"
    new = {
        0x00080008: ("CS", "\\".join(["DERIVED", primary, *(kind[2:] or ["AXIAL"])])),
        0x00080016: ("UI", source.sop_class),
        0x00080018: ("UI", instance),
        0x0020000E: ("UI", _series(source, derivation)),
        0x00200011: ("IS", _series_number(source)),
    }
    described = {tag: Element(vr, text.encode("latin-1", "replace")) for tag, (vr, text) in new.items()}
    return described | {0x0008103E: Element("LO", _series_description(source, derivation))}


def _series(source: Image, derivation: Derivation) -> str:
    """One new series for each of the source's, by what was done; none is shared by images without a series."""
    series = str(source.dataset.get("SeriesInstanceUID") or "")
    if not series:
        return str(generate_uid())
    key = "\n".join([series, derivation.model, derivation.version, derivation.settings])
    return str(generate_uid(entropy_srcs=[key]) if derivation.pseudonyms is None else derivation.pseudonyms.uid(key))


def _series_number(source: Image) -> str:
    try:
        number = int(str(source.dataset.get("SeriesNumber") or 0)) + SERIES_AFTER
    except ValueError:
        number = SERIES_AFTER
    return str(number if abs(number) <= LARGEST_NUMBER else SERIES_AFTER)


def _series_description(source: Image, derivation: Derivation) -> bytes:
    """The source's own bytes, whatever their character set, and that it is denoised; that alone where they are long."""
    own = source.file.elements.get(0x0008103E)
    text = b"" if own is None or derivation.pseudonyms is not None else own.value.rstrip(b" \0")
    if text.endswith(DENOISED.strip()):
        return text
    return (text + DENOISED if len(text) + len(DENOISED) <= LONGEST_NAME else DENOISED).strip()


def _pixel_format(source: Image) -> Elements:
    """What a reader wants to know of the pixels, also where the source left it to be guessed."""
    stored, signed = source.format.stored, source.format.signed
    numbers = {0x00280002: 1, 0x00280101: stored, 0x00280102: stored - 1, 0x00280103: int(signed)}
    told = {tag: Element("US", struct.pack("<H", number)) for tag, number in numbers.items()}
    colours = str(source.dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    return told | {0x00280004: Element("CS", colours.encode())}


def _lossy(source: Image) -> Elements:
    """Compressed once with loss, always, PS3.3 C.7.6.1.1.5; where the source does not say so, its syntax does."""
    if source.file.syntax not in LOSSY or source.dataset.get("LossyImageCompression"):
        return {}
    whole = source.hu.size * source.format.allocated / 8
    ratio = whole / max(1, len(source.file.elements[PIXEL_DATA].value))
    return {
        0x00282110: Element("CS", b"01"),
        0x00282112: Element("DS", f"{ratio:.4g}".encode()),
        0x00282114: Element("CS", LOSSY[source.file.syntax].encode()),
    }


def _stored(source: Image, hu: NDArray[np.float32]) -> bytes:
    low, high = _range(source.format)
    dtype = np.dtype(f"<{'i' if source.format.signed else 'u'}{source.format.allocated // 8}")
    stored: NDArray[Any] = np.empty(hu.shape, dtype)
    for i, frame in enumerate(source.frames):
        exact = (hu[i].astype(np.float64) - frame.intercept) / frame.slope  # float64 holds every bound of 32 bits
        stored[i] = np.clip(np.rint(exact), low, high).astype(dtype)
    return stored.tobytes()


def _range(format: Format) -> tuple[int, int]:
    bits = format.stored
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if format.signed else (0, 2**bits - 1)
