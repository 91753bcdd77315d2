"""Where a derived image comes from: what was done, by what, to which image."""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from service.codecs.dicom.confidentiality import Pseudonyms
from service.codecs.dicom.elements import Element, Elements
from service.codecs.dicom.images import Image

UID = re.compile(r"[0-9.]{1,64}")
LONGEST_TEXT = 1024  # characters of a ST
LONGEST_NAME = 64  # characters of a LO
CONTRIBUTIONS = 0x0018A001


class Derivation(NamedTuple):
    """What made the image: a model and its version, what it did in words, and the settings by which one series differs
    from another. With `pseudonyms` nothing tells of the patient.
    """

    model: str
    version: str
    description: str
    settings: str = ""
    pseudonyms: Pseudonyms | None = None


def provenance(source: Image, derivation: Derivation) -> Elements:
    """What was done, to which image."""
    found: Elements = {
        0x00082111: Element("ST", derivation.description[:LONGEST_TEXT].encode("ascii", "replace")),
        0x00089215: _code("113087", "Smoothing"),
    }
    if (reference := _reference(source, derivation)) is not None:
        reference |= {0x0040A170: _code("121322", "Source image for image processing operation")}
        found[0x00082112] = Element("SQ", b"", [reference])
    return found


def evidence(source: Image, derivation: Derivation) -> Elements:
    """Where the source of an enhanced object is found: its study and series, which its frames' references leave out."""
    reference = _reference(source, derivation)
    study, series = (_uid(source, name, derivation) for name in ("StudyInstanceUID", "SeriesInstanceUID"))
    if reference is None or not study or not series:
        return {}
    of_series: Elements = {0x0020000E: series, 0x00081199: Element("SQ", b"", [reference])}
    of_study: Elements = {0x0020000D: study, 0x00081115: Element("SQ", b"", [of_series])}
    return {0x00089154: Element("SQ", b"", [of_study])}


def _reference(source: Image, derivation: Derivation) -> Elements | None:
    instance = _uid(source, "SOPInstanceUID", derivation)
    return None if instance is None else {0x00081150: Element("UI", source.sop_class.encode()), 0x00081155: instance}


def _uid(source: Image, name: str, derivation: Derivation) -> Element | None:
    """The source's own, or what stands for it; None for what is none."""
    uid = str(source.dataset.get(name) or "")
    if not UID.fullmatch(uid):
        return None
    return Element("UI", (uid if derivation.pseudonyms is None else derivation.pseudonyms.uid(uid)).encode())


def contributions(elements: Elements, derivation: Derivation) -> Element:
    """Those that there were, and ours."""
    contribution: Elements = {
        0x00080070: Element("LO", b"Quartet"),
        0x00081090: Element("LO", derivation.model.encode("ascii", "replace")[:LONGEST_NAME]),
        0x0018A002: Element("DT", datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000").encode()),
        0x0018A003: Element("ST", derivation.description[:LONGEST_TEXT].encode("ascii", "replace")),
        0x00181020: Element("LO", derivation.version.encode("ascii", "replace")[:LONGEST_NAME]),
        0x0040A170: _code("109102", "Processing Equipment"),
    }
    before = elements.get(CONTRIBUTIONS, Element("SQ", b"")).items or []
    return Element("SQ", b"", [*before, contribution])


def _code(value: str, meaning: str) -> Element:
    """Of DICOM's own, PS3.16."""
    code: Elements = {
        0x00080100: Element("SH", value.encode()),
        0x00080102: Element("SH", b"DCM"),
        0x00080104: Element("LO", meaning.encode()),
    }
    return Element("SQ", b"", [code])
