"""Bundles go to stores and come from there: whole, verified, and without harm to what is served."""

import base64
import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import fsspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from service.bundle import Bundle, BundleError, current_version, write_current
from service.bundle.seal import SEAL, check, public_key, verifies
from service.release.remote import Remote, RemoteError
from service.release.transfer import STAGED, pull, push
from tests import toys
from training.signing import private_key, sign


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    toys.tensors(folder, name="doubler", version="1")
    return folder


@pytest.fixture(params=["file", "memory"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    return Remote({"file": f"file://{tmp_path}/store", "memory": f"memory://{uuid.uuid4().hex}"}[request.param])


def keys(folder: Path) -> tuple[Path, Path]:
    """A new key: the private and the public file."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def test_what_is_pushed_is_pulled_whole_and_served(models: Path, remote: Remote, tmp_path: Path) -> None:
    here = tmp_path / "here"
    assert push(models, remote, "doubler", None) == "1"
    assert pull(here, remote) == ["doubler 1"]
    assert current_version(here, "doubler") == "1"
    for file in (models / "doubler/1").iterdir():
        assert (here / "doubler/1" / file.name).read_bytes() == file.read_bytes()
    assert pull(here, remote) == []


def test_a_candidate_is_put_there_and_not_served(models: Path, remote: Remote, tmp_path: Path) -> None:
    push(models, remote, "doubler", None)
    toys.tensors(models, name="doubler", version="2")
    write_current(models, "doubler", "1")
    push(models, remote, "doubler", "2")
    pull(tmp_path / "here", remote)
    assert current_version(tmp_path / "here", "doubler") == "1"
    assert "2" in remote.names("doubler")


def test_a_version_that_was_pushed_never_changes(models: Path, remote: Remote) -> None:
    push(models, remote, "doubler", None)
    manifest = models / "doubler/1/bundle.json"
    manifest.write_text(manifest.read_text().replace('"description": "', '"description": "Another. ', 1))
    with pytest.raises(RemoteError, match="never changes"):
        push(models, remote, "doubler", None)


def test_what_is_damaged_there_is_refused_and_what_is_served_stays(
    models: Path, remote: Remote, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    push(models, remote, "doubler", None)
    pull(here, remote)
    toys.tensors(models, name="doubler", version="2")
    write_current(models, "doubler", "2")
    push(models, remote, "doubler", None)
    remote.write(b"damaged", "doubler", "2", "model.onnx")
    with pytest.raises(RemoteError, match="does not have the sha256"):
        pull(here, remote)
    assert current_version(here, "doubler") == "1"
    assert not (here / "doubler/2").exists()
    remote.write((models / "doubler/2/model.onnx").read_bytes(), "doubler", "2", "model.onnx")
    assert pull(here, remote) == ["doubler 2"]


def test_an_interrupted_pull_goes_on_where_it_ended(
    models: Path, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, graph = tmp_path / "here", (models / "doubler/1/model.onnx").read_bytes()
    push(models, remote, "doubler", None)
    staged = here / STAGED / "doubler/1"
    staged.mkdir(parents=True)
    (staged / "model.onnx").write_bytes(graph[:50])
    starts = []
    pieces = Remote._pieces
    monkeypatch.setattr(Remote, "_pieces", lambda self, path, start: starts.append(start) or pieces(self, path, start))
    assert pull(here, remote) == ["doubler 1"]
    assert 50 in starts
    assert Bundle(here / "doubler/1").graph.read_bytes() == graph


def test_a_store_that_is_away_leaves_what_is_served(models: Path, tmp_path: Path) -> None:
    remote, here = Remote(f"file://{tmp_path}/store"), tmp_path / "here"
    push(models, remote, "doubler", None)
    pull(here, remote)
    shutil.rmtree(tmp_path / "store")
    assert pull(here, remote) == []
    with pytest.raises(RemoteError, match="has no doubler/CURRENT"):
        pull(here, remote, ("doubler",))
    assert current_version(here, "doubler") == "1"


def test_a_full_disk_leaves_what_is_served(
    models: Path, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    push(models, remote, "doubler", None)
    pull(here, remote)
    toys.tensors(models, name="doubler", version="2")
    write_current(models, "doubler", "2")
    push(models, remote, "doubler", None)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RemoteError, match="No space left"):
            pull(here, remote)
    assert current_version(here, "doubler") == "1"
    assert not (here / "doubler/2").exists()
    assert pull(here, remote) == ["doubler 2"]


def test_of_two_pulls_at_once_one_is_told(models: Path, remote: Remote, tmp_path: Path) -> None:
    import fcntl

    here = tmp_path / "here"
    push(models, remote, "doubler", None)
    (here / STAGED).mkdir(parents=True)
    descriptor = os.open(here / STAGED, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(RemoteError, match="another process pulls"):
        pull(here, remote)
    os.close(descriptor)
    assert pull(here, remote) == ["doubler 1"]


def test_names_that_lead_out_of_the_folder_are_not_followed(models: Path, tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    base = uuid.uuid4().hex
    remote = Remote(f"memory://{base}")
    push(models, remote, "doubler", None)
    files.pipe_file(f"/{base}/doubler/CURRENT", b"../../../etc")
    with pytest.raises(RemoteError, match="names no version"):
        pull(tmp_path / "here", remote)


def test_only_what_is_signed_by_the_key_is_pulled_and_served(models: Path, remote: Remote, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    here, version = tmp_path / "here", models / "doubler/1"
    push(models, remote, "doubler", None)
    with pytest.raises(RemoteError, match="is not signed"):
        pull(here, remote, key=public)
    assert not (here / "doubler/CURRENT").exists()
    sign(Bundle(version), private_key(private))
    push(models, remote, "doubler", None)
    assert pull(here, remote, key=public) == ["doubler 1"]
    (tmp_path / "other").mkdir()
    _, other = keys(tmp_path / "other")
    with pytest.raises(BundleError, match="not signed by public.pem"):
        check(here / "doubler/1", other)


def test_a_seal_is_of_one_manifest(models: Path, tmp_path: Path) -> None:
    private, public = keys(tmp_path)
    version = models / "doubler/1"
    sign(Bundle(version), private_key(private))
    check(version, public)
    manifest = version / "bundle.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(BundleError, match="or has changed since"):
        check(version, public)
    (version / SEAL).write_text(json.dumps({"payload": base64.b64encode(b"{}").decode(), "signatures": []}))
    with pytest.raises(BundleError, match="is no seal"):
        check(version, public)


def test_signatures_verify_as_the_library_says() -> None:
    for number in range(8):
        key, message = Ed25519PrivateKey.generate(), bytes(range(number * 9))
        signature = key.sign(message)
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        assert verifies(public, signature, message)
        assert not verifies(public, signature, message + b"x")
        assert not verifies(public, bytes([signature[0] ^ 1]) + signature[1:], message)
        assert not verifies(public, signature[:32] + bytes([signature[32] ^ 1]) + signature[33:], message)
        assert not verifies(bytes([public[0] ^ 1]) + public[1:], signature, message)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    with pytest.raises(BundleError, match="no Ed25519 public key"):
        public_key(tmp_path / "key.pem")


def test_the_loop_follows_the_store_until_it_is_ended(models: Path, tmp_path: Path) -> None:
    remote, here = Remote(f"file://{tmp_path}/store"), tmp_path / "here"
    push(models, remote, "doubler", None)
    words = [sys.executable, "-m", "service", "pull", remote.address, "--every", "0.2"]
    environment = os.environ | {"QUARTET_MODELS_DIR": str(here)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as loop:
        assert loop.stderr
        assert any("doubler 1" in line for line in iter(loop.stderr.readline, ""))
        toys.tensors(models, name="doubler", version="2")
        write_current(models, "doubler", "2")
        push(models, remote, "doubler", None)
        assert any("doubler 2" in line for line in iter(loop.stderr.readline, ""))
        loop.terminate()
        assert loop.wait(30) == 0
    assert current_version(here, "doubler") == "2"
