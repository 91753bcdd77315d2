"""What an enhanced multi-frame object says of each of its frames: PS3.3 C.7.6.16."""

from service.codecs.dicom.elements import Element, Elements
from service.errors import InvalidValue

SHARED, PER_FRAME = 0x52009229, 0x52009230
FRAME_TYPE = 0x00189329
# Sequences of one item each that say what makes a frame a slice.
MEASURES, ORIENTATION, TRANSFORMATION = 0x00289110, 0x00209116, 0x00289145
DERIVATION = 0x00089124
TYPE = 0x00089007
KINDS = {TYPE: 0x00080008}  # FrameType, which is to a frame what ImageType is to an image
WANTED = MEASURES, ORIENTATION, TRANSFORMATION, FRAME_TYPE


def frame_elements(elements: Elements, frames: int, field: str | None) -> list[Elements]:
    """For each frame the elements of its groups, its own before those that all share. Raises InvalidValue."""
    own = _items(elements, PER_FRAME) or [{}] * frames
    if len(own) != frames:
        raise InvalidValue("NumberOfFrames differs from the items of PerFrameFunctionalGroupsSequence.", field)
    shared = _flat((_items(elements, SHARED) or [{}])[0])
    return [shared | _flat(one) for one in own]


def _flat(groups: Elements) -> Elements:
    found: Elements = {}
    for sequence in WANTED:
        for item in _items(groups, sequence)[:1]:
            found |= {KINDS.get(tag, tag): one for tag, one in item.items()}
    return found


def _items(elements: Elements, tag: int) -> list[Elements]:
    sequence = elements.get(tag, Element("", b""))
    return sequence.items or []


def derived_groups(elements: Elements, provenance: Elements) -> Elements:
    """The groups of a derived object: every frame derived, and shared by all what from and by what."""
    derivation = {DERIVATION: Element("SQ", b"", [provenance])}
    shared = [_derived(item) | derivation for item in _items(elements, SHARED) or [{}]]
    own = [_derived(item) for item in _items(elements, PER_FRAME)]
    return {SHARED: Element("SQ", b"", shared), PER_FRAME: Element("SQ", b"", own)}


def _derived(groups: Elements) -> Elements:
    kinds = [item | {TYPE: _derived_type(item)} for item in _items(groups, FRAME_TYPE)]
    kept = {tag: one for tag, one in groups.items() if tag != DERIVATION}
    return kept | ({FRAME_TYPE: Element("SQ", b"", kinds)} if kinds else {})


def _derived_type(item: Elements) -> Element:
    _, *words = item.get(TYPE, Element("CS", b"")).value.strip(b" \0").split(b"\\")
    return Element("CS", b"\\".join([b"DERIVED", *(words or [b"PRIMARY"])]))
