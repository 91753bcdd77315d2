"""Rows that are answered while others arrive: any number of them, in steady memory, and errors where they belong."""

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain
from typing import Any

import httpx
import orjson
import psutil
import pyarrow as pa
import pytest

from tests.conftest import Here, assert_refused
from tests.service.test_arrow import ARROW, as_stream
from tests.service.test_credit import as_csv, typed

CSV, NDJSON = "text/csv", "application/x-ndjson"
TABLE = "/v1/tables/predict"
MODEL = "model=toy-table&stream=true"
KINDS = b"flat", b"house"
HEADER = b"id,kind,rooms\n"


class Stream:
    """One request in this process: chunks go in as the app asks for them, pieces come out."""

    def __init__(self, lane: Here, chunks: Iterable[bytes], media: str = CSV, query: str = MODEL, accept: str = "*/*"):
        self.chunks, self.asked, self.pieces = iter([*chunks]), 0, []
        self.status, self.headers = 0, httpx.Headers()
        self.on_piece: Callable[[], Awaitable[None]] | None = None
        headers = {b"host": b"x", b"content-type": media.encode(), b"accept": accept.encode()}
        scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": TABLE, "headers": [*headers.items()]}
        self._run = lane.app(scope | {"query_string": query.encode()}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        self.asked += 1
        await asyncio.sleep(0)
        chunk = next(self.chunks, None)
        if chunk == b"hang up":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], httpx.Headers(message["headers"])
        elif message["body"]:
            self.pieces.append(message["body"])
            if self.on_piece is not None:
                await self.on_piece()

    async def go(self) -> "Stream":
        await self._run
        return self

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.body.decode())))


def lines(count: int, first: int = 0) -> list[bytes]:
    return [b"%d,%s,%d\n" % (number, KINDS[number % 2], 1 + number % 9) for number in range(first, first + count)]


def streamed(lane: Here, chunks: Iterable[bytes], *args: str, **options: str) -> Stream:
    async def run() -> Stream:
        return await Stream(lane, chunks, *args, **options).go()

    return asyncio.run(run())


def whole(lane: Here, body: bytes) -> list[dict[str, str]]:
    answer = lane("POST", f"{TABLE}?model=toy-table", content=body, headers={"content-type": CSV, "accept": CSV})
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_answers_what_whole_tables_do_wherever_it_is_cut(lane: Here, size: int) -> None:
    body = HEADER + b"".join(lines(32)).replace(b"\n31,", b'\n"3\n1",')
    found = streamed(lane, [body[place : place + size] for place in range(0, len(body), size)])
    assert found.status == 200
    assert found.headers["x-model"] == "toy-table"
    assert found.headers["x-csv-separator"] == "comma"
    assert found.rows == [row | {"error": ""} for row in whole(lane, body)]


def test_answers_leave_while_rows_arrive(lane: Here) -> None:
    seen: list[int] = []

    async def run() -> None:
        stream = Stream(lane, [HEADER, *(b"".join(lines(300, 300 * number)) for number in range(5))])

        async def look() -> None:
            seen.append(stream.asked)

        stream.on_piece = look
        await stream.go()
        assert len(stream.rows) == 1500  # more than one request may have

    asyncio.run(run())
    assert seen[0] < seen[-1]
    assert seen[0] <= 3


def test_nobody_is_read_from_who_does_not_read(lane: Here) -> None:
    async def run() -> None:
        stream, read = Stream(lane, [HEADER, *(b"".join(lines(200)) for _ in range(50))]), asyncio.Event()
        stream.on_piece = read.wait
        going = asyncio.create_task(stream.go())
        while not stream.pieces:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert stream.asked <= 4
        read.set()
        await going
        assert len(stream.rows) == 10_000

    asyncio.run(run())


def test_memory_does_not_grow_with_the_rows(lane: Here) -> None:
    def peak(count: int) -> int:
        most, process = 0, psutil.Process()

        async def run() -> None:
            nonlocal most
            stream = Stream(lane, [])
            stream.chunks = chain([HEADER], (b"".join(lines(1000, first)) for first in range(0, count, 1000)))

            async def look() -> None:
                nonlocal most
                stream.pieces.clear()
                most = max(most, process.memory_info().rss)

            stream.on_piece = look
            await stream.go()

        asyncio.run(run())
        return most

    peak(2_000)
    few = peak(10_000)
    assert peak(100_000) < few + 8 * 2**20  # the rows alone have 1.2 MB, their cells and answers some 50


def test_others_are_answered_meanwhile(lane: Here) -> None:
    async def run() -> None:
        stream = Stream(lane, [HEADER, *(b"".join(lines(500)) for _ in range(40))])
        going = asyncio.create_task(stream.go())
        while not stream.pieces:
            await asyncio.sleep(0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(lane.app), base_url="http://here") as client:
            answer = await client.post(f"{TABLE}?model=toy-table", json={"rows": [{"kind": "flat", "rooms": 2}]})
        assert answer.status_code == 200
        assert not going.done()
        await going

    asyncio.run(run())


def test_a_wrong_row_ends_the_stream_in_its_last_row(lane: Here) -> None:
    chunks = [HEADER, b"".join(lines(300)), b"".join(lines(3, 300)) + b"x,flat,1000\n" + b"".join(lines(5, 304))]
    found = streamed(lane, chunks)
    assert found.status == 200
    assert len(found.rows) == 304
    assert found.rows[302]["error"] == ""
    assert set(found.rows[303].values()) == {"", "rows[303].rooms: Must be a number from 1 to 10."}


