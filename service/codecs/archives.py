"""Zip archives of files, within bounds. Names in them may tell of a patient, and are never told."""

import io
import zipfile

from service.errors import BodyTooLarge, InvalidValue, MalformedBody, UnsupportedMedia
from service.limits import Limits
from service.messages import ZIP, Answer

MAX_FILES = 1024
DIRECTORY = 1024 * 256  # bytes of the list of files: so many of each, with a long name
END, LOCATOR = b"PK\5\6", b"PK\6\7"
END_SIZE, LONGEST_COMMENT = 22, 2**16
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
ASIDE = "__MACOSX", "DICOMDIR", "Thumbs.db", "desktop.ini"  # what systems leave beside the files themselves


def read_archive(body: bytes, limits: Limits, most: int) -> list[bytes]:
    """The files in the order of the archive, without folders and what systems put beside them; `most` bytes together.

    Raises MalformedBody, InvalidValue, UnsupportedMedia, BodyTooLarge.
    """
    _check_directory(body)
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = [one for one in archive.infolist() if not one.is_dir() and not _is_aside(one.filename)]
            _check(entries, most)
            limits.claim(sum(one.file_size for one in entries), "zip")
            return [_content(archive, one, limits, f"zip[{i}]") for i, one in enumerate(entries)]
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
        raise MalformedBody("Not a zip archive, or a damaged one.") from None


class Archive:
    """An archive that is written file by file, stored as they are and named by their number."""

    media_type = ZIP

    def __init__(self, ending: str) -> None:
        self._ending, self._count = ending, 0
        self._written = _Written()
        self._archive = zipfile.ZipFile(self._written, "w")

    def piece(self, file: Answer) -> bytes:
        self._count += 1
        self._archive.writestr(zipfile.ZipInfo(f"{self._count:04}.{self._ending}"), file.body)
        return self._written.taken()

    def end(self) -> bytes:
        self._archive.close()
        return self._written.taken()


class _Written(io.BytesIO):
    """A file whose beginning is gone already: places in it count on."""

    gone = 0

    def tell(self) -> int:
        return self.gone + super().tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self.gone + super().seek(offset - (0 if whence else self.gone), whence)

    def taken(self) -> bytes:
        data = self.getvalue()
        self.gone += len(data)
        super().seek(0)
        self.truncate()
        return data


def write_archive(files: list[bytes], ending: str) -> bytes:
    archive = Archive(ending)
    return b"".join([*(archive.piece(Answer(file)) for file in files), archive.end()])


def _check_directory(body: bytes) -> None:
    """The list of files is short: reading a long one would take seconds."""
    at = body.rfind(END, max(0, len(body) - END_SIZE - LONGEST_COMMENT))
    if at < 0 or at + END_SIZE > len(body):
        raise MalformedBody("Not a zip archive, or a damaged one.")
    if body[at - 20 : at - 16] == LOCATOR:
        raise UnsupportedMedia("Send a zip archive without the ZIP64 extension, which only large ones need.")
    if int.from_bytes(body[at + 12 : at + 16], "little") > DIRECTORY:
        raise InvalidValue(f"The archive holds more than {MAX_FILES} files.", "zip")


def _check(entries: list[zipfile.ZipInfo], most: int) -> None:
    if not entries:
        raise InvalidValue("The archive has no files.", "zip")
    if len(entries) > MAX_FILES:
        raise InvalidValue(f"The archive holds more than {MAX_FILES} files.", "zip")
    if sum(one.file_size for one in entries) > most:
        raise BodyTooLarge(f"The files in the archive have more than {most} bytes together.", "zip")
    for i, one in enumerate(entries):
        if one.compress_type not in METHODS or one.flag_bits & ENCRYPTED:
            raise UnsupportedMedia("Send files in an archive stored or deflated, and not encrypted.", f"zip[{i}]")


def _is_aside(name: str) -> bool:
    parts = name.split("/")
    return parts[-1].startswith(".") or any(part in ASIDE for part in (parts[0], parts[-1]))


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: Limits, field: str) -> bytes:
    """Not a byte more is inflated than the archive says; what is longer fails by its checksum."""
    limits.check_time()
    try:
        return archive.read(entry)
    except Exception:  # zlib's and struct's own errors, among others
        raise MalformedBody("A file in the archive is damaged.", field) from None
