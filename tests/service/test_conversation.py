"""What is said on a connection: nothing of a request is lost or added to it, and no answer at its end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware

from service.http.connection import Connection
from tests.service.connections import BEGUN, LARGE, NONSENSE, SOON_S, WHOLE, Client, asking, codes, run, serving, until


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
            assert sum(served.errors.values()) == said.count("malformed_request")

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


@pytest.mark.parametrize("around", [lambda app: app, CORSMiddleware], ids=["alone", "behind middleware"])
def test_who_sends_all_before_listening_gets_the_answer(around: Callable[[Any], Any]) -> None:
    async def scenario() -> None:
        async with serving(around=around) as served:
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
        async with serving(body_timeout_s=4 * SOON_S) as served:
            client = await Client.to(served)
            client.writer.write(DEAF)
            assert (await client.answer()).body == b"hello"
            assert await client.is_closed()
            assert served.connections == 1  # for it may still be sending
            await until(lambda: not served.connections)

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
            await until(lambda: served.app.slow == 1)
            protocol: Any = next(iter(served.server.server_state.connections))
            protocol.transport.abort()  # as a hang-up does, once it is noticed
            await until(lambda: served.app.gone == 1)

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
