"""Tables of Arrow and Parquet: they score as their CSV does, come back as they were sent, and lie to nobody's harm."""

import io
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.codecs.arrow import Frames, read_parquet, read_stream
from service.codecs.arrow_frames import page_at
from service.errors import BodyTooLarge, MalformedBody, QuartetError
from service.limits import Limits
from tests.conftest import Here, assert_refused
from tests.service.test_credit import PATH, as_csv, typed

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
LIMITS = Limits(32, 1)


def as_stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


FORMS: dict[str, tuple[Callable[..., bytes], Callable[[bytes], pa.Table]]] = {
    ARROW: (as_stream, lambda body: pa.ipc.open_stream(body).read_all()),
    PARQUET: (as_parquet, lambda body: pq.read_table(io.BytesIO(body))),
}


@pytest.fixture
def table(applicants: list[dict[str, str]]) -> pa.Table:
    return pa.Table.from_pylist([{"id": number, **typed(row)} for number, row in enumerate(applicants[:20])])


def ask(lane: Here, body: bytes, media: str, query: str = "", **headers: str) -> Any:
    return lane("POST", PATH + query, content=body, headers={"content-type": media, **headers})


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize("shape", ["plain", "dictionaries", "compressed", "in batches"])
def test_a_table_with_types_scores_as_its_csv(
    lane: Here, applicants: list[dict[str, str]], table: pa.Table, media: str, shape: str
) -> None:
    options: dict[str, Any] = {}
    if shape == "dictionaries":
        coded = [column.dictionary_encode() if pa.types.is_string(column.type) else column for column in table.columns]
        table = pa.table(coded, names=table.column_names)
    if shape == "compressed":
        options = {"compression": "zstd"}
    if shape == "in batches":
        table = pa.concat_tables([table[:7], table[7:]])
    answer = ask(lane, FORMS[media][0](table, **options), media)
    assert answer.status_code == 200, answer.text
    assert (
        answer.json()
        == lane("POST", PATH, content=as_csv(applicants[:20]), headers={"content-type": "text/csv"}).json()
    )
    assert "x-csv-separator" not in answer.headers


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize("sent", [ARROW, PARQUET, "text/csv"])
def test_an_answer_is_the_table_with_columns_behind_it(
    lane: Here, applicants: list[dict[str, str]], table: pa.Table, media: str, sent: str
) -> None:
    body = as_csv(applicants[:20]).encode() if sent == "text/csv" else FORMS[sent][0](table)
    scores = ask(lane, body, sent).json()["predictions"]
    found = FORMS[media][1](ask(lane, body, sent, accept=media).content)
    assert found.column_names[-2:] == ["default_probability", "decision"]
    np.testing.assert_allclose(found["default_probability"], [one["default_probability"] for one in scores], atol=1e-6)
    assert found["decision"].to_pylist() == [one["decision"] for one in scores]
    if sent != "text/csv":
        assert found.select(table.column_names).equals(table)


@pytest.mark.parametrize("media", FORMS)
def test_skipped_rows_have_an_error_and_nothing_else(lane: Here, table: pa.Table, media: str) -> None:
    ages = pa.array([17 if row == 3 else age for row, age in enumerate(table["age_years"].to_pylist())])
    wrong = table.set_column(table.column_names.index("age_years"), "age_years", ages)
    assert_refused(ask(lane, FORMS[media][0](wrong), media), 422, "invalid_value", "applicants[3].age_years")
    answer = ask(lane, FORMS[media][0](wrong), media, "&on_error=skip", accept=media)
    assert answer.headers["x-rows-skipped"] == "1"
    rows = FORMS[media][1](answer.content).to_pylist()
    assert rows[3]["default_probability"] is None
    assert "age_years" in rows[3]["error"]
    assert all(row["error"] is None and row["decision"] for row in rows if row["id"] != 3)


