"""What a body is by its first bytes, where its sender does not say."""

import re

from service.codecs.cells import SEPARATORS
from service.messages import ARROW, CSV, DICOM, JSON, NPY, PARQUET, TEXT

# What programs say when they do not know. curl says the fourth of any body, browsers under Windows the last of CSV.
UNSAID = {
    "",
    "application/octet-stream",
    "binary/octet-stream",
    "application/x-www-form-urlencoded",
    "application/vnd.ms-excel",
}
BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\x93NUMPY", NPY),
    (b"PAR1", PARQUET),
    (b"\xff\xff\xff\xff", ARROW),
    (b"%PDF-", "application/pdf"),
    (b"PK\3\4", "application/zip"),
    (b"\2\0\0\0", DICOM),  # without its preamble: the first group of elements
    (b"\x08\0", DICOM),
)
BRANDS = {b"avif": "image/avif", b"avis": "image/avif"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"), "image/heic"
)
LOOKED_AT = 512  # bytes of a text
SEPARATOR = re.compile(b"[%s]" % SEPARATORS.encode())
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def recognise(body: bytes) -> str:
    """The media type; empty where nothing tells. A text whose first line has a separator is CSV."""
    if body[128:132] == b"DICM":  # before which there may be another file's beginning
        return DICOM
    for beginning, media in BEGINNINGS:
        if body.startswith(beginning):
            return media
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    if body[4:8] == b"ftyp":
        return BRANDS.get(body[8:12], "")
    start = body[:LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] in (b"{", b"["):
        return JSON
    if start[:1] == b"<":
        return "image/svg+xml" if b"<svg" in start else "text/html"
    if not start or CONTROL.search(start):
        return ""
    return CSV if SEPARATOR.search(start.splitlines()[0]) else TEXT
