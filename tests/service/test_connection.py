"""What a connection may cost, seen from its other end: bytes in, bytes out, and when it is closed."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import orjson
import pytest
import uvicorn
import uvloop
from uvicorn.config import HTTP_PROTOCOLS

from load_tests.wire import Reply, parse_head
from service.connection import OTHER_FILES, Connection
from service.cork import Cork
from service.settings import Settings

SOON_S, PATIENCE_S = 0.2, 5.0
WHOLE = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nx-a: "
NONSENSE = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
LARGE = 2**24  # bytes: more than all socket buffers together
MIDDLING = 60_000  # less than what a transport has its protocol stop for


def asking(name: object) -> bytes:
    return WHOLE.replace(b"/", b"/%s" % str(name).encode(), 1)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])


class App:
    """Answers `/`, `/123` with so many bytes, `/echo` with the body, `/slow` after a while, `/deaf` unread.

    Remembers the heads of all requests, and those who asked for `/slow` and had hung up after it.
    """

    def __init__(self) -> None:
        self.heads: list[dict[bytes, bytes]] = []
        self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(3 * SOON_S)
            self.gone += receive.__self__.disconnected
        self.heads.append(dict(scope["headers"]))
        sent, more = b"", scope["path"] != "/deaf"
        while more:
            message = await receive()
            sent, more = sent + message.get("body", b""), message.get("more_body", False)
        wanted = scope["path"].removeprefix("/")
        body = bytes(int(wanted)) if wanted.isdigit() else sent if wanted == "echo" else b"hello"
        length = (b"content-length", b"%d" % len(body))
        with Cork(send):
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": body})


class Served:
    """A server in this process."""

    def __init__(self, server: uvicorn.Server, app: App, errors: Counter[tuple[str, str]]) -> None:
        self.server, self.app, self.errors = server, app, errors
        self.socket = server.servers[0].sockets[0]
        self.port = self.socket.getsockname()[1]
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


class Client:
    """The other end of a connection, closed with the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, served: Served) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        served.writers.append(writer)
        return cls(reader, writer)

    async def exchange(self, pieces: list[bytes], pause_s: float) -> list[Reply]:
        """All answers to what is sent for as long as the server does not close the connection."""
        answers = asyncio.create_task(self.answers())
        for piece in pieces:
            if not answers.done():
                self.writer.write(piece)
                await asyncio.sleep(pause_s)
        return await answers

    async def answers(self) -> list[Reply]:
        """All of them until the server closes the connection."""
        replies = []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    replies.append(await self.answer())
        return replies

    async def answer(self) -> Reply:
        status, headers = parse_head(await self.reader.readuntil(b"\r\n\r\n"))
        return Reply(status, headers, await self.reader.readexactly(int(headers["content-length"])))

    async def is_closed(self) -> bool:
        """Whether the server has closed the connection, having said nothing more."""
        try:
            async with asyncio.timeout(SOON_S):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False


@contextlib.asynccontextmanager
async def serving(keep_alive_s: float = PATIENCE_S, **settings: Any) -> AsyncIterator[Served]:
    errors: Counter[tuple[str, str]] = Counter()
    Connection.install(Settings(**settings), errors)
    app = App()
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="critical", timeout_keep_alive=keep_alive_s)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    served = Served(server, app, errors)
    try:
        yield served
    finally:
        for writer in served.writers:
            writer.transport.abort()
        server.should_exit = server.force_exit = True
        await running


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())  # type: ignore[arg-type]


