"""Encapsulated pixel data: which fragments are a frame. PS3.5 A.4."""

import struct
from collections.abc import Iterator

from service.codecs.dicom.elements import EXTENDED_OFFSETS, Elements
from service.errors import MalformedBody


def split(elements: Elements, value: bytes, frames: int, field: str | None) -> Iterator[bytes]:
    """The stream of each frame. Raises MalformedBody where nothing says where one begins."""
    table, *fragments = [*_fragments(value)] or [(0, 0)]
    if frames == 1:
        starts = [0]
    elif len(fragments) == frames:
        starts = list(range(frames))
    else:
        by_offset = {start - fragments[0][0]: i for i, (start, _) in enumerate(fragments)}
        starts = [by_offset.get(offset, -1) for offset in _offsets(elements, value[slice(*table)])]
    if not fragments or len(starts) != frames or starts != sorted(set(starts)) or starts[0] != 0:
        raise MalformedBody("The compressed pixel data do not say where each frame begins.", field)
    for first, end in zip(starts, [*starts[1:], len(fragments)], strict=True):
        yield b"".join(value[start:stop] for start, stop in fragments[first:end])


def _fragments(value: bytes) -> Iterator[tuple[int, int]]:
    """From where to where each of them goes, the table of offsets before those of pixels."""
    at = 0
    while at + 8 <= len(value):
        end = at + 8 + int.from_bytes(value[at + 4 : at + 8], "little")
        yield at + 8, end
        at = end


def _offsets(elements: Elements, table: bytes) -> list[int]:
    """Where each frame begins, from the first fragment on."""
    form = "<Q" if EXTENDED_OFFSETS in elements else "<I"
    values = elements[EXTENDED_OFFSETS].value if EXTENDED_OFFSETS in elements else table
    try:
        return [offset for (offset,) in struct.iter_unpack(form, values)]
    except struct.error:
        return []