def test_a_wrong_row_among_the_first_is_refused_as_ever(lane: Here) -> None:
    async def run() -> httpx.Response:
        stream = await Stream(lane, [HEADER + b"1,flat,1000\n2,x,3\n"]).go()
        return httpx.Response(stream.status, headers=stream.headers, content=stream.body)

    answer = asyncio.run(run())
    assert_refused(answer, 422, "invalid_value", "rows[0].rooms")
    assert answer.json()["error_count"] == 2


def test_wrong_rows_are_skipped_where_that_is_asked(lane: Here) -> None:
    chunks = [HEADER, b"x,flat,1000\n", b"".join(lines(300)), b"y,flat,1000\n"]
    found = streamed(lane, chunks, query=f"{MODEL}&on_error=skip")
    assert [place for place, row in enumerate(found.rows) if row["error"]] == [0, 301]
    assert all(bool(row["error"]) != bool(row[[*row][-2]]) for row in found.rows)
    lined = streamed(lane, chunks, query=f"{MODEL}&on_error=skip", accept=NDJSON)
    told = [orjson.loads(line) for line in lined.body.splitlines()]
    assert told[-1] == {"rows": 302, "skipped": 2}
    assert told[301]["row"] == 302
    assert told[301]["errors"][0]["field"] == "rows[301].rooms"
    assert told[1]["row"] == 2
    assert "errors" not in told[1]


def test_lines_of_json(lane: Here) -> None:
    rows = [orjson.dumps({"kind": "flat", "rooms": 1 + number % 9}) for number in range(600)]
    found = streamed(lane, [b"\n".join(rows)[:5000], b"\n".join(rows)[5000:]], NDJSON)
    *told, last = [orjson.loads(line) for line in found.body.splitlines()]
    assert last == {"rows": 600, "skipped": 0}
    answer = lane("POST", f"{TABLE}?model=toy-table", json={"rows": [orjson.loads(row) for row in rows[:32]]}).json()
    assert told[:32] == [{"row": place + 1, **one} for place, one in enumerate(answer["predictions"])]
    broken = streamed(lane, [*(row + b"\n" for row in rows[:3]), b"{\n"], NDJSON)
    assert orjson.loads(broken.body.splitlines()[-1])["error"]["code"] == "malformed_body"
    twice = streamed(lane, [rows[0] + b"\n", b'{"rooms": 2, "rooms": 3, "kind": "flat"}\n'], NDJSON)
    assert orjson.loads(twice.body.splitlines()[-1])["error"]["field"] == "rows[1].rooms"


def test_an_arrow_stream_in_and_out(lane: Here) -> None:
    rooms = [100 if number == 700 else 1 + number % 9 for number in range(1000)]
    table = pa.table({"id": range(1000), "kind": ["flat", "house"] * 500, "rooms": rooms})
    body = as_stream(table)
    found = streamed(lane, [body[:100], body[100:9000], body[9000:]], ARROW, query=f"{MODEL}&on_error=skip")
    answered = pa.ipc.open_stream(found.body).read_all()
    assert answered.select(table.column_names).equals(table)
    assert [place for place, error in enumerate(answered["error"].to_pylist()) if error] == [700]
    assert answered.column(3)[700].as_py() is None
    ended = streamed(lane, [body], ARROW)
    last = pa.ipc.open_stream(ended.body).read_all().to_pylist()
    assert len(last) == 701
    assert last[-1]["error"].startswith("rows[700].rooms")


def test_a_decimal_comma_that_shows_once_holds_for_what_follows(lane: Here) -> None:
    chunks = [b"kind;rooms\nflat;2,5\n" + b"flat;2\n" * 20, b"flat;1,125\n" * 2 + b"house;3,125\n"]
    found = streamed(lane, chunks, query=f"{MODEL}&on_error=skip")
    assert found.headers["x-csv-decimal"] == "comma"
    assert b"thousands" not in found.body
    assert b"house;3,125;362,5;" in found.body


def test_who_hangs_up_ends_it(lane: Here) -> None:
    found = streamed(lane, [HEADER, b"".join(lines(300)), b"hang up", b"".join(lines(300))])
    assert found.asked == 3
    assert len(found.rows) == 300


@pytest.mark.parametrize(
    ("media", "query", "status", "code"),
    [
        ("application/json", MODEL, 415, "unsupported_media"),
        (CSV, f"{MODEL}&modle=x", 422, "invalid_value"),
        (CSV, MODEL.replace("toy-table", "nobody"), 404, "unknown_model"),
        (CSV, MODEL.replace("true", "perhaps"), 422, "invalid_value"),
    ],
)
def test_what_the_head_gets_wrong_is_refused(lane: Here, media: str, query: str, status: int, code: str) -> None:
    answer = lane("POST", f"{TABLE}?{query}", content=HEADER + lines(1)[0], headers={"content-type": media})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_applicants_stream_with_their_codes(lane: Here, applicants: list[dict[str, str]]) -> None:
    body, path = as_csv(applicants[:20]), "/v1/credit/score?model=toy-credit"
    found = lane("POST", f"{path}&stream=true", content=body, headers={"content-type": CSV, "accept": NDJSON})
    told = [orjson.loads(line) for line in found.text.splitlines()][:-1]
    asked = lane("POST", path, json={"applicants": [typed(row) for row in applicants[:20]]}).json()
    assert told == [{"row": place + 1, **one} for place, one in enumerate(asked["predictions"])]
