"""Bundles through a store that speaks S3 and looks at signatures."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import known_implementations

from service.bundle import Bundle, current_version, write_current
from service.release import remote as remotes
from service.release.remote import Remote, RemoteError
from service.release.transfer import STAGED, pull, push
from tests import toys
from tests.conftest import free_port

pytest.importorskip("s3fs")
pytest.importorskip("moto")

BUCKET, USER, OPEN_ACTIONS = "bundles", "sync", 4  # what the store does for anybody before it looks at signatures
PIECE = 100  # bytes, so that a tiny graph comes in several


class Store:
    """A server of S3 with one bucket, and the credentials of one who may use it."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(OPEN_ACTIONS)}
        words = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.port)]
        with log.open("wb") as out:
            self.process = subprocess.Popen(words, env=environment, stdout=out, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                break
            time.sleep(0.1)
        self.key, self.secret = self._set_up()

    def _set_up(self) -> tuple[str, str]:
        from botocore.session import Session

        of: dict[str, str] = {"endpoint_url": self.url, "region_name": "us-east-1"}
        nobody = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
        Session().create_client("s3", **of, **nobody).create_bucket(Bucket=BUCKET)
        iam = Session().create_client("iam", **of, **nobody)
        iam.create_user(UserName=USER)
        allowed = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        iam.put_user_policy(UserName=USER, PolicyName="all", PolicyDocument=document)
        made = iam.create_access_key(UserName=USER)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("store") / "log")
    yield made
    made.process.terminate()
    made.process.wait(30)


@pytest.fixture
def address(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of its own in the bucket, with the environment of one who may use it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.secret)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(remotes, "PIECE", PIECE)
    anew()
    return f"s3://{BUCKET}/{tmp_path.name}/models"


def anew() -> None:
    """The library keeps a connection for each address, with the credentials of its first use."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    toys.tensors(folder, name="doubler", version="1")
    return folder


class Line:
    """Carries bytes to the store until a request asks for a piece from `cut_at` on; then it is dead."""

    def __init__(self, port: int, cut_at: int) -> None:
        self.mark = f"bytes={cut_at}-".encode()
        self.store, self.open = ("127.0.0.1", port), True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while self.open:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.store)
                self.ends += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := one.recv(2**16):
                if self.mark in content:
                    self.close()
                    return
                other.sendall(content)

    def close(self) -> None:
        self.open = False
        self.listener.close()
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def test_what_is_pushed_is_listed_and_pulled_whole(address: str, models: Path, tmp_path: Path) -> None:
    remote, there = Remote(address), tmp_path / "there"
    assert remote.names() == []
    assert push(models, remote, "doubler", None) == "1"
    assert remote.names() == ["doubler"]
    assert remote.names("doubler") == ["1", "CURRENT"]
    assert pull(there, remote) == ["doubler 1"]
    for file in (models / "doubler/1").iterdir():
        assert (there / "doubler/1" / file.name).read_bytes() == file.read_bytes()
    assert pull(there, remote) == []
    toys.tensors(models, name="doubler", version="2")
    write_current(models, "doubler", "2")
    push(models, remote, "doubler", None)
    assert pull(there, remote) == ["doubler 2"], "another one's connection sees it"


def test_a_pull_that_was_cut_goes_on_where_it_ended(
    address: str, models: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, graph = tmp_path / "there", (models / "doubler/1/model.onnx").read_bytes()
    push(models, Remote(address), "doubler", None)
    assert len(graph) > 2 * PIECE
    line = Line(store.port, cut_at=PIECE)
    monkeypatch.setenv("AWS_ENDPOINT_URL", line.url)
    anew()
    with pytest.raises(RemoteError, match="does not answer as it should"):
        pull(there, Remote(address))
    left = [file for file in (there / STAGED / "doubler/1").iterdir() if file.stat().st_size == PIECE]
    assert len(left) == 1, "the first piece of a file is kept"
    assert not (there / "doubler/CURRENT").exists()
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    anew()
    asked = []
    pieces = Remote._pieces
    monkeypatch.setattr(Remote, "_pieces", lambda self, path, start: asked.append(start) or pieces(self, path, start))
    assert pull(there, Remote(address)) == ["doubler 1"]
    assert PIECE in asked
    assert Bundle(there / "doubler/1").graph.read_bytes() == graph


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "wrong")], ids=["key", "secret"]
)
def test_who_has_no_right_is_told_and_what_is_served_stays(
    name: str, value: str, address: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    push(models, Remote(address), "doubler", None)
    pull(there, Remote(address))
    monkeypatch.setenv(name, value)
    anew()
    for action in (lambda: pull(there, Remote(address)), lambda: push(models, Remote(address), "doubler", None)):
        with pytest.raises(RemoteError, match="look at the credentials") as told:
            action()
        assert "wrong" not in str(told.value), "a secret is never told"
    assert current_version(there, "doubler") == "1"


def test_a_service_follows_the_bucket_by_a_command(address: str, models: Path, tmp_path: Path) -> None:
    push(models, Remote(address), "doubler", None)
    environment = os.environ | {"QUARTET_MODELS_DIR": str(tmp_path / "there")}
    words = [sys.executable, "-m", "service", "pull", address]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "doubler 1" in done.stdout + done.stderr) == (0, True)
    assert current_version(tmp_path / "there", "doubler") == "1"


@pytest.mark.parametrize(("address", "library"), [("gs://b/models", "gcsfs"), ("az://b/models", "adlfs")])
def test_other_stores_are_known_by_their_addresses(address: str, library: str) -> None:
    protocol = address.partition(":")[0]
    assert known_implementations[protocol]["class"].startswith(f"{library}.")
    try:
        __import__(library)
    except ImportError:
        with pytest.raises(RemoteError, match=library):
            Remote(address)