@pytest.mark.parametrize("media", FORMS)
def test_what_no_csv_could_say_is_refused_by_name(lane: Here, table: pa.Table, media: str) -> None:
    nested = table.append_column("inner", pa.array([[1]] * len(table)))
    assert_refused(ask(lane, FORMS[media][0](nested), media), 422, "invalid_value", "inner")
    assert_refused(ask(lane, FORMS[media][0](table[:0]), media), 400, "empty_body")
    many = pa.concat_tables([table, table])
    assert_refused(ask(lane, FORMS[media][0](many), media), 422, "too_many_rows", "applicants")


def test_a_column_twice_is_refused(lane: Here, table: pa.Table) -> None:
    twice = pa.table([*table.columns, table["age_years"]], names=[*table.column_names, "age_years"])
    assert_refused(ask(lane, as_stream(twice), ARROW), 422, "invalid_value", "age_years")


@pytest.mark.parametrize("media", FORMS)
def test_a_damaged_body_is_refused(table: pa.Table, media: str) -> None:
    """Each byte in turn: a clear refusal or an answer, and never a crash."""
    body = FORMS[media][0](table[:2].select(["id", "age_years", "job"]))
    read = read_stream if media == ARROW else read_parquet
    for place in range(0, len(body), 3):
        for value in (0, 255, body[place] ^ 1):
            damaged = body[:place] + bytes([value]) + body[place + 1 :]
            with suppress(QuartetError):
                read(damaged, "rows", LIMITS)
    for end in range(0, len(body), 17):
        with pytest.raises(QuartetError):
            read(body[:end], "rows", LIMITS)


def test_what_would_take_gigabytes_is_refused_by_its_header(table: pa.Table) -> None:
    texts = pa.table({"text": ["x" * 60_000] * 20})
    body = as_stream(texts, compression="zstd")
    size = struct.pack("<q", 20 * 60_000)
    assert body.count(size) == 1
    with pytest.raises(BodyTooLarge):
        read_stream(body.replace(size, struct.pack("<q", 2**40)), "rows", LIMITS)
    file = as_parquet(texts, compression="zstd", use_dictionary=False)
    first = pq.ParquetFile(io.BytesIO(file)).metadata.row_group(0).column(0).data_page_offset
    page = page_at(file, first)
    assert page.unpacked > 20 * 60_000


def test_a_text_that_is_named_often_is_made_once() -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([0] * 30), pa.array(["x" * 60_000]))
    for body, read in (
        (as_stream(pa.table({"a": coded})), read_stream),
        (as_parquet(pa.table({"a": coded})), read_parquet),
    ):
        cells = [row[0] for row in read(body, "rows", LIMITS).rows]
        assert len({id(one) for one in cells}) == 1
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 30), pa.array(["x" * 70_000]))
    with pytest.raises(MalformedBody):
        read_stream(as_stream(pa.table({"a": long})), "rows", LIMITS)


def test_strings_that_share_beginnings_are_refused(table: pa.Table) -> None:
    shared = pa.table({"a": [f"{'x' * 1000}{number}" for number in range(20)]})
    body = as_parquet(shared, use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    with pytest.raises(QuartetError, match="DELTA_BYTE_ARRAY"):
        read_parquet(body, "rows", LIMITS)


def test_messages_are_read_as_their_bytes_come(table: pa.Table) -> None:
    body, frames, rows = as_stream(pa.concat_tables([table[:7], table[7:]])), Frames("rows"), []
    for place in range(0, len(body), 100):
        batches = frames.batches(body[place : place + 100], LIMITS)
        rows += [row for batch in batches for row in frames.table(batch).rows]
    assert rows == read_stream(body, "rows", LIMITS).rows
    assert frames.ended


def test_without_pyarrow_the_answer_says_what_to_install(
    lane: Here, table: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, csv = as_stream(table), as_csv(table.to_pylist())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused = ask(lane, body, ARROW)
    assert_refused(refused, 415, "unsupported_media", "content-type")
    assert "quartet[arrow]" in refused.json()["detail"]
    assert_refused(ask(lane, csv.encode(), "text/csv", accept=PARQUET), 406, "not_acceptable", "accept")
