"""Release archives: what is packed comes back the same, and what is not whole leaves nothing behind."""

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import threading
import venv
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from service.bundle import BundleError, current, file_sha256, names
from service.release.archive import ArchiveError, fetch, pack
from service.settings import Settings
from tests import toys
from tests.conftest import PROJECT, Running


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models, one of them with a version that is not served."""
    folder = tmp_path / "from"
    for version in ("1", "2"):
        toys.ct(folder, version=version)
    toys.tensors(folder)
    (folder / "DEFAULTS").write_text("ct-denoising toy-ct\n")
    (folder / "toy-ct" / "2" / "curve.png").write_bytes(b"\x89PNG")
    return folder


@pytest.fixture
def archive(models: Path, tmp_path: Path) -> Path:
    pack(models, tmp_path / "models.tar.gz")
    return tmp_path / "models.tar.gz"


def test_the_served_versions_come_back_as_they_were(models: Path, archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "to"
    assert fetch(f"{archive}", target) == ["toy-ct", "toy-tensors"]
    assert (target / "DEFAULTS").read_text() == "ct-denoising toy-ct\n"
    for name in names(models):
        kept, got = current(models, name), current(target, name)
        assert {one.name for one in (target / name).iterdir()} == {"CURRENT", got.path.name}
        assert {one.name: one.read_bytes() for one in got.path.iterdir()} == {
            one.name: one.read_bytes() for one in kept.path.iterdir()
        }


def test_the_same_models_give_the_same_archive(models: Path, archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar.gz"
    assert pack(models, again) == file_sha256(archive)
    assert again.with_name("again.tar.gz.sha256").read_text() == f"{file_sha256(archive)}  again.tar.gz\n"


def test_a_bundle_that_is_not_whole_is_not_packed(models: Path, tmp_path: Path) -> None:
    (models / "toy-ct" / "2" / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match="does not have the sha256"):
        pack(models, tmp_path / "out.tar.gz")
    with pytest.raises(ArchiveError, match="holds no bundle"):
        pack(tmp_path / "nowhere", tmp_path / "out.tar.gz")
    assert not [one for one in tmp_path.iterdir() if "out" in one.name]


def test_an_archive_is_fetched_from_an_address(archive: Path, tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=f"{tmp_path}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert fetch(f"{url}/models.tar.gz", tmp_path / "to") == ["toy-ct", "toy-tensors"]
        with pytest.raises(ArchiveError, match=r"none.gz.sha256 cannot be fetched: 404 File not found. Say the hash"):
            fetch(f"{url}/none.gz", tmp_path / "other")
    finally:
        server.shutdown()
        server.server_close()


def test_the_hash_is_that_which_was_said(archive: Path, tmp_path: Path) -> None:
    sha256 = file_sha256(archive)
    archive.with_name("models.tar.gz.sha256").unlink()
    with pytest.raises(ArchiveError, match=r"cannot be read: No such file or directory. Say the hash"):
        fetch(f"{archive}", tmp_path / "to")
    with pytest.raises(ArchiveError, match=f"has the sha256 {sha256}, not 0"):
        fetch(f"{archive}", tmp_path / "to", "0" * 64)
    assert not (tmp_path / "to").exists()
    assert fetch(f"{archive}", tmp_path / "to", sha256.upper())


def test_what_is_there_stays(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "kept").touch()
    with pytest.raises(ArchiveError, match="is not empty: remove it, or name another folder with --to"):
        fetch(f"{archive}", tmp_path / "to")
    assert [one.name for one in (tmp_path / "to").iterdir()] == ["kept"]


Members = list[tuple[tarfile.TarInfo, bytes]]


def link(members: Members) -> Members:
    odd = tarfile.TarInfo("toy-ct/link")
    odd.type, odd.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [*members, (odd, b"")]


def outside(members: Members) -> Members:
    odd = tarfile.TarInfo("../outside")
    odd.size = 1
    (sums, told), *others = members
    told += b"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  ../outside\n"
    sums.size = len(told)
    return [(sums, told), *others, (odd, b"x")]


def changed(members: Members) -> Members:
    return [(one, b"y" * len(content)) if one.name == "DEFAULTS" else (one, content) for one, content in members]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda members: members[1:], "does not begin with SHA256SUMS"),
        (lambda members: members[:-1], "the archive lacks toy-tensors"),
        (lambda members: members[:1], "the archive lacks"),
        (lambda members: [*members, members[-1]], "of which SHA256SUMS does not speak"),
        (changed, "DEFAULTS does not have the sha256"),
        (link, "holds toy-ct/link, of which SHA256SUMS does not speak"),
        (outside, "holds ../outside, of which SHA256SUMS does not speak"),
    ],
)
def test_an_archive_that_is_not_whole_leaves_nothing(
    archive: Path, tmp_path: Path, spoil: Callable[[Members], Members], said: str
) -> None:
    with tarfile.open(archive) as tar:
        members = [(one, file.read()) for one in tar if (file := tar.extractfile(one))]
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in spoil(members):
            tar.addfile(member, io.BytesIO(content))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ArchiveError, match=said):
        fetch(f"{archive}", tmp_path / "to", file_sha256(archive))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08" + b"\0" * 40])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArchiveError):
        fetch(f"{tmp_path / 'file'}", tmp_path / "to", file_sha256(tmp_path / "file"))


def test_models_are_looked_for_where_they_are_fetched_to(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.settings.PROJECT", tmp_path / "code")
    monkeypatch.chdir(tmp_path)
    environment = {"XDG_DATA_HOME": f"{tmp_path / 'data'}"}
    fetch(f"{archive}", tmp_path / "data" / "quartet" / "models")
    (tmp_path / "models").mkdir()  # of something else
    assert Settings.from_environment(environment).models_dir == tmp_path / "data" / "quartet" / "models"
    fetch(f"{archive}", tmp_path / "models")
    assert Settings.from_environment(environment).models_dir == tmp_path / "models"
    said = environment | {"QUARTET_MODELS_DIR": "/elsewhere"}
    assert Settings.from_environment(said).models_dir == Path("/elsewhere")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The wheel, in an environment of its own above the libraries of this one: its folder of programs."""
    source = tmp_path / "source"
    for name in ("service", "training"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    build = [sys.executable, "-c", "from setuptools import build_meta as b; print(b.build_wheel('.'))"]
    wheel = subprocess.run(build, cwd=source, capture_output=True, text=True, check=True).stdout.split()[-1]
    venv.create(tmp_path / "env", symlinks=True)
    programs = tmp_path / "env" / "bin"
    install = [sys.executable, "-m", "pip", "--python", f"{programs / 'python'}", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--no-index", f"{source / wheel}"], check=True, capture_output=True)
    (library,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (library / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_serves_what_it_fetched(installed: Path, archive: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"XDG_DATA_HOME": f"{tmp_path / 'data'}"}

    def quartet(*words: str) -> subprocess.CompletedProcess[str]:
        command = [f"{installed / 'quartet'}", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    without = quartet("serve", "--port", "0")
    assert without.returncode != 0
    assert "`quartet models fetch ADDRESS` gets the models" in without.stderr.splitlines()[-1]
    got = quartet("models", "fetch", f"{archive}")
    assert got.stdout.startswith("2 models in "), got.stderr
    assert re.search("quartet: .* is not empty", quartet("models", "fetch", f"{archive}").stderr)
    environment = environment | {"PYTHONPATH": "", "QUARTET_WORKERS": "1"}
    running = Running(tmp_path / "server", cwd=tmp_path, python=f"{installed / 'python'}", **environment)
    try:
        running.wait_until_ready()
        assert {one["name"] for one in httpx.get(f"{running.url}/v1/models").json()["models"]} == {
            "toy-ct",
            "toy-tensors",
        }
        assert "<title>Quartet</title>" in httpx.get(f"{running.url}/").text
    finally:
        running.stop()