def codes(replies: list[Reply]) -> list[str]:
    """What was refused, and how: every refusal is a problem, and the last word on its connection."""
    for reply in replies:
        if reply.status != 200:
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.headers["connection"] == "close"
            assert orjson.loads(reply.body)["request_id"] == reply.headers["x-request-id"]
            assert reply is replies[-1]
    return ["ok" if reply.status == 200 else orjson.loads(reply.body)["code"] for reply in replies]


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([BEGUN], ["head_timeout"]),
        ([BEGUN, b"b"] + [b"c"] * 40, ["head_timeout"]),
        ([WHOLE + BEGUN], ["ok", "head_timeout"]),
        ([b"\r\n"], []),
        ([WHOLE, b"\r\n"], ["ok"]),
        ([b"POST /deaf HTTP/1.1\r\ncontent-length: 100\r\n\r\n", *[b"x"] * 40], ["ok"]),
    ],
    ids=["half", "drop by drop", "second", "none", "none after a request", "the rest of a body instead"],
)
def test_a_head_has_to_arrive_in_time(pieces: list[bytes], said: list[str]) -> None:
    async def scenario() -> None:
        async with serving(head_timeout_s=SOON_S) as served:
            client, started = await Client.to(served), monotonic()
            assert codes(await client.exchange(pieces, pause_s=SOON_S / 20)) == said
            assert monotonic() - started < 4 * SOON_S
            assert served.errors == ({("connection", "head_timeout"): 1} if "head_timeout" in said else {})

    run(scenario)


def test_a_head_in_time_is_not_hurried_by_the_time_of_another() -> None:
    async def scenario() -> None:
        async with serving(head_timeout_s=3 * SOON_S) as served:
            client = await Client.to(served)
            for _ in range(4):
                client.writer.write(WHOLE[:9])
                await asyncio.sleep(SOON_S)
                client.writer.write(WHOLE[9:])
                assert (await client.answer()).status == 200

    run(scenario)


def test_requests_before_a_late_head_get_their_answers() -> None:
    async def scenario() -> None:
        async with serving(head_timeout_s=SOON_S) as served:
            client = await Client.to(served)
            client.writer.write(asking("slow") + BEGUN)
            assert codes(await client.answers()) == ["ok", "head_timeout"]

    run(scenario)


def test_requests_that_follow_each_other_without_end_have_all_their_time_and_size() -> None:
    async def scenario() -> None:
        async with serving(head_timeout_s=2 * SOON_S, max_head_bytes=1024) as served:
            client, ask = await Client.to(served), asking("a" * 50)
            stream = ask * 200  # cut so that each piece ends in a head
            answers = asyncio.create_task(client.answers())
            for start in range(0, len(stream), 501):
                client.writer.write(stream[start : start + 501])
                await asyncio.sleep(SOON_S / 8)
            client.writer.write_eof()
            assert [reply.status for reply in await answers] == [200] * 200

    run(scenario)


def test_a_head_has_a_largest_size() -> None:
    async def scenario() -> None:
        async with serving(max_head_bytes=4096) as served:
            client = await Client.to(served)
            replies = await client.exchange([BEGUN, *[b"a" * 1000] * 10], pause_s=0.01)
            assert codes(replies) == ["head_too_large"]
            assert served.errors == {("connection", "head_too_large"): 1}

    run(scenario)


def test_a_body_is_not_taken_for_a_head() -> None:
    async def scenario() -> None:
        async with serving(max_head_bytes=4096) as served:
            for path in (b"/", b"/deaf"):
                client = await Client.to(served)
                client.writer.write(b"POST %s HTTP/1.1\r\ncontent-length: 100000\r\n\r\n" % path)
                for _ in range(10):
                    await asyncio.sleep(0.01)
                    client.writer.write(bytes(10_000))
                client.writer.write(WHOLE)
                assert [(await client.answer()).status for _ in range(2)] == [200, 200]

    run(scenario)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x16\x03\x01\x02\x00\x01", ["malformed_request"]),
        (WHOLE + b"nonsense\r\n\r\n", ["ok", "malformed_request"]),
        (asking("slow") + WHOLE + b"nonsense\r\n\r\n", ["ok", "ok", "malformed_request"]),
        (NONSENSE, ["malformed_request"]),
        (asking("slow") + NONSENSE, ["ok", "malformed_request"]),
        (asking("slow").replace(b"host: x", b"connection: close") + b"nonsense\r\n\r\n", ["ok"]),
    ],
    ids=["no HTTP", "behind a request", "behind two", "in a body", "in a body behind a request", "behind the last"],
)
def test_what_is_no_http_is_refused_after_what_was(sent: bytes, said: list[str]) -> None:
    async def scenario() -> None:
        async with serving() as served:
            client = await Client.to(served)
            client.writer.write(sent)
            assert codes(await client.answers()) == said

    run(scenario)


