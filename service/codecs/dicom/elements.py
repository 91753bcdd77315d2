"""The elements of a DICOM file (PS3.5 section 7, PS3.10), parsed within bounds and kept byte for byte.

Values are left as they came, so that what is not understood, or in the wrong character set, can be written again.
"""

import struct
import zlib
from typing import NamedTuple

from pydicom.datadict import dictionary_VR
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from service.errors import BodyTooLarge, InvalidValue, MalformedBody
from service.limits import Limits

MAX_ELEMENTS = 10_000  # items, and fragments of pixel data, included; a slice has some hundreds
PER_FRAME = 128  # more for each frame that there may be
ELEMENT = 256  # bytes of memory, beside its value
MAX_DEPTH = 16  # of sequences in sequences
MAX_INFLATED = 64 * 2**20  # bytes
INFLATED, BESIDE = 4, 2**20  # bytes that a deflated data set may hold for each pixel of the limit, and beside them

LONG = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))  # 4 bytes of length
SHORT = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
META_UID, PIXEL_DATA = 0x00020010, 0x7FE00010
EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
NUMBER_OF_FRAMES = 0x00280008
PREAMBLE, MAGIC = 128, b"DICM"
NO_FILE = "Not a DICOM file, or a damaged one."

Elements = dict[int, "Element"]


class Element(NamedTuple):
    """`vr` is empty where nothing tells it; a sequence has `items` and no value, pixel data may be in `fragments`."""

    vr: str
    value: bytes
    items: list[Elements] | None = None
    fragments: bool = False


class File(NamedTuple):
    """A data set, without the group that speaks of the file, and how it is encoded; `inflated` bytes were deflated."""

    elements: Elements
    syntax: str
    big: bool
    inflated: int = 0


def parse(data: bytes, limits: Limits, field: str | None) -> File:
    """Raises MalformedBody, BodyTooLarge, InvalidValue."""
    try:
        syntax, start = _meta(data)
        inflated = 0
        if syntax == DeflatedExplicitVRLittleEndian:
            data, start, syntax = _inflated(data[start:], limits, field), 0, ExplicitVRLittleEndian
            inflated = len(data)
        explicit = _is_explicit(data, start)
        big = syntax == ExplicitVRBigEndian or (not syntax and _looks_big(data, start))
        elements, _ = _Parser(data, explicit, big, field, limits).elements(start, len(data))
    except (struct.error, zlib.error, IndexError, UnicodeDecodeError):
        raise MalformedBody(NO_FILE, field) from None
    if not elements:
        raise MalformedBody(NO_FILE, field)
    native = ExplicitVRBigEndian if big else ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian
    encapsulated = PIXEL_DATA in elements and elements[PIXEL_DATA].fragments
    return File(elements, syntax if encapsulated and syntax else native, big, inflated)


def _meta(data: bytes) -> tuple[str, int]:
    """The transfer syntax that the file names, if it does, and where its data set begins."""
    start = PREAMBLE + len(MAGIC) if data[PREAMBLE : PREAMBLE + len(MAGIC)] == MAGIC else 0
    if data[start : start + 2] != b"\x02\x00":
        if start == 0 and not _plausible(data):
            raise struct.error
        return "", start
    end, parser = start, _Parser(data, _is_explicit(data, start), False, None, None)
    while data[end : end + 2] == b"\x02\x00":  # the first other group begins the data set
        end = parser.skip(end)
    meta, _ = _Parser(data, _is_explicit(data, start), False, None, None).elements(start, end)
    uid = meta[META_UID].value if META_UID in meta else b""
    return uid.decode("latin-1").strip("\0 "), end


def _plausible(data: bytes) -> bool:
    """Whether a data set may begin here, with no preamble before it: by a group that comes first in one."""
    return len(data) > 16 and data[:2] in (b"\x08\x00", b"\x00\x08") and data[2:4] != b"\0\x08"


def _is_explicit(data: bytes, at: int) -> bool:
    return data[at + 4 : at + 6].decode("latin-1") in LONG | SHORT


def _looks_big(data: bytes, at: int) -> bool:
    return data[at] == 0 and data[at + 1] != 0


def _inflated(deflated: bytes, limits: Limits, field: str | None) -> bytes:
    most = min(MAX_INFLATED, INFLATED * limits.max_pixels + BESIDE)
    # Deflate makes 1032 bytes of one at most, and elements are copies.
    limits.claim(2 * min(most, 1032 * len(deflated)), field)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(deflated, most)
    if inflater.unconsumed_tail:
        raise BodyTooLarge(f"The deflated data set holds more than {most} bytes.", field)
    return data


