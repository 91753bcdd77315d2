"""DICOM files that hold more than they say, or more than they need."""

import io
import random
import struct
import zipfile
import zlib
from functools import lru_cache

from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import UID, EnhancedCTImageStorage

from load_tests.bodies import DICOM, NPY, PNG, slice_dicom
from load_tests.hostile.bombs.parcel import amount, parcel
from load_tests.hostile.seeds import DENOISE, FORM, form
from load_tests.hostile.shot import Shot
from service.codecs.related import write_related
from service.messages import RELATED, ZIP

SIDES = (0, 1, 64, 128, 512, 1024, 2048, 11_000, 65_535)
J2K_SIDES = (128, 1000, 4000)
RLE, J2K, J2K_LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.90"
EXPLICIT, IMPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in (".1", "", ".2", ".1.99"))
JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LS, HTJ2K = (f"1.2.840.10008.1.2.4.{end}" for end in ("50", "70", "80", "201"))
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"


def _sent(chance: random.Random, file: bytes) -> Shot:
    accept = chance.choice((DICOM, PNG, NPY))
    if chance.random() < 0.2:
        times = min(amount(chance, 64), 2**22 // len(file) + 1)
        return parcel(chance, DENOISE, form("dicom", *[file] * times), FORM, accept=NPY)
    return parcel(chance, DENOISE, file, DICOM, accept=accept)


def _written(frame: bytes, syntax: str, **elements: object) -> bytes:
    """The real slice with other pixel data, encapsulated."""
    dataset = dcmread(io.BytesIO(slice_dicom().content))
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    for name, value in elements.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()


def codestreams(chance: random.Random) -> Shot:
    """A codestream, sound or by its header alone, of another size than the data set says."""
    stream = bytearray(_j2k(chance.choice(J2K_SIDES), chance.random() < 0.5))
    rows, columns = chance.choice(SIDES[:6]), chance.choice(SIDES[:6])
    if chance.random() < 0.5:
        at = stream.index(b"\xff\x51") + 6
        width, height = chance.choice(SIDES) or 2**31, chance.choice(SIDES) or 2**31
        stream[at : at + 8] = struct.pack(">II", width, height)
        if chance.random() < 0.5:
            stream[at + 16 : at + 24] = struct.pack(">II", width, height)  # of one tile
    syntax = chance.choice((J2K, J2K_LOSSLESS, HTJ2K, JPEG_BASELINE, JPEG_LS))
    return _sent(chance, _written(bytes(stream), syntax, Rows=rows, Columns=columns))


@lru_cache(maxsize=8)
def _j2k(side: int, reversible: bool) -> bytes:
    buffer = io.BytesIO()
    Image.new("I;16", (side, side)).save(buffer, "JPEG2000", no_jp2=True, irreversible=not reversible)
    return buffer.getvalue()


def jpegs(chance: random.Random) -> Shot:
    """A JPEG of any size in a slice of any size."""
    buffer = io.BytesIO()
    side = chance.choice((16, 600, 3000))
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=chance.random() < 0.5)
    stream = bytearray(buffer.getvalue())
    frame = next(stream.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in stream)
    if chance.random() < 0.5:
        stream[frame + 5 : frame + 9] = struct.pack(">HH", chance.choice(SIDES), chance.choice(SIDES))
    if chance.random() < 0.5:
        stream[frame + 1] = chance.choice((0xC1, 0xC3, 0xF7))  # extended, lossless, LS
    syntax = chance.choice((JPEG_BASELINE, JPEG_LOSSLESS, JPEG_LS))
    return _sent(chance, _written(bytes(stream), syntax, BitsAllocated=8, BitsStored=8, HighBit=7))


def runs(chance: random.Random) -> Shot:
    """Run lengths that come to far more than the pixels there are."""
    run = chance.choice((b"\x81\x00", b"\x81\x00", b"\x80", b"\x00\x00"))
    segment = run * amount(chance, 2**20)
    count = chance.choice((2, 2, 2, 1, 15))
    offsets = [64 + (len(segment) if chance.random() < 0.5 else 0) * i for i in range(count)]
    header = struct.pack("<16I", count, *offsets, *[0] * (15 - count))
    rows, columns = chance.choice(SIDES[2:5]), chance.choice(SIDES[2:5])
    body = header + segment * (count if offsets[-1] > 64 else 1)
    return _sent(chance, _written(body, RLE, Rows=rows, Columns=columns))