UPGRADE = b"POST /echo HTTP/1.1\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEA\r\n"
LENGTH = UPGRADE + b"content-length: 5\r\n\r\n"
CHUNKED = UPGRADE + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "bodies"),
    [
        ([LENGTH + b"first"], [b"first"]),
        ([LENGTH, b"fir", b"st"], [b"first"]),
        ([CHUNKED + b"3\r\nfir\r\n", b"2\r\nst\r\n0\r\n\r\n"], [b"first"]),
        ([UPGRADE + b"\r\n"], [b""]),
        ([WHOLE + LENGTH + b"first" + WHOLE], [b"hello", b"first", b"hello"]),
        ([LENGTH + b"first", LENGTH + b"again", WHOLE], [b"first", b"again", b"hello"]),
        ([LENGTH + b"first" + CHUNKED + b"5\r\nagain\r\n0\r\n\r\n"], [b"first", b"again"]),
    ],
    ids=["whole", "in pieces", "chunked", "none", "between others", "one after the other", "two in one piece"],
)
def test_an_upgrade_that_is_not_taken_loses_nothing(pieces: list[bytes], bodies: list[bytes]) -> None:
    async def scenario() -> None:
        async with serving() as served:
            client = await Client.to(served)
            for piece in pieces:
                client.writer.write(piece)
                await asyncio.sleep(SOON_S / 10)
            assert [(await client.answer()).body for _ in bodies] == bodies

    run(scenario)


DEAF = b"POST /deaf HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % LARGE


