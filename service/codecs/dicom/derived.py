"""A derived image (PS3.3 C.7.6.1.1.2): the slice's own elements byte for byte, in Explicit VR Little Endian."""

import re
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import private_dictionary_VR
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from service.codecs.dicom.elements import LONG, MAGIC, PIXEL_DATA, PREAMBLE, SHORT, Element, Elements, vr_of
from service.codecs.dicom.slices import Slice, words

BINARY = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4}
BINARY |= dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)
ASCII = frozenset(["AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"])  # no character set changes them
CHOSEN = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}
LONGEST = 0xFFFE  # bytes in a short representation
INSTANCE = re.compile(r"[0-9.]{1,64}")
MOST_WORDS, LONGEST_WORD = 16, 16  # of ImageType

# Of the pixels there were, or of how they were written: optional, and wrong once they are others.
STATISTICS = {
    "SmallestImagePixelValue": 0x00280106,
    "LargestImagePixelValue": 0x00280107,
    "SmallestPixelValueInSeries": 0x00280108,
    "LargestPixelValueInSeries": 0x00280109,
    "SmallestImagePixelValueInPlane": 0x00280110,
    "LargestImagePixelValueInPlane": 0x00280111,
    "HistogramSequence": 0x00603000,
}
SIGNATURES = {0x4FFE0001, 0xFFFAFFFA}
OFFSETS = {0x7FE00001, 0x7FE00002}
DROPPED = {*STATISTICS.values(), *SIGNATURES, *OFFSETS}


def write_derived(source: Slice, hu: NDArray[np.float32], algorithm: str) -> bytes:
    """The slice with `hu` as its pixels: new instance and series, the source referenced.

    Values that the stored type cannot hold are clipped to its range. Slices of a series are one series again.
    """
    big, signed = source.file.big, source.format.signed
    written = {tag: one for tag, one in source.file.elements.items() if _kept(tag, source.file.elements)}
    elements = _encoded(written, big, signed)
    instance = generate_uid()
    elements |= {tag: _element(tag, *new) for tag, new in _new(source, str(instance), algorithm).items()}
    size = source.format.allocated // 8
    elements[PIXEL_DATA] = _element(PIXEL_DATA, "OW" if size > 1 else "OB", _stored(source, hu).tobytes())
    return _meta(str(instance)) + b"".join(elements[tag] for tag in sorted(elements))


def _kept(tag: int, elements: Elements) -> bool:
    """Group lengths are no longer right, and overlays are gone with the bits that held them."""
    group = tag >> 16
    overlay = group & 0xFF01 == 0x6000 and (group << 16 | 0x3000) not in elements
    return bool(tag & 0xFFFF) and group > 2 and not overlay and tag not in DROPPED


def _new(source: Slice, instance: str, algorithm: str) -> dict[int, tuple[str, bytes]]:
    dataset = source.dataset
    series = str(dataset.get("SeriesInstanceUID") or "")
    origin = str(dataset.get("SOPInstanceUID") or "")
    kind = [word for word in words(dataset, "ImageType")[:MOST_WORDS] if len(word) <= LONGEST_WORD]
    primary = kind[1] if len(kind) > 1 and kind[1] in ("PRIMARY", "SECONDARY") else "PRIMARY"
    new = {
        0x00080008: ("CS", "\\".join(["DERIVED", primary, *(kind[2:] or ["AXIAL"])])),
        0x00080016: ("UI", str(CTImageStorage)),
        0x00080018: ("UI", instance),
        0x00082111: ("ST", f"Noise reduced by {algorithm}"),
        0x0020000E: ("UI", str(generate_uid(entropy_srcs=[series, algorithm]) if series else generate_uid())),
    }
    encoded = {tag: (vr, text.encode("latin-1")) for tag, (vr, text) in new.items()}
    if INSTANCE.fullmatch(origin):
        reference = _element(0x00081150, "UI", str(CTImageStorage).encode())
        reference += _element(0x00081155, "UI", origin.encode("latin-1"))
        encoded[0x00082112] = ("SQ", _item(reference))
    return encoded | _pixel_format(source)