def items(chance: random.Random) -> Shot:
    """Empty items, elements and sequences within sequences, in hundreds of thousands."""
    most = amount(chance, 800_000)
    one = struct.pack("<HH2sH", 0x0099, 0x1001, b"LO", 0)
    content = {
        "items": lambda: _sequence((ITEM + bytes(4)) * most),
        "open items": lambda: _sequence((ITEM + b"\xff" * 4 + b"\xfe\xff\x0d\xe0\0\0\0\0") * (most // 2)),
        "elements": lambda: b"".join(struct.pack("<HH2sH", 0x7001, i, b"LO", 0) for i in range(min(most, 2**16))),
        "one element": lambda: one * most,
        "in items": lambda: _sequence(ITEM + struct.pack("<I", 8 * most) + one * most),
        "levels": lambda: _levels(min(most, 20_000)),
    }
    return _sent(chance, _inserted(content[chance.choice(list(content))]()))


def _sequence(content: bytes) -> bytes:
    """A private sequence of undefined length."""
    return struct.pack("<HH2sHI", 0x7001, 0x1001, b"SQ", 0, 0xFFFFFFFF) + content + DELIMITER


def _levels(depth: int) -> bytes:
    opened = struct.pack("<HH2sHI", 0x7001, 0x1001, b"SQ", 0, 0xFFFFFFFF) + ITEM + b"\xff" * 4
    return opened * depth + (b"\xfe\xff\x0d\xe0\0\0\0\0" + DELIMITER) * depth


def _inserted(elements: bytes) -> bytes:
    """The real slice with more elements before its pixels."""
    whole = slice_dicom().content
    at = whole.index(b"\xe0\x7f\x10\x00")
    return whole[:at] + elements + whole[at:]


def values(chance: random.Random) -> Shot:
    """One element of very many values, or of a very long one."""
    name, unit = chance.choice(
        (
            ("WindowCenter", b"40\\"),
            ("RescaleSlope", b"1"),
            ("RescaleIntercept", b"-1024\\"),
            ("ImageType", b"A\\"),
            ("PatientName", b"A^"),
            ("SOPInstanceUID", b"1."),
            ("NumberOfFrames", b"1"),
            ("PixelSpacing", b"0.5\\"),
        )
    )
    tags = {
        "WindowCenter": (0x28, 0x1050, b"DS"),
        "RescaleSlope": (0x28, 0x1053, b"DS"),
        "PixelSpacing": (0x28, 0x30, b"DS"),
    }
    tags |= {"RescaleIntercept": (0x28, 0x1052, b"DS"), "ImageType": (8, 8, b"CS"), "PatientName": (0x10, 0x10, b"PN")}
    tags |= {"SOPInstanceUID": (8, 0x18, b"UI"), "NumberOfFrames": (0x28, 8, b"IS")}
    group, element, kind = tags[name]
    value = unit * amount(chance, 2**20)
    kind = chance.choice((kind, b"UT"))  # the only one whose length has four bytes
    size = struct.pack("<HI", 0, len(value)) if kind == b"UT" else struct.pack("<H", len(value) % 2**16)
    value = value if kind == b"UT" else value[: len(value) % 2**16]
    return _sent(chance, _inserted(struct.pack("<HH2s", group, element, kind) + size + value))


def frames(chance: random.Random) -> Shot:
    """Pixels of few bits, many frames or huge sides, whatever the data there is."""
    dataset = dcmread(io.BytesIO(slice_dicom().content))
    dataset.BitsAllocated = bits = chance.choice((1, 8, 16, 32, 64))
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.Rows, dataset.Columns = (chance.choice(SIDES) for _ in range(2))
    if chance.random() < 0.6:
        dataset.NumberOfFrames = chance.choice((1, 2, 1000, 2**31 - 1))
    if chance.random() < 0.3:
        dataset.SamplesPerPixel = chance.choice((0, 1, 3, 65_535))
    dataset.PixelData = bytes(2 * amount(chance, 2**22))
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False)
    return _sent(chance, buffer.getvalue())


def deflated(chance: random.Random) -> Shot:
    """A data set that inflates to a thousand times what was sent."""
    whole = slice_dicom().content
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    meta = whole[:start].replace(EXPLICIT.encode() + b"\0", DEFLATED.encode()[: len(EXPLICIT) + 1], 1)
    padding = struct.pack("<HH2sHI", 0x7001, 0x1001, b"OB", 0, 2 * amount(chance, 2**27))
    body = whole[start:-4] + padding + bytes(struct.unpack("<I", padding[-4:])[0])
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    file = _meta_of(DEFLATED) if chance.random() < 0.8 else meta
    return _sent(chance, file + packer.compress(body) + packer.flush())


def _meta_of(syntax: str) -> bytes:
    uid = syntax.encode() + bytes(len(syntax) % 2)
    element = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(element)) + element


