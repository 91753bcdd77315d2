"""The seal of a version, `seal.json`: an Ed25519 signature over its manifest, which holds the hash of every other file.

It has the form of OpenSSF Model Signing, an in-toto statement in a DSSE envelope. Verifying takes integer arithmetic
and no secret, so it is written here (RFC 8032, section 5.1.7): a library for it would add 14 MB to the image. Signing
is training's.
"""

import base64
import hashlib
import json
from pathlib import Path

from service.bundle.files import MANIFEST, BundleError, file_sha256, read_bounded

SEAL, MOST_SEAL, MOST_KEY = "seal.json", 2**16, 2**12
STATEMENT = "application/vnd.in-toto+json"
PUBLIC_KEY = bytes.fromhex("302a300506032b6570032100")  # what comes before the 32 bytes in a PEM file
PRIME, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
CURVE = -121665 * pow(121666, -1, PRIME) % PRIME
ROOT = pow(2, (PRIME - 1) // 4, PRIME)

Point = tuple[int, int, int, int]
"""X, Y, Z and T of extended coordinates: x = X/Z, y = Y/Z, xy = T/Z."""


def payload(folder: Path, name: str, version: str) -> bytes:
    """What is signed of a version."""
    digest = file_sha256(folder / MANIFEST)
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": f"{name}/{version}/{MANIFEST}", "digest": {"sha256": digest}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"resources": [{"name": MANIFEST, "algorithm": "sha256", "digest": digest}]},
    }
    return json.dumps(statement, sort_keys=True).encode()


def encoded(content: bytes) -> bytes:
    """What the signature is made of, by DSSE."""
    return b"DSSEv1 %d %s %d %s" % (len(STATEMENT), STATEMENT.encode(), len(content), content)


def check(folder: Path, key: Path | None) -> None:
    """Raises BundleError unless the version `<name>/<version>` is signed by the key; without a key anything goes."""
    if key is None:
        return
    advice = f"python -m training sign {folder.parent.name} {folder.name}"
    try:
        envelope = json.loads(read_bounded(folder / SEAL, MOST_SEAL))
        content = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    except FileNotFoundError:
        raise BundleError(f"{folder} is not signed, and only what is signed may be served: {advice}") from None
    except (ValueError, KeyError, IndexError, TypeError):
        raise BundleError(f"{folder / SEAL} is no seal: {advice}") from None
    same = content == payload(folder, folder.parent.name, folder.name)
    if not same or not verifies(public_key(key), signature, encoded(content)):
        raise BundleError(f"{folder} is not signed by {key.name}, or has changed since: {advice}")


def public_key(path: Path) -> bytes:
    """The 32 bytes of an Ed25519 public key in PEM. Raises BundleError."""
    try:
        lines = read_bounded(path, MOST_KEY).decode("ascii").split("-----")
        content = base64.b64decode("".join(lines[2].split()), validate=True) if "PUBLIC" in lines[1] else b""
    except (OSError, ValueError, IndexError):
        content = b""
    if not content.startswith(PUBLIC_KEY) or len(content) != len(PUBLIC_KEY) + 32:
        raise BundleError(f"{path} is no Ed25519 public key in PEM: openssl pkey -in key.pem -pubout -out {path.name}")
    return content[-32:]


def verifies(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the key's of the message."""
    if len(signature) != 64:
        return False
    public, commitment = _point(key), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if public is None or commitment is None or scalar >= ORDER:
        return False
    hashed = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = _times(scalar, BASE), _sum(commitment, _times(hashed, public))
    return (left[0] * right[2] - right[0] * left[2]) % PRIME == 0 == (left[1] * right[2] - right[1] * left[2]) % PRIME


def _point(content: bytes) -> Point | None:
    """The point of 32 bytes: y, and in the highest bit the sign of x."""
    number = int.from_bytes(content, "little")
    y, odd = number & (2**255 - 1), number >> 255
    if y >= PRIME:
        return None
    square = (y * y - 1) * pow(CURVE * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    x = x if (x * x - square) % PRIME == 0 else x * ROOT % PRIME
    if (x * x - square) % PRIME or (x == 0 and odd):
        return None
    x = PRIME - x if x % 2 != odd else x
    return x, y, 1, x * y % PRIME


def _sum(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % PRIME
    b = (one[1] + one[0]) * (other[1] + other[0]) % PRIME
    c, d = 2 * one[3] * other[3] * CURVE % PRIME, 2 * one[2] * other[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def _times(count: int, point: Point) -> Point:
    found: Point = (0, 1, 1, 0)
    while count:
        if count & 1:
            found = _sum(found, point)
        point, count = _sum(point, point), count >> 1
    return found


def _base() -> Point:
    found = _point((4 * pow(5, -1, PRIME) % PRIME).to_bytes(32, "little"))
    assert found
    return found


BASE = _base()
