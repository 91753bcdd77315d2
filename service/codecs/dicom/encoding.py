"""Elements in Explicit VR Little Endian, byte for byte as they came wherever that can be."""

import struct

import numpy as np
from pydicom.datadict import private_dictionary_VR
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian

from service.codecs.dicom.elements import LONG, MAGIC, PREAMBLE, SHORT, Element, Elements, vr_of

BINARY = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4}
BINARY |= dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)
ASCII = frozenset(["AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI"])  # no character set changes them
CHOSEN = {"OB or OW": "OW", "US or OW": "OW", "US or SS or OW": "OW"}
LONGEST = 0xFFFE  # bytes in a short representation


def little_endian(elements: Elements, big: bool, signed: bool) -> Elements:
    """Elements of a source with a representation each, and their numbers in this order; lengths of groups are left out.

    `signed`: what the source's pixels are, and with them the elements that are of the same kind.
    """
    return {
        tag: _little_endian(tag, one, _representation(tag, one, elements, signed), big, signed)
        for tag, one in elements.items()
        if tag & 0xFFFF
    }


def write_file(elements: Elements, sop_class: str, instance: str) -> bytes:
    meta: Elements = {
        0x00020001: Element("OB", b"\0\1"),
        0x00020002: Element("UI", sop_class.encode()),
        0x00020003: Element("UI", instance.encode()),
        0x00020010: Element("UI", str(ExplicitVRLittleEndian).encode()),
        0x00020012: Element("UI", str(PYDICOM_IMPLEMENTATION_UID).encode()),
    }
    group = _written(meta)
    length = _written({0x00020000: Element("UL", struct.pack("<I", len(group)))})
    return bytes(PREAMBLE) + MAGIC + length + group + _written(elements)


def _written(elements: Elements) -> bytes:
    return b"".join(_element(tag, elements[tag]) for tag in sorted(elements))


def _element(tag: int, element: Element) -> bytes:
    vr, value = element.vr, element.value
    if element.items is not None:
        vr, value = "SQ", b"".join(_item(_written(item)) for item in element.items)
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def _item(elements: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(elements)) + elements


def _little_endian(tag: int, element: Element, vr: str, big: bool, signed: bool) -> Element:
    if element.items is not None:
        return Element("SQ", b"", [little_endian(item, big, signed) for item in element.items])
    value = element.value
    if big and BINARY.get(vr, 1) > 1:
        value = np.frombuffer(value, f">u{BINARY[vr]}").astype(f"<u{BINARY[vr]}").tobytes()
    return Element(vr, value)


def _representation(tag: int, element: Element, around: Elements, signed: bool) -> str:
    """The element's own or the dictionary's; UN, which any bytes may be, where neither is known or they do not fit."""
    vr = element.vr if element.vr in LONG | SHORT and element.vr != "UN" else vr_of(tag) or _private(tag, around)
    vr = CHOSEN.get(vr, vr)
    if vr == "US or SS":
        vr = "SS" if signed else "US"
    return vr if vr and _fits(vr, element.value) else "UN"


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
