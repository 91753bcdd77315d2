"""Sign a version, so that a service with the public key serves it: `python -m training sign`."""

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from service.bundle import Bundle, BundleError, replace_text
from service.bundle.seal import SEAL, STATEMENT, encoded, payload


def private_key(path: Path) -> Ed25519PrivateKey:
    """Raises BundleError where the file is no such key."""
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise BundleError(f"{path} cannot be read as a key without a password: {type(error).__name__}") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise BundleError(f"{path} is no Ed25519 key: openssl genpkey -algorithm ed25519 -out {path.name}")
    return found


def sign(bundle: Bundle, key: Ed25519PrivateKey) -> None:
    """Write the seal of a version, which has just been verified."""
    content = payload(bundle.path, bundle.manifest.name, bundle.manifest.version)
    envelope = {
        "payloadType": STATEMENT,
        "payload": base64.b64encode(content).decode(),
        "signatures": [{"sig": base64.b64encode(key.sign(encoded(content))).decode()}],
    }
    replace_text(bundle.path / SEAL, json.dumps(envelope, indent=1) + "\n")
