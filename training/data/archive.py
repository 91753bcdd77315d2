"""Archives of the package clients - wheel, sdist, npm's tarball, .deb - read for a few members, never unpacked."""

import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

AR_MAGIC, AR_HEADER = b"!<arch>\n", 60


def read_members(path: Path, members: Iterable[str]) -> dict[str, bytes]:
    """The contents of `members` of a .zip, .whl, .tar.gz, .tgz or .deb. Raises KeyError for a member it lacks."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return {member: archive.read(member) for member in members}
    stream = io.BytesIO(_deb_data(path.read_bytes()) if path.suffix == ".deb" else path.read_bytes())
    with tarfile.open(fileobj=stream) as archive:
        return {member: _extract(archive, member) for member in members}


def files_below(path: Path, folders: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in these folders of a .tar.gz or .tgz, in its order, as they are asked for."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(folders):
                yield member.name, _extract(archive, member)


def _extract(archive: tarfile.TarFile, member: str | tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    if file is None:
        raise KeyError(f"{member} is no file")
    return file.read()


def _deb_data(deb: bytes) -> bytes:
    """The file tree of a Debian package, a tar: the member data.tar.xz of an `ar` archive (deb(5))."""
    offset = len(AR_MAGIC)
    while header := deb[offset : offset + AR_HEADER]:
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        start = offset + AR_HEADER
        if name == "data.tar.xz":
            return lzma.decompress(deb[start : start + size])
        offset = start + size + size % 2  # members start at even offsets
    raise KeyError("data.tar.xz is not in the Debian package")
