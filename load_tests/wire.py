"""HTTP/1.1 by hand: a client that knows exactly which bytes went out and which came back."""

import asyncio
from typing import NamedTuple


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Broken(Exception):
    """The connection ended before the answer did: `received` bytes of it were there, on the client's `port`."""

    def __init__(self, received: int, port: int | None = None) -> None:
        super().__init__(f"the connection broke after {received} bytes of the answer")
        self.received, self.port = received, port


class Wire:
    """A connection to `port` of this machine, opened when it is needed and again after it broke."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> Reply:
        """Send a whole request, read the whole answer. Raises Broken."""
        await self.send(request)
        return await self.answer()

    async def send(self, data: bytes) -> None:
        """Raises Broken."""
        try:
            if self._reader is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise self._break(0) from None

    async def answer(self) -> Reply:
        """The next answer. Raises Broken."""
        assert self._reader is not None
        head = b""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head)
            body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        except asyncio.IncompleteReadError as error:
            raise self._break(len(head) + len(error.partial)) from None
        except OSError:
            raise self._break(len(head)) from None
        if headers.get("connection") == "close":
            self.close()
        return Reply(status, headers, body)

    def close(self, *, abruptly: bool = False) -> None:
        """`abruptly`: with a reset, as a client that crashes."""
        if self._reader is not None:
            self._reader = None
            if abruptly:
                self._writer.transport.abort()
            else:
                self._writer.close()

    def _break(self, received: int) -> Broken:
        port = self._writer.get_extra_info("sockname")[1] if self._reader is not None else None
        self.close(abruptly=True)
        return Broken(received, port)


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers, these by lower-case name."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request. `content_type="..."` becomes `content-type: ...`."""
    given = {"host": "127.0.0.1", "content-length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body
