"""gRPC over TLS, with a certificate that is renewed while the service runs."""

import asyncio
import subprocess
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc.aio import InferenceServerClient

from service import preflight
from service.engine.repository import Repository
from service.settings import Settings, SettingsError
from tests.service.calls import serving


def issue(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own for this machine, over what was there before."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


async def alive(address: str, trusted: bytes) -> bool:
    credentials = grpc.ssl_channel_credentials(trusted)
    async with InferenceServerClient(address, ssl=True, creds=credentials) as client:
        return bool(await client.is_server_live(client_timeout=20))


def test_calls_are_encrypted_and_a_renewed_certificate_holds_at_once(echoing: Repository, tmp_path: Path) -> None:
    certificate, key = issue(tmp_path)
    first = certificate.read_bytes()

    async def run() -> None:
        async with serving(echoing, grpc_certificate=certificate, grpc_private_key=key) as address:
            assert await alive(address, first)
            issue(tmp_path)
            second = certificate.read_bytes()
            assert second != first
            assert await alive(address, second)
            key.unlink()  # in the middle of a renewal
            assert await alive(address, second)

    asyncio.run(run())


def test_a_certificate_without_its_key_stops_the_start(toy_models: Path, tmp_path: Path) -> None:
    certificate, key = issue(tmp_path)
    with pytest.raises(SettingsError, match="go together"):
        preflight.check(Settings(models_dir=toy_models, grpc_certificate=certificate))
    key.write_text("no key")
    with pytest.raises(SettingsError, match="QUARTET_GRPC_CERTIFICATE"):
        preflight.check(Settings(models_dir=toy_models, grpc_certificate=certificate, grpc_private_key=key))