def _pixel_format(source: Slice) -> dict[int, tuple[str, bytes]]:
    """What a reader wants to know of the pixels, also where the source left it to be guessed."""
    stored, signed = source.format.stored, source.format.signed
    numbers = {0x00280002: 1, 0x00280101: stored, 0x00280102: stored - 1, 0x00280103: int(signed)}
    told = {tag: ("US", struct.pack("<H", number)) for tag, number in numbers.items()}
    colours = str(source.dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    return told | {0x00280004: ("CS", colours.encode())}


def _stored(source: Slice, hu: NDArray[np.float32]) -> NDArray[Any]:
    bits, signed = source.format.stored, source.format.signed
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    dtype = np.dtype(f"<{'i' if signed else 'u'}{source.format.allocated // 8}")
    exact = (hu.astype(np.float64) - source.intercept) / source.slope  # float64 holds every bound of 32 bits
    stored: NDArray[Any] = np.clip(np.rint(exact), low, high).astype(dtype)
    return stored


def _meta(instance: str) -> bytes:
    elements = {
        0x00020001: ("OB", b"\0\1"),
        0x00020002: ("UI", str(CTImageStorage).encode()),
        0x00020003: ("UI", instance.encode()),
        0x00020010: ("UI", str(ExplicitVRLittleEndian).encode()),
        0x00020012: ("UI", str(PYDICOM_IMPLEMENTATION_UID).encode()),
    }
    group = b"".join(_element(tag, vr, value) for tag, (vr, value) in elements.items())
    return bytes(PREAMBLE) + MAGIC + _element(0x00020000, "UL", struct.pack("<I", len(group))) + group


def _encoded(elements: Elements, big: bool, signed: bool) -> dict[int, bytes]:
    """Elements of the source in the derived image's encoding."""
    return {
        tag: _in_little_endian(tag, one, _representation(tag, one, elements, signed), big, signed)
        for tag, one in elements.items()
    }


def _in_little_endian(tag: int, element: Element, vr: str, big: bool, signed: bool) -> bytes:
    if element.items is not None:
        items = (_items_elements(item, big, signed) for item in element.items)
        return _element(tag, "SQ", b"".join(map(_item, items)))
    value = element.value
    if big and BINARY.get(vr, 1) > 1:
        value = np.frombuffer(value, f">u{BINARY[vr]}").astype(f"<u{BINARY[vr]}").tobytes()
    return _element(tag, vr, value)


def _items_elements(item: Elements, big: bool, signed: bool) -> bytes:
    encoded = _encoded({tag: one for tag, one in item.items() if tag & 0xFFFF}, big, signed)
    return b"".join(encoded[tag] for tag in sorted(encoded))


def _representation(tag: int, element: Element, around: Elements, signed: bool) -> str:
    """The element's own or the dictionary's; OB for bytes that do not fit it, UN where nobody knows it.

    A reader looks UN up again, and stumbles over what does not fit.
    """
    vr = CHOSEN.get(element.vr, element.vr)
    if vr == "US or SS":
        vr = "SS" if signed else "US"
    if vr != "UN" and vr in LONG | SHORT:
        return vr if _fits(vr, element.value) else "OB"
    known = vr_of(tag) or _private(tag, around)
    return "UN" if not known or _fits(known, element.value) else "OB"


def _private(tag: int, around: Elements) -> str:
    """What pydicom's dictionary of private elements says, by the creator's name beside the element."""
    creator = around.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
    if not tag >> 16 & 1 or creator is None:
        return ""
    try:
        return private_dictionary_VR(tag, creator.value.decode("latin-1").strip(" \0"))
    except KeyError:
        return ""


def _fits(vr: str, value: bytes) -> bool:
    if (vr in SHORT and len(value) > LONGEST) or len(value) % BINARY.get(vr, 1):
        return False
    if vr not in ASCII:
        return True
    if vr not in ("DS", "IS"):
        return value.isascii()
    try:
        numbers = [float(one or b"0") for one in value.strip(b" \0").split(b"\\")]
    except ValueError:
        return False
    return vr == "DS" or all(number.is_integer() for number in numbers)


def _element(tag: int, vr: str, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def _item(elements: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(elements)) + elements
