"""What no HTTP library would send: attacks below the request, on a server that must go on answering."""

import asyncio
from contextlib import suppress
from time import perf_counter
from typing import NamedTuple

from load_tests.model_folder import SMALL
from load_tests.wire import Reply, parse_head

SLOW_S = 1.0
# One worker: who is asked afterwards is the one that was attacked.
SETTINGS: dict[str, object] = {"head_timeout_s": SLOW_S, "body_timeout_s": SLOW_S, "max_body_bytes": 2**20}
SETTINGS |= {"threads": 1, "workers": 1}
PATIENCE_S = 10 * SLOW_S  # beyond what the assault itself takes: this machine may have more to do
SURPRISE_S = 0.1  # in which one answer too many would come

HEAD = b"POST /v1/models/step/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = SMALL.partition(b"\r\n\r\n")[2]
LENGTH = b"content-length: %d\r\n" % len(BODY)
UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: %d\r\n" % len(SMALL)
CHUNKED_BODY = [HEAD + b"transfer-encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)]
DEAF = b"PUT /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
REFUSED: tuple[list[int], ...] = ([400], [])  # said so, or just hung up
OK = ([200],)


class Assault(NamedTuple):
    """Bytes in pieces, `pause_s` before each, and the sequences of statuses that may come of them."""

    name: str
    pieces: list[bytes]
    allowed: tuple[list[int], ...]
    pause_s: float = 0.0

    def patience_s(self, answers: int) -> float:
        """How long to wait for another answer after so many."""
        more = answers < max(map(len, self.allowed))
        return len(self.pieces) * self.pause_s + (PATIENCE_S if more else SURPRISE_S)


class Outcome(NamedTuple):
    """Every answer until the server hung up or fell silent, and the seconds to the last one."""

    replies: list[Reply]
    seconds: float

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies]


async def attack(port: int, assault: Assault) -> Outcome:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    started = last = perf_counter()
    sending = asyncio.create_task(_send(writer, assault))
    replies: list[Reply] = []
    try:
        while True:
            async with asyncio.timeout(assault.patience_s(len(replies))):
                replies.append(await _answer(reader))
            last = perf_counter()
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        pass
    sending.cancel()
    writer.transport.abort()  # what was not sent yet is not waited for
    with suppress(OSError):
        await writer.wait_closed()
    return Outcome(replies, last - started)


async def _send(writer: asyncio.StreamWriter, assault: Assault) -> None:
    try:
        for piece in assault.pieces:
            await asyncio.sleep(assault.pause_s)
            writer.write(piece)
            await writer.drain()
    except OSError:  # the server has hung up
        pass


