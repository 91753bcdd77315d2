"""`multipart/related` bodies of one kind of files, as DICOMweb sends and takes them: PS3.18 section 8.7.3, RFC 2387."""

import secrets
from collections.abc import Iterator

from service.errors import InvalidValue, MalformedBody, UnsupportedMedia
from service.messages import RELATED, Answer, Request, parse_media_type

MAX_PARTS = 1024
MAX_HEAD = 4096  # bytes of a part's headers
LONGEST_BOUNDARY = 200  # characters; RFC 2046 has 70
PLAIN = (b"", b"binary", b"8bit", b"7bit")


def read_related(request: Request, media_type: str) -> list[bytes]:
    """The parts in order. Raises MalformedBody, InvalidValue, UnsupportedMedia for parts of another type."""
    boundary, kind = (request.media_parameters.get(name) for name in ("boundary", "type"))
    if not isinstance(boundary, str) or not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise MalformedBody("multipart/related needs a boundary.", "content-type")
    if isinstance(kind, str) and parse_media_type(kind.encode("latin-1", "replace"))[0] != media_type:
        raise UnsupportedMedia(f"Send parts of the type {media_type}.", "content-type")
    parts = list(_parts(request.body, b"--" + boundary.encode("latin-1", "replace")))
    if not parts:
        raise InvalidValue("The body has no parts.")
    return [_content(part, media_type, f"parts[{i}]") for i, part in enumerate(parts)]


class Related:
    """A body of files of one kind that is written part by part; what an answer says in headers, its part says."""

    def __init__(self, kind: str) -> None:
        self._boundary = secrets.token_hex(16).encode()  # that no file holds
        self.media_type = f'{RELATED}; type="{kind}"; boundary={self._boundary.decode()}'

    def piece(self, file: Answer) -> bytes:
        headers = b"".join(
            b"%s: %s\r\n" % pair for pair in ((b"Content-Type", file.media_type.encode()), *file.headers)
        )
        return b"".join((b"--", self._boundary, b"\r\n", headers, b"\r\n", file.body, b"\r\n"))

    def end(self) -> bytes:
        return b"--%s--\r\n" % self._boundary


def write_related(files: list[bytes], kind: str) -> tuple[bytes, str]:
    """A body that holds the files, and its media type."""
    related = Related(kind)
    return b"".join([*(related.piece(Answer(file, kind)) for file in files), related.end()]), related.media_type


def _parts(body: bytes, delimiter: bytes) -> Iterator[bytes]:
    """Between the delimiters, each of which begins a line; what stands before the first says nothing."""
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if at == 1:
        raise MalformedBody("The multipart body has no boundary that its media type names.")
    for _ in range(MAX_PARTS + 1):
        start = at + len(delimiter)
        if body.startswith(b"--", start):
            return
        line, end = body.find(b"\r\n", start, start + MAX_HEAD), body.find(b"\r\n" + delimiter, start)
        if line < 0 or end < 0 or body[start:line].strip(b" \t"):
            raise MalformedBody("The multipart body is damaged, or ends before its last boundary.")
        yield body[line + 2 : end] if end > line else b""
        at = end + 2
    raise InvalidValue(f"More than {MAX_PARTS} parts.")


def _content(part: bytes, media_type: str, field: str) -> bytes:
    """Without its headers, of which there may be none."""
    end = 0 if part.startswith(b"\r\n") else part.find(b"\r\n\r\n", 0, MAX_HEAD) + 2
    if end == 1:
        raise MalformedBody("The part has no headers, or no empty line behind them.", field)
    headers = dict(_header(line) for line in part[:end].split(b"\r\n"))
    kind = parse_media_type(headers.get(b"content-type", b""))[0]
    if kind not in ("", media_type, "application/octet-stream"):
        raise UnsupportedMedia(f"Send parts of the type {media_type}.", field)
    if headers.get(b"content-transfer-encoding", b"").lower() not in PLAIN:
        raise UnsupportedMedia("Send parts in binary, not in another transfer encoding.", field)
    return part[end + 2 :]


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()