def test_who_sends_all_before_listening_gets_the_answer() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for last_words in (DEAF, WHOLE + b"nonsense\r\n\r\n", BEGUN + b"a" * 100_000):
                client = await Client.to(served)
                client.writer.write(last_words)
                for _ in range(LARGE // 2**20):
                    await asyncio.sleep(SOON_S / 100)
                    client.writer.write(b"x" * 2**20)
                    await client.writer.drain()
                assert len(await client.answers()) == (2 if last_words.startswith(WHOLE) else 1)

    run(scenario)


def test_who_neither_sends_the_rest_nor_hangs_up_is_hung_up_on() -> None:
    async def scenario() -> None:
        async with serving(body_timeout_s=2 * SOON_S) as served:
            client = await Client.to(served)
            client.writer.write(DEAF)
            assert (await client.answer()).body == b"hello"
            assert await client.is_closed()
            assert served.connections == 1  # for it may still be sending
            await asyncio.sleep(3 * SOON_S)
            assert served.connections == 0

    run(scenario)


def test_what_follows_a_body_is_no_part_of_the_head() -> None:
    async def scenario() -> None:
        async with serving(max_body_bytes=10_000) as served:
            client = await Client.to(served)
            client.writer.write(b"POST /echo HTTP/1.1\r\nx-api-key: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
            client.writer.write(b"x-api-key: b\r\n\r\n" + WHOLE)
            assert [(await client.answer()).status for _ in range(2)] == [200, 200]
            assert served.app.heads == [{b"x-api-key": b"a", b"transfer-encoding": b"chunked"}, {b"host": b"x"}]

    run(scenario)


@pytest.mark.parametrize("field", [b"x: y\r\n", b"y"], ids=["many fields", "a long one"])
def test_what_follows_a_body_is_bounded(field: bytes) -> None:
    async def scenario() -> None:
        async with serving(max_body_bytes=10_000) as served:
            client = await Client.to(served)
            client.writer.write(b"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nz: ")
            replies = await client.exchange([field * 5_000] * 40, pause_s=0.01)
            assert codes(replies) == ["body_too_large"]

    run(scenario)


def test_only_so_many_requests_are_read_ahead() -> None:
    async def scenario() -> None:
        async with serving() as served:
            client = await Client.to(served)
            client.writer.transport.set_write_buffer_limits(0)
            client.writer.write(asking("slow") + WHOLE * (LARGE // len(WHOLE)))
            await asyncio.sleep(SOON_S)
            protocol: Any = next(iter(served.server.server_state.connections))
            assert len(protocol.pipeline) < 300_000 / len(WHOLE)  # what uvloop reads at once
            await asyncio.sleep(3 * SOON_S)
            assert len(protocol.pipeline) < 300_000 / len(WHOLE)

    run(scenario)


def test_who_is_gone_is_gone_for_the_request_at_work_too() -> None:
    async def scenario() -> None:
        async with serving() as served:
            client = await Client.to(served)
            client.writer.write(asking("slow") + WHOLE)
            await asyncio.sleep(SOON_S)
            protocol: Any = next(iter(served.server.server_state.connections))
            protocol.transport.abort()  # as a hang-up does, once it is noticed
            await asyncio.sleep(3 * SOON_S)
            assert served.app.gone == 1

    run(scenario)


def test_on_leaving_every_answer_is_the_last_of_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with serving() as served:
            client = await Client.to(served)
            client.writer.write(WHOLE)
            assert "connection" not in (await client.answer()).headers
            monkeypatch.setattr(Connection, "leaving", True)
            client.writer.write(WHOLE)
            assert (await client.answer()).headers["connection"] == "close"
            assert await client.is_closed()

    run(scenario)


def test_a_connection_without_a_request_is_closed_like_an_idle_one() -> None:
    async def scenario() -> None:
        async with serving(keep_alive_s=SOON_S / 2) as served:
            assert await (await Client.to(served)).is_closed()

    run(scenario)


@pytest.mark.parametrize("close", [b"", b"connection: close\r\n"], ids=["kept", "closed"])
@pytest.mark.parametrize("size", [LARGE, MIDDLING], ids=["large", "middling"])
def test_an_answer_that_nobody_reads_is_given_up(size: int, close: bytes) -> None:
    async def scenario() -> None:
        async with serving(keep_alive_s=SOON_S) as served:
            served.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client = await Client.to(served)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.writer.write(asking(size) + asking(size).replace(b"host", close + b"host"))
            await asyncio.sleep(SOON_S / 2)
            assert served.connections == 1
            await asyncio.sleep(4 * SOON_S)
            assert served.connections == 0

    run(scenario)


def test_an_answer_that_is_read_slowly_is_read_to_its_end() -> None:
    async def scenario() -> None:
        async with serving(keep_alive_s=SOON_S) as served:
            client = await Client.to(served)
            client.writer.write(asking(LARGE))
            left = LARGE
            await client.reader.readuntil(b"\r\n\r\n")
            while left:
                left -= len(await client.reader.read(2**20))
                await asyncio.sleep(SOON_S / 8)

    run(scenario)


def test_of_too_many_connections_one_that_waits_for_a_request_makes_room() -> None:
    async def scenario() -> None:
        async with serving(max_connections=3) as served:
            clients = []
            for _ in range(4):
                clients.append(await Client.to(served))
                clients[-1].writer.write(WHOLE)
                assert (await clients[-1].answer()).status == 200
                await asyncio.sleep(0.01)
            assert [await client.is_closed() for client in clients] == [True, False, False, False]
            assert served.errors == {}

    run(scenario)


def test_where_all_connections_are_at_work_another_is_refused() -> None:
    async def scenario() -> None:
        async with serving(max_connections=2) as served:
            clients = [await Client.to(served) for _ in range(2)]
            for client in clients:
                client.writer.write(asking("slow"))
            await asyncio.sleep(SOON_S)
            refused = await (await Client.to(served)).answers()
            assert codes(refused) == ["too_many_connections"]
            assert refused[0].headers["retry-after"] == "1"
            assert [(await client.answer()).status for client in clients] == [200, 200]
            assert served.errors == {("connection", "too_many_connections"): 1}

    run(scenario)


def test_connections_leave_open_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.connection.resource.getrlimit", lambda _: (1024, 4096))
    Connection.install(Settings(), Counter())
    assert Connection.room == 1024 - OTHER_FILES