async def _answer(reader: asyncio.StreamReader) -> Reply:
    status, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
    return Reply(status, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def _get(path: bytes) -> list[bytes]:
    return [b"GET " + path + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"]


def _with(headers: bytes, body: bytes = BODY) -> list[bytes]:
    return [HEAD + headers + b"\r\n" + body]


LENGTHS = [
    Assault("a length below zero", _with(b"content-length: -1\r\n"), REFUSED),
    Assault("a length that is no number", _with(b"content-length: 7e1\r\n"), REFUSED),
    Assault("a length with a sign", _with(b"content-length: +%d\r\n" % len(BODY)), REFUSED),
    Assault("a length beyond 64 bits", _with(b"content-length: " + b"9" * 30 + b"\r\n"), REFUSED),
    Assault("a length of an exabyte", _with(b"content-length: %d\r\n" % 10**18), ([413],)),
    Assault("two lengths", _with(LENGTH + b"content-length: 1\r\n"), REFUSED),
    Assault("a length and chunks", _with(LENGTH + CHUNKED), REFUSED),
    Assault("a length that is too short", _with(b"content-length: 5\r\n"), ([400, 400], [400])),
    Assault("a length that is too long", _with(b"content-length: 100\r\n"), ([408],)),
]
CHUNKS = [
    Assault("sound chunks", _with(CHUNKED, b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)), OK),
    Assault("a chunk size that is no number", _with(CHUNKED, b"zz\r\n" + BODY), REFUSED),
    Assault("a chunk size below zero", _with(CHUNKED, b"-5\r\n" + BODY), REFUSED),
    Assault("a chunk size beyond 64 bits", _with(CHUNKED, b"f" * 20 + b"\r\n" + BODY), REFUSED),
    Assault("a chunk longer than its size", _with(CHUNKED, b"2\r\n" + BODY + b"\r\n0\r\n\r\n"), REFUSED),
    Assault("chunks without an end", _with(CHUNKED, b"%x\r\n%s\r\n" % (len(BODY), BODY)), ([408],)),
    Assault(
        "chunks beyond the limit", [*_with(CHUNKED, b""), *[b"8000\r\n" + bytes(0x8000) + b"\r\n"] * 40], ([413], [])
    ),
    Assault("chunks of a byte", [*_with(CHUNKED, b""), *(b"1\r\n%c\r\n" % byte for byte in BODY), b"0\r\n\r\n"], OK),
    Assault("another transfer encoding", _with(b"transfer-encoding: gzip\r\n"), REFUSED),
]
SLOW = [
    Assault("a body a byte at a time", [HEAD + LENGTH + b"\r\n", *(b"%c" % byte for byte in BODY)], ([408],), 0.1),
    Assault("a body that never comes", [HEAD + LENGTH + b"\r\n"], ([408],)),
    Assault("a head a line at a time", [HEAD, *[b"x-a: b\r\n"] * 5, LENGTH + b"\r\n" + BODY], OK, 0.02),
    Assault("a head without an end", [HEAD, *[b"x-a: b\r\n"] * 30], ([408],), 0.1),
    Assault("half a head behind a request", [SMALL + HEAD], ([200, 408],)),
    Assault("a body after its refusal", [DEAF, *[b"x"] * 30], ([405],), 0.1),
]
FLOODS = [
    Assault(
        "a thousand headers", _with(b"".join(b"x-%d: y\r\n" % i for i in range(1000)) + LENGTH), ([200], [400], [431])
    ),
    Assault("a header of 30 MB", [HEAD + b"x-a: ", *[bytes(2**20).replace(b"\0", b"y")] * 30], ([431], [])),
    Assault("200,000 headers", [HEAD, *[b"".join(b"x-%d: y\r\n" % i for i in range(10_000))] * 20], ([431], [400], [])),
    Assault("a header of 200 kB", _with(b"x-a: " + b"y" * 200_000 + b"\r\n" + LENGTH), ([200], [400], [431], [])),
    Assault("a coding of 60,000 letters", _with(b"accept-encoding: " + b"a" * 60_000 + b"!\r\n" + LENGTH), OK),
    Assault("a media type of 60,000 characters", _with(b"accept: a/b" + b";" * 60_000 + b"\r\n" + LENGTH), ([406],)),
    Assault("a megabyte behind a body", [*CHUNKED_BODY, *[b"x-a: b\r\n" * 10_000] * 12, b"\r\n"], OK),
    Assault("ten megabytes behind a body", [*CHUNKED_BODY, *[b"x-a: b\r\n" * 10_000] * 120, b"\r\n"], ([413],)),
    Assault("a query of 10,000 characters", _get(b"/v1/models?" + b"a" * 10_000), OK),
    Assault("a path of 100,000 characters", _get(b"/" + b"a" * 100_000), ([404], [400], [414], [])),
    Assault("requests in one piece", [SMALL * 20], ([200] * 20,)),
    Assault("requests cut anywhere", [SMALL[:50], SMALL[50:] + SMALL[:-3], SMALL[-3:] + SMALL], ([200] * 3,), 0.05),
]
HEADERS = [
    Assault("two content types", _with(b"content-type: text/csv\r\n" + LENGTH), ([415], [200], [400])),
    Assault("two lines of what is accepted", _with(b"accept: a/b\r\naccept: */*\r\n" + LENGTH), ([200],)),
    Assault("two hosts", _with(b"host: y\r\n" + LENGTH), ([200], [400])),
    Assault("a NUL in a header", _with(b"x-a: b\x00c\r\n" + LENGTH), REFUSED),
    Assault("a header that is folded", _with(b"x-a: b\r\n c\r\n" + LENGTH), (*REFUSED, [200])),
    Assault("a header without a colon", _with(b"nonsense\r\n" + LENGTH), REFUSED),
    Assault("a request id over several lines", _with(b"x-request-id: a\nb: c\r\n" + LENGTH), (*REFUSED, [200])),
    Assault("a promise to wait", _with(b"expect: 100-continue\r\n" + LENGTH), ([100, 200], [200])),
    Assault("an upgrade", _with(b"connection: upgrade\r\nupgrade: h2c\r\n" + LENGTH), ([200],)),
    Assault("a request in the body of an upgrade", [HEAD + UPGRADE + b"\r\n", SMALL], ([400],), 0.2),
]
LINES = [
    Assault("noise", [bytes(range(256)) * 8], REFUSED),
    Assault("a TLS greeting", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)], REFUSED),
    Assault("HTTP/2", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], (*REFUSED, [505])),
    Assault("HTTP/0.9", [b"GET /livez\r\n\r\n"], (*REFUSED, [200])),
    Assault("an unknown method", [SMALL.replace(b"POST", b"BREW")], (*REFUSED, [405])),
    Assault("a method without an end", [b"A" * 100_000], REFUSED),
]
PATHS = [
    Assault(path.decode("latin-1"), _get(path), ([404], [400]))
    for path in (
        b"/%00",
        b"/v1/models/%00",
        b"/v1/models/convnet%00",
        b"/v2/models/%00/ready",
        b"/v2/models/%ff%fe",
        b"/v1/models/..%2f..%2fetc%2fpasswd",
        b"/static_content/..%2f..%2f..%2fetc%2fpasswd",
        b"/static_content/%00",
        b"//v1/models",
        b"/v1/models/%",
    )
]
ASSAULTS = [*LENGTHS, *CHUNKS, *SLOW, *FLOODS, *HEADERS, *LINES, *PATHS]