def fragments(chance: random.Random) -> Shot:
    """Encapsulated pixels in very many pieces, or with a table of very many offsets."""
    dataset = _written(b"\xff\x4f\xff\x51", chance.choice((J2K, RLE, JPEG_LS)))
    at = dataset.index(b"\xe0\x7f\x10\x00") + 12
    most = amount(chance, 400_000)
    table = ITEM + struct.pack("<I", 4 * most) + bytes(4 * most) if chance.random() < 0.5 else ITEM + bytes(4)
    pieces = (ITEM + b"\x02\0\0\0\xff\x4f") * most
    return _sent(chance, dataset[:at] + table + pieces + DELIMITER)


def archives(chance: random.Random) -> Shot:
    """Zip archives of files that inflate a thousandfold, of very many files, and of others than slices."""
    buffer, file = io.BytesIO(), chance.choice((slice_dicom().content, b"", bytes(2**22)))
    with zipfile.ZipFile(buffer, "w", chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for number in range(min(amount(chance, 20_000), 2**23 // (len(file) + 100) + 1)):
            archive.writestr(zipfile.ZipInfo(f"{number}.dcm"), file, compress_type=archive.compression)
    return parcel(chance, DENOISE, buffer.getvalue(), ZIP, accept=chance.choice((ZIP, RELATED, NPY)))


def related(chance: random.Random) -> Shot:
    """Parts of `multipart/related` by the thousand, and near misses of their boundary."""
    file = chance.choice((slice_dicom().content, b"x", b"\r\n--edg" * amount(chance, 2**17)))
    body, media = write_related([file] * min(amount(chance, 4000), 2**22 // (len(file) + 100) + 1), DICOM)
    kind, _, boundary = media.rpartition("=")
    body = body.replace(boundary.encode(), b"edge")  # the same for the same chance
    return parcel(chance, DENOISE, body, f"{kind}=edge", accept=chance.choice((ZIP, RELATED, NPY)))


def enhanced(chance: random.Random) -> Shot:
    """A multi-frame object of more frames than there are pixels or groups, or of very many groups."""
    dataset = dcmread(io.BytesIO(slice_dicom().content))
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = count = amount(chance, 100_000)
    group, item = Dataset(), Dataset()
    item.RescaleSlope, item.RescaleIntercept = 1, -1024
    group.PixelValueTransformationSequence = [item]
    dataset.SharedFunctionalGroupsSequence = [group] * chance.choice((0, 1, 100))
    dataset.PerFrameFunctionalGroupsSequence = [group] * min(chance.choice((0, count, amount(chance, 5000))), 5000)
    dataset.Rows = dataset.Columns = chance.choice(SIDES[1:4])
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=False)
    return _sent(chance, buffer.getvalue())


BOMBS = (archives, related, enhanced, codestreams, jpegs, runs, items, values, frames, deflated, fragments)
