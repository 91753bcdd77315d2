"""A server in this process and its clients, to see of a connection what its other end sees."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import uvicorn
import uvloop

from load_tests.wire import Reply, parse_head
from service.http.coalescing import CoalescedWrites
from service.http.connection import Connection
from service.settings import Settings

SOON_S, PATIENCE_S = 0.2, 10.0  # what a test waits for, and how long at most: this machine may have more to do
WHOLE = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nx-a: "
NONSENSE = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n"
LARGE = 2**24  # bytes: more than all socket buffers together
MIDDLING = 60_000  # less than what a transport has its protocol stop for


def asking(name: object) -> bytes:
    return WHOLE.replace(b"/", b"/%s" % str(name).encode(), 1)


class App:
    """Answers `/`, `/123` with so many bytes, `/echo` with the body, `/slow` after a while, `/deaf` unread.

    Remembers the heads of all requests, how many asked for `/slow`, and who of them had hung up after it.
    """

    def __init__(self) -> None:
        self.heads: list[dict[bytes, bytes]] = []
        self.slow = self.gone = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            self.slow += 1
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
        with CoalescedWrites(receive):
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

    async def is_closed(self, within_s: float = PATIENCE_S) -> bool:
        """Whether the server closes the connection, saying nothing more."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False


async def until(holds: Callable[[], bool]) -> None:
    """Raises TimeoutError when it does not come true."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(
    keep_alive_s: float = PATIENCE_S, around: Callable[[Any], Any] = lambda app: app, **settings: Any
) -> AsyncIterator[Served]:
    """`around` is middleware."""
    errors: Counter[tuple[str, str]] = Counter()
    Connection.install(Settings(**settings), errors)
    app = App()
    config = uvicorn.Config(
        around(app),
        port=0,
        lifespan="off",
        log_level="critical",
        timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
    )
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
