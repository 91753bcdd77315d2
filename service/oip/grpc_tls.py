"""TLS of the gRPC service: a certificate and its key from files, read again when they change."""

import logging
from pathlib import Path
from typing import Any

import grpc

from service.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def credentials(settings: Settings) -> Any | None:
    """None where the settings name no certificate. Raises SettingsError."""
    if settings.grpc_certificate is None or settings.grpc_private_key is None:
        return None
    files = Files(settings.grpc_certificate, settings.grpc_private_key)
    return grpc.dynamic_ssl_server_credentials(files.read(), files.renewed)


class Files:
    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._seen, self._complaint = (b"", b""), ""

    def read(self) -> Any:
        """Raises SettingsError."""
        try:
            self._seen = self._certificate.read_bytes(), self._key.read_bytes()
        except OSError as error:
            raise SettingsError(f"QUARTET_GRPC_CERTIFICATE or _PRIVATE_KEY cannot be read: {error}") from None
        return grpc.ssl_server_certificate_configuration([(self._seen[1], self._seen[0])])

    def renewed(self) -> Any | None:
        """Asked before every handshake: None where nothing has changed, or cannot be read for now."""
        before = self._seen
        try:
            configuration = self.read()
        except SettingsError as error:
            if self._complaint != (complaint := str(error)):
                log.error("%s; the certificate read before stays in use", error)
            self._complaint = complaint
            return None
        self._complaint = ""
        return None if self._seen == before else configuration
