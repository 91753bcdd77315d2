"""Who may ask, and how often: API keys, where the operator has set some.

The file that `QUARTET_API_KEYS` names has a line per key: a name, the sha256 of the key, and optionally the requests
per second it is good for. `python -m service key NAME` makes a key and its line. The key itself is stored nowhere.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path
from time import monotonic

from pydantic import SecretStr

from service.errors import Forbidden, RateLimited, Unauthorized
from service.settings import SettingsError

LINE = re.compile(r"(?P<name>[\w.@-]{1,64})\s+(?P<sha256>[0-9a-f]{64})(?:\s+(?P<rate>\d+(?:\.\d+)?))?")

# What probes, scrapers and people who look for the documentation need.
OPEN = frozenset(
    ("/", "/docs", "/openapi.json", "/livez", "/readyz", "/healthz", "/metrics", "/v2/health/live", "/v2/health/ready")
)


def is_open(path: str) -> bool:
    """Whether a path wants no API key; those that load and unload models want the admin's token instead."""
    return path in OPEN or path.startswith("/v2/repository/models/")


class Key:
    """A key that is good for `rate` requests per second, a second's worth at once; for any number if None."""

    def __init__(self, name: str, digest: bytes, rate: float | None) -> None:
        self.name, self.digest, self.rate = name, digest, rate
        self._tokens, self._at = max(1.0, rate or 0), monotonic()

    def spend(self) -> None:
        """Token bucket. Raises RateLimited."""
        if self.rate is None:
            return
        now = monotonic()
        self._tokens = min(max(1.0, self.rate), self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            raise RateLimited(f"This key is good for {self.rate:g} requests per second.")
        self._tokens -= 1


class Keys:
    def __init__(self, keys: list[Key]) -> None:
        self._keys = keys

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Raises SettingsError naming the line that is wrong."""
        keys = []
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise SettingsError(f"QUARTET_API_KEYS: {path}: {error.strerror}") from None
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            if not (match := LINE.fullmatch(line.strip())):
                raise SettingsError(f"QUARTET_API_KEYS: {path}:{number} is not 'name sha256 [requests per second]'")
            rate = float(match["rate"]) if match["rate"] else None
            keys.append(Key(match["name"], bytes.fromhex(match["sha256"]), rate))
        return cls(keys)

    def admit(self, headers: dict[bytes, bytes]) -> None:
        """Raises Unauthorized or RateLimited."""
        digest = hashlib.sha256(_presented(headers)).digest()
        found = None
        for key in self._keys:  # all of them, so that the time tells nothing of where a match lies
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise Unauthorized("Send a valid key as `authorization: Bearer KEY` or `x-api-key: KEY`.")
        found.spend()


def admit_admin(token: SecretStr | None, headers: dict[bytes, bytes]) -> None:
    """Raises Forbidden or Unauthorized."""
    if token is None:
        raise Forbidden("Models are loaded and unloaded over the network once QUARTET_ADMIN_TOKEN is set.")
    if not hmac.compare_digest(token.get_secret_value().encode(), _presented(headers)):
        raise Unauthorized("Send the admin token as `authorization: Bearer TOKEN`.")


def _presented(headers: dict[bytes, bytes]) -> bytes:
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key", b"")


def new_key(name: str) -> tuple[str, str]:
    """A fresh key and the line for the file."""
    key = secrets.token_urlsafe(32)
    return key, f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
