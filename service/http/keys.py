"""Who may ask, and how often: API keys, where the operator has set some.

The file that `QUARTET_API_KEYS` names has a line per key: a name, the sha256 of the key, and optionally the requests
per second it is good for. `python -m service key NAME` makes a key and its line. The key itself is stored nowhere.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import re
import secrets
from fcntl import LOCK_EX, LOCK_UN, lockf
from math import ceil
from mmap import mmap
from pathlib import Path
from struct import Struct
from time import monotonic
from typing import NamedTuple
from weakref import finalize

from pydantic import SecretStr

from service.attribution import note
from service.errors import Forbidden, RateLimited, Unauthorized
from service.settings import SettingsError

NAME = re.compile(r"[\w.@-]{1,64}")
LINE = re.compile(rf"(?P<name>{NAME.pattern})\s+(?P<sha256>[0-9a-f]{{64}})(?:\s+(?P<rate>\d+(?:\.\d+)?))?")

DUE = Struct("d")

ADMINS = re.compile(r"/v2/repository/models/.*|/v1/feedback/.+|/v1/releases/[^/]+/.+")

# What probes, scrapers and people who look for the documentation need.
OPEN = frozenset(
    (
        "/",
        "/docs",
        "/static_content/swagger-ui.css",
        "/static_content/swagger-ui-bundle.js",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/healthz",
        "/metrics",
        "/v2/health/live",
        "/v2/health/ready",
    )
)

log = logging.getLogger(__name__)


def is_open(path: str) -> bool:
    """Whether a path wants no API key; those that change what is served or kept want the admin's token instead."""
    return path in OPEN or path.startswith("/playground/") or bool(ADMINS.fullmatch(path))


class Allowance:
    """A rate limit that all processes share through a file: `rate` requests per second, in bursts of a second's worth.

    The generic cell rate algorithm (ATM Forum, Traffic Management 4.0, 1996): the file holds the time at which the next
    request would be due if they came evenly, on the monotonic clock, which all processes of a machine share.
    """

    def __init__(self, rate: float, path: Path | None) -> None:
        """The file may be there already: other processes count in it. Without one this process counts for itself."""
        self.rate, self._file = rate, _room(path)
        self._due = mmap(self._file, DUE.size)
        finalize(self, os.close, self._file)

    def spend(self) -> None:
        """Raises RateLimited."""
        lockf(self._file, LOCK_EX)
        try:
            now = monotonic()
            due = max(now, *DUE.unpack(self._due))
            wait_s = due - now - (max(1.0, self.rate) - 1) / self.rate
            if wait_s > 0:
                raise RateLimited(f"This key is good for {self.rate:g} requests per second.", ceil(wait_s))
            DUE.pack_into(self._due, 0, due + 1 / self.rate)
        finally:
            lockf(self._file, LOCK_UN)


def _room(path: Path | None) -> int:
    """A file of the size of a number: writing into the mapping of a shorter one would end the process."""
    try:
        if path is not None:
            return _allocated(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        log.warning("each worker counts the requests of a key for itself: %s", error)
    return _allocated(os.memfd_create("allowance"))


def _allocated(file: int) -> int:
    try:
        os.posix_fallocate(file, 0, DUE.size)
    except OSError:
        os.close(file)
        raise
    return file


class Key(NamedTuple):
    """A key that is good for any number of requests where it has no allowance."""

    name: str
    digest: bytes
    allowance: Allowance | None


class Keys:
    """The keys of a file as it was when it was last right."""

    def __init__(self, path: Path, shared: Path | None) -> None:
        """Processes with the same folder `shared` count their requests together.

        Raises SettingsError naming the line that is wrong.
        """
        self._path, self._shared = path, shared
        self._text, self._complaint = read_text(path), ""
        self._keys = self._parsed(self._text)

    async def watch(self, every_s: float) -> None:
        """Follow the file: a key that is taken out of it opens nothing any more."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Read the file again. While it cannot be read the old keys hold, and the log says so."""
        try:
            text = read_text(self._path)
            if text == self._text:
                return
            self._text = text
            self._keys = self._parsed(text)
            log.info("%s has changed: %d API keys are valid", self._path, len(self._keys))
            self._complaint = ""
        except (SettingsError, OSError) as error:
            if str(error) != self._complaint:
                log.error("%s; the API keys read before stay valid", error)
            self._complaint = str(error)

    def _parsed(self, text: str) -> list[Key]:
        keys = []
        for line in parsed_lines(self._path, text):
            rate = line["rate"] and float(line["rate"])
            file = self._shared and self._shared / f"rate-{line['sha256']}"
            allowance = Allowance(rate, file) if rate else None
            keys.append(Key(line["name"], bytes.fromhex(line["sha256"]), allowance))
        return keys

    def find(self, headers: dict[bytes, bytes]) -> Key:
        """Raises Unauthorized."""
        digest = hashlib.sha256(_presented(headers)).digest()
        found = None
        for key in self._keys:  # all of them, so that the time tells nothing of where a match lies
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise Unauthorized("Send a valid key as `authorization: Bearer KEY` or `x-api-key: KEY`.")
        note(key=found.name)
        return found

    def admit(self, headers: dict[bytes, bytes]) -> None:
        """Raises Unauthorized or RateLimited."""
        allowance = self.find(headers).allowance
        if allowance is not None:
            allowance.spend()


def read_text(path: Path) -> str:
    """Raises SettingsError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"QUARTET_API_KEYS: {path} cannot be read: {error}") from None


def parsed_lines(path: Path, text: str) -> list[re.Match[str]]:
    """The lines of a file of keys. Raises SettingsError naming the one that is wrong."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if not match or (match["rate"] and not float(match["rate"])):
            raise SettingsError(f"QUARTET_API_KEYS: {path}:{number} is not 'name sha256 [requests per second]'")
        found.append(match)
    return found


def admit_admin(token: SecretStr | None, headers: dict[bytes, bytes]) -> None:
    """Raises Forbidden or Unauthorized."""
    if token is None:
        raise Forbidden("This can be done over the network once QUARTET_ADMIN_TOKEN is set.")
    if not hmac.compare_digest(token.get_secret_value().encode(), _presented(headers)):
        raise Unauthorized("Send the admin token as `authorization: Bearer TOKEN`.")


def _presented(headers: dict[bytes, bytes]) -> bytes:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")


def new_key(name: str) -> tuple[str, str]:
    """A fresh key and the line for the file. Raises SettingsError for a name that the file may not hold."""
    if not NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot be the name of a key: use up to 64 letters, digits or any of . _ - @")
    key = secrets.token_urlsafe(32)
    return key, f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
