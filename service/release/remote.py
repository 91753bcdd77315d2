"""A models folder in an object store or another folder, by its address: `s3://`, `gs://`, `az://`, `file://`.

It has the form of a models folder. A version's manifest is written after all of its other files and `CURRENT` last, so
whoever reads meanwhile sees a version whole or not at all.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec

from service.bundle import BundleError

PIECE = 2**23  # bytes that are asked for at once: what an interrupted try has lost at the most


class RemoteError(BundleError):
    """What is away cannot be had, or is not what it should be. The message says why and what to do."""


class Remote:
    """Every method may raise RemoteError."""

    def __init__(self, address: str) -> None:
        try:
            self.files, self.base = fsspec.core.url_to_fs(address)
        except ImportError as error:
            raise RemoteError(f"{address}: {error}") from None
        except ValueError as error:
            raise RemoteError(f"{address} is no address of a folder: {error}") from None
        self.address = address
        self._local = "file" in self.files.protocol

    def names(self, *below: str) -> list[str]:
        """Of what lies in a folder, sorted; nothing where there is none."""
        return sorted(path.rstrip("/").rpartition("/")[2] for path in self._told(self._listed, self._path(below)))

    def read(self, *place: str, most: int) -> bytes | None:
        """A file's content, None where it is not there."""
        content = self._told(self._content, self._path(place), most)
        if content is not None and len(content) > most:
            raise RemoteError(f"{self._path(place)} has more than {most} bytes")
        return content  # type: ignore[no-any-return]

    def fetch(self, target: Path, *place: str) -> None:
        """A file into `target`, from where an earlier try ended."""
        with target.open("ab") as file:
            for content in self._pieces(self._path(place), file.tell()):
                file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def write(self, content: bytes, *place: str) -> None:
        """A whole file at once."""
        self._told(self._put, content, self._path(place))

    def _pieces(self, path: str, start: int) -> Iterator[bytes]:
        self.files.invalidate_cache()
        size = self._told(self.files.size, path)
        while start < size:
            content = self._told(self._piece, path, start, min(start + PIECE, size))
            if not content:
                raise RemoteError(f"{path} ended before its {size} bytes: try again")
            start += len(content)
            yield content

    def _path(self, place: tuple[str, ...]) -> str:
        return "/".join([self.base.rstrip("/"), *place])

    def _listed(self, path: str) -> list[str]:
        self.files.invalidate_cache()
        try:
            return self.files.ls(path, detail=False)  # type: ignore[no-any-return]
        except FileNotFoundError:
            return []

    def _content(self, path: str, most: int) -> bytes | None:
        try:
            with self.files.open(path, "rb") as file:
                return file.read(most + 1)  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def _piece(self, path: str, start: int, end: int) -> bytes:
        return self.files.cat_file(path, start=start, end=end)  # type: ignore[no-any-return]

    def _put(self, content: bytes, path: str) -> None:
        """Object stores show an object once it is whole; a folder does after a rename."""
        if not self._local:
            self.files.pipe_file(path, content)
            return
        staged = Path(f"{path}.{os.getpid()}")
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            with staged.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)

    def _told(self, action: Any, *arguments: Any) -> Any:
        """What an action of a file system gives; each kind of store raises errors of its own."""
        try:
            return action(*arguments)
        except RemoteError:
            raise
        except Exception as error:
            advice = ": look at the credentials and what they may do" if isinstance(error, PermissionError) else ""
            raise RemoteError(
                f"{self.address} does not answer as it should: {type(error).__name__}: {error}{advice}"
            ) from error
