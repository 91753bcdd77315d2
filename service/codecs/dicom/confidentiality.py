"""Elements without what tells of a patient, by DICOM's basic profile of confidentiality (PS3.15 annex E)."""

import re
import secrets

from pydicom.uid import generate_uid

from service.codecs.dicom.basic_profile import EMPTIED, REMOVED, REPLACED
from service.codecs.dicom.elements import Element, Elements, vr_of

DUMMIES = {"DA": b"19000101", "TM": b"000000", "DT": b"19000101000000", "AS": b"000Y"}
DUMMY = b"REMOVED"
OF_DICOM = re.compile(rb"1\.2\.840\.10008\.[0-9.]+")

# What says that it was done, and that dates are gone.
MARKS: Elements = {
    0x00120062: Element("CS", b"YES"),
    0x00120063: Element("LO", b"DICOM PS3.15 Basic Application Confidentiality Profile"),
    0x00120064: Element(
        "SQ",
        b"",
        [
            {
                0x00080100: Element("SH", b"113100"),
                0x00080102: Element("SH", b"DCM"),
                0x00080104: Element("LO", b"Basic Application Confidentiality Profile"),
            }
        ],
    ),
    0x00280303: Element("CS", b"REMOVED"),
}


class Pseudonyms:
    """Replaces UIDs, the same by the same, and nobody can tell from one what it replaces."""

    def __init__(self) -> None:
        self._secret = secrets.token_hex()

    def uid(self, original: str) -> str:
        return str(generate_uid(entropy_srcs=[self._secret, original.strip(" \0")]))


def deidentified(elements: Elements, pseudonyms: Pseudonyms) -> Elements:
    """Elements in Explicit VR Little Endian, sequences included, as the profile leaves them, and marked as such."""
    return _left(elements, pseudonyms) | MARKS


def _left(elements: Elements, pseudonyms: Pseudonyms) -> Elements:
    return {tag: _treated(tag, one, pseudonyms) for tag, one in elements.items() if not _removed(tag, one)}


def _removed(tag: int, element: Element) -> bool:
    """Also what nobody knows, for it may say anything."""
    group = tag >> 16
    overlay = group & 0xFF01 == 0x6000
    graphic = group & 0xFF01 == 0x5000 or (overlay and tag & 0xFFFF in (0x3000, 0x4000))
    known = vr_of(tag) or ("US" if overlay else "")
    strange = not known or element.vr == "UN" or (element.vr == "OB" and "OB" not in known)
    return tag in REMOVED or group & 1 == 1 or graphic or strange


def _treated(tag: int, element: Element, pseudonyms: Pseudonyms) -> Element:
    if tag in REPLACED:
        return Element(element.vr, DUMMIES.get(element.vr, DUMMY))
    if tag in EMPTIED or element.vr == "PN":
        return Element(element.vr, b"", None if element.items is None else [])
    if element.items is not None:
        return element._replace(items=[_left(item, pseudonyms) for item in element.items])
    if element.vr == "UI":
        return Element("UI", b"\\".join(_pseudonym(one, pseudonyms) for one in element.value.split(b"\\")))
    return element


def _pseudonym(uid: bytes, pseudonyms: Pseudonyms) -> bytes:
    plain = uid.strip(b" \0")
    return plain if not plain or OF_DICOM.fullmatch(plain) else pseudonyms.uid(plain.decode("latin-1")).encode()
