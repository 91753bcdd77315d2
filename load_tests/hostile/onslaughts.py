"""What no gRPC library would send: attacks on the port for gRPC, in HTTP/2 frames put together by hand."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from time import monotonic
from typing import NamedTuple

from service.oip.grpc_messages import HEALTH, SERVICE

DATA, HEADERS, RESET, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SENDING_S = 3.0  # after which a server that does not read is left alone
INFER, STREAM, CHECK = f"/{SERVICE}/ModelInfer", f"/{SERVICE}/ModelStreamInfer", f"/{HEALTH}/Check"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113 section 4.1."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def field(name: str, value: str) -> bytes:
    """RFC 7541 section 6.2.2, of less than 127 bytes each."""
    return b"\0" + b"".join(bytes((len(text),)) + text.encode() for text in (name, value))


HELLO = PREFACE + frame(SETTINGS, 0, 0)
UNREAD = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))  # a window of nothing: no answer can be sent


def opened(path: str, stream: int, key: str = "") -> bytes:
    """The head of a call."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    fields |= {"content-type": "application/grpc"} | ({"x-api-key": key} if key else {})
    return frame(HEADERS, END_HEADERS, stream, b"".join(field(*one) for one in fields.items()))


def message(stream: int, content: bytes = b"", says: int | None = None) -> bytes:
    """A message in frames that go beyond every window; its prefix `says` how long it is."""
    whole = struct.pack(">BI", 0, len(content) if says is None else says) + content
    pieces = [whole[at : at + 2**14] for at in range(0, len(whole), 2**14)]
    return b"".join(frame(DATA, 0, stream, piece) for piece in pieces)


class Onslaught(NamedTuple):
    """The same bytes on each of many connections, which stay open."""

    name: str
    sent: bytes
    connections: int = 1


def onslaughts(key: str) -> list[Onslaught]:
    """With a key of a caller who turns on the service, and without one."""
    streams, headless = range(1, 1001, 2), frame(HEADERS, 0, 1)
    return [
        Onslaught("connections that say nothing", b"", 150),
        Onslaught("connections that only greet", HELLO, 150),
        Onslaught("streams that are held open", HELLO + b"".join(opened(STREAM, one, key) for one in streams), 8),
        Onslaught("calls without a message", HELLO + b"".join(opened(INFER, one, key) for one in streams), 8),
        Onslaught("calls without a key or a message", HELLO + b"".join(opened(INFER, one) for one in streams), 8),
        Onslaught("pings", HELLO + frame(PING, 0, 0, bytes(8)) * 200_000),
        Onslaught("settings", HELLO + frame(SETTINGS, 0, 0) * 200_000),
        Onslaught("windows", HELLO + frame(WINDOW, 0, 0, b"\0\0\0\1") * 200_000),
        Onslaught("streams that are reset at once", HELLO + b"".join(_reset(key, one) for one in range(1, 40_001, 2))),
        Onslaught("a head without an end", HELLO + headless + frame(CONTINUATION, 0, 1, bytes(2**14)) * 4000),
        Onslaught("empty pieces of a head", HELLO + headless + frame(CONTINUATION, 0, 1) * 200_000),
        Onslaught("a large message without a key", HELLO + opened(INFER, 1) + message(1, bytes(2**25)), 8),
        Onslaught("a large message", HELLO + opened(INFER, 1, key) + message(1, bytes(2**25)), 8),
        Onslaught("a large message for a small method", HELLO + opened(CHECK, 1) + message(1, bytes(2**25)), 8),
        Onslaught("a message of four gigabytes", HELLO + opened(INFER, 1, key) + message(1, b"", 2**32 - 1), 8),
        Onslaught("empty frames", HELLO + opened(INFER, 1, key) + frame(DATA, 0, 1) * 200_000),
        Onslaught("answers that nobody reads", UNREAD + b"".join(_asked(one) for one in streams), 8),
        Onslaught("noise", bytes(range(256)) * 4096, 8),
    ]


def _reset(key: str, stream: int) -> bytes:
    return opened(INFER, stream, key) + frame(RESET, 0, stream, struct.pack(">I", 8))


def _asked(stream: int) -> bytes:
    return opened(CHECK, stream) + frame(DATA, END_STREAM, stream, bytes(5))


@contextmanager
def under(port: int, onslaught: Onslaught) -> Iterator[None]:
    """While it goes on: all is sent that the server takes, and no answer is read."""
    with ExitStack() as stack:
        for _ in range(onslaught.connections):
            with suppress(OSError):  # it takes no more, or has hung up
                attacker = stack.enter_context(socket.create_connection(("127.0.0.1", port), SENDING_S))
                _send(attacker, onslaught.sent)
        yield


def _send(attacker: socket.socket, content: bytes) -> None:
    until, at = monotonic() + SENDING_S, 0
    while at < len(content) and monotonic() < until:
        at += attacker.send(content[at : at + 2**16])
