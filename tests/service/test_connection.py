"""What a connection may cost, seen from its other end: bytes in, bytes out, and when it is closed."""

import asyncio
import gc
import socket
import struct
import tracemalloc
import weakref
from collections import Counter
from time import monotonic

import pytest

from service.http.connection import OTHER_FILES, Connection
from service.settings import Settings
from tests.service.connections import BEGUN, LARGE, MIDDLING, SOON_S, WHOLE, Client, asking, codes, run, serving, until

COUNT = 20  # connections
MORE = 2000  # pieces than anybody waits for


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ([BEGUN], ["head_timeout"]),
        ([BEGUN, b"b"] + [b"c"] * MORE, ["head_timeout"]),
        ([WHOLE + BEGUN], ["ok", "head_timeout"]),
        ([b"\r\n"], []),
        ([WHOLE, b"\r\n"], ["ok"]),
        ([b"POST /deaf HTTP/1.1\r\ncontent-length: 100\r\n\r\n", *[b"x"] * MORE], ["ok"]),
    ],
    ids=["half", "drop by drop", "second", "none", "none after a request", "the rest of a body instead"],
)
def test_a_head_has_to_arrive_in_time(pieces: list[bytes], said: list[str]) -> None:
    async def scenario() -> None:
        async with serving(head_timeout_s=SOON_S) as served:
            client = await Client.to(served)
            assert codes(await client.exchange(pieces, pause_s=SOON_S / 20)) == said
            assert served.errors == ({("connection", "head_timeout"): 1} if "head_timeout" in said else {})

    run(scenario)


def test_a_head_in_time_is_not_hurried_by_the_time_of_another() -> None:
    async def scenario() -> None:
        async with serving(head_timeout_s=6 * SOON_S) as served:
            client = await Client.to(served)
            for _ in range(7):
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
        async with serving(head_timeout_s=6 * SOON_S, max_head_bytes=1024) as served:
            client, ask = await Client.to(served), asking("a" * 50)
            stream = ask * 200  # cut so that each piece ends in a head
            answers = asyncio.create_task(client.answers())
            for start in range(0, len(stream), 501):
                client.writer.write(stream[start : start + 501])
                await asyncio.sleep(SOON_S / 4)
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


def test_a_connection_without_a_request_is_closed_like_an_idle_one() -> None:
    async def scenario() -> None:
        async with serving(keep_alive_s=SOON_S / 2) as served:
            assert await (await Client.to(served)).is_closed()

    run(scenario)


def test_nothing_is_kept_of_a_connection_that_was_reset() -> None:
    async def scenario() -> None:
        async with serving() as served:
            client = await Client.to(served)
            client.writer.write(WHOLE)
            await client.answer()
            kept = weakref.ref(next(iter(served.server.server_state.connections)))
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            client.writer.transport.abort()
            await until(lambda: not served.connections)
            gc.collect()
            assert kept() is None

    run(scenario)


def test_a_connection_that_waits_keeps_nothing_of_what_was_asked() -> None:
    async def scenario() -> None:
        async with serving() as served:
            tracemalloc.start()
            for path in ("echo", "deaf"):
                for _ in range(COUNT):
                    client = await Client.to(served)
                    client.writer.write(b"POST /%s HTTP/1.1\r\nx-a: %s\r\n" % (path.encode(), b"a" * 10_000))
                    client.writer.write(b"content-length: 200000\r\n\r\n" + bytes(200_000))
                    await client.answer()
                    client.reader = asyncio.StreamReader()
                served.app.heads.clear()
            gc.collect()
            held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(False, __file__)])
            assert sum(trace.size for trace in held.traces) < 2 * COUNT * 20_000
            tracemalloc.stop()

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
            asked = monotonic()
            await until(lambda: not served.connections)
            assert monotonic() - asked > SOON_S / 2

    run(scenario)


def test_an_answer_that_is_read_slowly_is_read_to_its_end() -> None:
    async def scenario() -> None:
        async with serving(keep_alive_s=4 * SOON_S) as served:
            client = await Client.to(served)
            client.writer.write(asking(LARGE))
            left = LARGE
            await client.reader.readuntil(b"\r\n\r\n")
            while left:
                left -= len(await client.reader.read(2**20))
                await asyncio.sleep(SOON_S / 8)

    run(scenario)


def test_who_reads_an_answer_by_drops_is_given_up() -> None:
    async def scenario() -> None:
        async with serving(keep_alive_s=5 * SOON_S) as served:
            served.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                slow.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(slow, served.socket.getsockname()[:2])
                await loop.sock_sendall(slow, asking(LARGE))
                read = 0
                while served.connections and read < 12_000:
                    read += len(await loop.sock_recv(slow, 100))
                    await asyncio.sleep(SOON_S / 4)
            assert read < 12_000

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
            assert await clients[0].is_closed()
            assert not any([await client.is_closed(SOON_S) for client in clients[1:]])
            assert served.errors == {}

    run(scenario)


def test_where_all_connections_are_at_work_another_is_refused() -> None:
    async def scenario() -> None:
        async with serving(max_connections=2) as served:
            clients = [await Client.to(served) for _ in range(2)]
            for client in clients:
                client.writer.write(asking("slow"))
            await until(lambda: served.app.slow == 2)
            refused = await (await Client.to(served)).answers()
            assert codes(refused) == ["too_many_connections"]
            assert refused[0].headers["retry-after"] == "1"
            assert [(await client.answer()).status for client in clients] == [200, 200]
            assert served.errors == {("connection", "too_many_connections"): 1}

    run(scenario)


def test_connections_leave_open_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.connection.resource.getrlimit", lambda _: (1024, 4096))
    Connection.install(Settings(), Counter())
    assert Connection.room == 1024 - OTHER_FILES