class _Left:
    """How many more elements a file may hold, wherever they are."""

    def __init__(self) -> None:
        self._elements = self._most = MAX_ELEMENTS

    def expect(self, text: bytes, limits: Limits, field: str | None) -> None:
        """Each frame has groups of its own, and the data set says before them how many there are."""
        try:
            more = PER_FRAME * min(int(text.strip(b" \0")), limits.max_rows)
        except ValueError:
            return  # refused once it is asked for
        if more > PER_FRAME and self._most == MAX_ELEMENTS:
            limits.claim(more * ELEMENT, field)
            self._elements += more
            self._most += more

    def count(self, field: str | None) -> None:
        self._elements -= 1
        if self._elements < 0:
            raise InvalidValue(f"The DICOM file holds more than {self._most} elements and items.", field)


class _Parser:
    """Of a data set; without limits it has no frames."""

    def __init__(self, data: bytes, explicit: bool, big: bool, field: str | None, limits: Limits | None) -> None:
        order = ">" if big else "<"
        self.data, self.explicit, self.big, self.field, self.limits = data, explicit, big, field, limits
        self._tag, self._short, self._long = (struct.Struct(order + form) for form in ("HH", "H", "I"))
        self._left = _Left()

    def elements(self, at: int, end: int, depth: int = 0) -> tuple[Elements, int]:
        """Those up to `end`, or to the end of the item that they are in; and where that is."""
        found: Elements = {}
        while at + 8 <= end:
            tag = self.tag(at)
            if tag in (ITEM_END, SEQUENCE_END):
                return found, at + 8
            vr, start, length = self._head(at)
            found[tag], at = self._element(tag, vr, start, length, end, depth)
            if tag == NUMBER_OF_FRAMES and depth == 0 and self.limits is not None:
                self._left.expect(found[tag].value, self.limits, self.field)
        return found, end

    def skip(self, at: int) -> int:
        """Where the element after this one begins."""
        self._left.count(self.field)
        _, start, length = self._head(at)
        return start + length

    def tag(self, at: int) -> int:
        self._left.count(self.field)
        group, element = self._tag.unpack_from(self.data, at)
        return int(group) << 16 | int(element)

    def _head(self, at: int) -> tuple[str, int, int]:
        """Value representation, where the value begins, and its length."""
        vr = self.data[at + 4 : at + 6].decode("latin-1") if self.explicit else ""
        if vr in LONG:
            return vr, at + 12, self._long.unpack_from(self.data, at + 8)[0]
        if vr.isascii() and vr.isalpha() and vr.isupper():
            return vr, at + 8, self._short.unpack_from(self.data, at + 6)[0]
        return "", at + 8, self._long.unpack_from(self.data, at + 4)[0]

    def _element(self, tag: int, vr: str, start: int, length: int, end: int, depth: int) -> tuple[Element, int]:
        vr = vr or vr_of(tag)
        if length == UNDEFINED:
            if tag == PIXEL_DATA:
                return self._fragments(vr, start)
            inside = self if vr != "UN" or not self.explicit else self._implicit()
            items, after = inside.items(start, end, depth)
            return Element("SQ", b"", items), after
        after = start + length
        if after > end:
            raise MalformedBody("The DICOM file ends within an element.", self.field)
        if vr == "SQ":
            return Element(vr, b"", self.items(start, after, depth)[0]), after
        return Element(vr, self.data[start:after]), after

    def _implicit(self) -> "_Parser":
        """Of a sequence that somebody did not know: PS3.5 section 6.2.2, note 4."""
        parser = _Parser(self.data, False, False, self.field, None)
        parser._left = self._left
        return parser

    def items(self, at: int, end: int, depth: int) -> tuple[list[Elements], int]:
        if depth >= MAX_DEPTH:
            raise InvalidValue(f"The DICOM file holds more than {MAX_DEPTH} sequences in one another.", self.field)
        items: list[Elements] = []
        while at + 8 <= end:
            tag, length = self.tag(at), self._long.unpack_from(self.data, at + 4)[0]
            at += 8
            if tag == SEQUENCE_END:
                return items, at
            if tag != ITEM:
                raise MalformedBody("The DICOM file holds a damaged sequence.", self.field)
            stop = end if length == UNDEFINED else min(at + length, end)
            item, at = self.elements(at, stop, depth + 1)
            items.append(item)
        return items, end

    def _fragments(self, vr: str, start: int) -> tuple[Element, int]:
        at = start
        while (tag := self.tag(at)) != SEQUENCE_END:
            if tag != ITEM:
                raise MalformedBody("The pixel data are damaged.", self.field)
            at += 8 + self._long.unpack_from(self.data, at + 4)[0]
        return Element(vr, self.data[start:at], None, True), at + 8


def vr_of(tag: int) -> str:
    """The dictionary's; where it leaves a choice, all of it: `US or SS`. Empty for what it does not know."""
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else ""
    if not tag & 0xFFFF:
        return "UL"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""
