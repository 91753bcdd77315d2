"""Jobs: every item once, in order, whatever interrupts; bad ones apart with their reason."""

import csv
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from service.bulk.command import main
from service.bulk.progress import SUFFIX
from service.bulk.sources import BulkError
from tests.conftest import PROJECT

HEADER = "id;rooms;kind"


@pytest.fixture(autouse=True)
def models(toy_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes of a job read it, too."""
    monkeypatch.setenv("QUARTET_MODELS_DIR", f"{toy_models}")


def batch(*words: object) -> int:
    return main([*map(str, words), "--workers", "1"])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """40 rows; the ninth has no number of rooms that can be."""
    lines = [HEADER, *(f"{n};{99 if n == 8 else n % 10 + 1};flat" for n in range(40))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "rows.csv"


def test_rows_keep_their_order_and_their_other_columns(table: Path, tmp_path: Path) -> None:
    assert batch("tables", table, tmp_path / "out.csv", "--model", "toy-table", "--block", 7) == 1
    found = rows_of(tmp_path / "out.csv")
    assert [int(row["id"]) for row in found] == [n for n in range(40) if n != 8]
    assert list(found[0])[:3] == ["id", "rooms", "kind"]
    assert float(found[0]["values.price"])
    (rejected,) = lines_of(tmp_path / "out.csv.rejects.jsonl")
    assert rejected == {
        "number": 9,
        "reason": "rooms: Must be a number from 1 to 10.",
        "row": {"id": "8", "rooms": "99", "kind": "flat"},
    }


def test_a_job_that_was_killed_goes_on_without_a_row_twice_or_none(table: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    arguments = ["--model", "toy-table", "--block", 5]
    batch("tables", table, whole, *arguments)
    batch("tables", table, killed, *arguments)
    noted = killed.with_name(killed.name + SUFFIX)
    progress = json.loads(noted.read_text())
    kept = b"".join(killed.read_bytes().splitlines(keepends=True)[: 1 + 14])  # three blocks, a row of which is bad
    rejects = killed.with_name("killed.csv.rejects.jsonl")
    noted.write_text(json.dumps(progress | {"items": 15, "answered": 14, "output": len(kept), "done": False}))
    killed.write_bytes(killed.read_bytes()[: len(kept) + 9])  # it died in the middle of a row
    rejects.write_bytes(rejects.read_bytes() + b'{"numb')
    assert batch("tables", table, killed, *arguments) == 1
    assert killed.read_bytes() == whole.read_bytes()
    assert len(lines_of(rejects)) == 1
    assert json.loads(noted.read_text())["answered"] == 39


def test_a_job_that_is_done_is_not_done_again(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    batch("tables", table, out, "--model", "toy-table")
    written = out.stat().st_mtime_ns
    assert batch("tables", table, out, "--model", "toy-table") == 1
    assert out.stat().st_mtime_ns == written
    with pytest.raises(BulkError, match="--overwrite"):
        batch("tables", table, out, "--model", "toy-table", "--block", 3)
    assert batch("tables", table, out, "--model", "toy-table", "--block", 3, "--overwrite") == 1
    assert len(lines_of(out)) == 39


def test_parts_of_a_job_make_the_whole(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for index in range(2):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", f"{index}")
        batch("tables", table, tmp_path / f"{index}.jsonl", "--model", "toy-table", "--block", 6, "--part", "2")
        ids += [int(row["id"]) for row in lines_of(tmp_path / f"{index}.jsonl")]
    assert sorted(ids) == [n for n in range(40) if n != 8]


def test_parquet_goes_in_and_out(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"id": n, "rooms": n % 10 + 1, "kind": "flat"} for n in range(20)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "in.parquet")
    assert batch("tables", tmp_path / "in.parquet", tmp_path / "out.parquet", "--model", "toy-table", "--block", 8) == 0
    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["id"] for row in found] == list(range(20))
    assert all(isinstance(row["values.price"], float) for row in found)


def test_pictures_of_a_folder_or_a_zip_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    seven = (PROJECT / "docs" / "examples" / "seven.png").read_bytes()
    (folder / "a.png").write_bytes(seven)
    (folder / "below" / "b.png").write_bytes(seven)
    (folder / "c.txt").write_text("no picture")
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    assert batch("digits", folder, tmp_path / "folder.jsonl", "--model", "toy-digits") == 1
    assert batch("digits", tmp_path / "pictures.zip", tmp_path / "zip.jsonl", "--model", "toy-digits") == 1
    assert [one["file"] for one in lines_of(tmp_path / "folder.jsonl")] == ["a.png", "below/b.png"]
    assert lines_of(tmp_path / "zip.jsonl") == lines_of(tmp_path / "folder.jsonl")
    (rejected,) = lines_of(tmp_path / "folder.jsonl.rejects.jsonl")
    assert rejected["file"] == "c.txt"
    assert "is not read here" in rejected["reason"]


def test_a_series_is_answered_by_a_series(tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    slice = (PROJECT / "docs" / "examples" / "slice.dcm").read_bytes()
    for name in ("1.dcm", "2.dcm"):
        (folder / name).write_bytes(slice)
    (folder / "README").write_text("not DICOM")
    assert batch("ct", folder, tmp_path / "out", "--model", "toy-ct", "--strength", "1") == 1
    made = [pydicom.dcmread(tmp_path / "out" / name) for name in ("1.dcm", "2.dcm")]
    source = pydicom.dcmread(folder / "1.dcm")
    assert len({one.SeriesInstanceUID for one in made} - {source.SeriesInstanceUID}) == 1
    assert np.ptp(made[0].pixel_array) < np.ptp(source.pixel_array)
    assert not os.path.exists(tmp_path / "out" / "README")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tables", "nowhere.csv", "out.csv", "--model", "toy-table"], "is not there"),
        (["tables", ".", "out.csv", "--model", "toy-table"], "takes rows"),
        (["digits", "{table}", "out.csv", "--model", "toy-digits"], "takes files"),
        (["tables", "{table}", "out.txt", "--model", "toy-table"], "ends in .csv"),
        (["tables", "{table}", "out.csv", "--model", "toy-digits"], "is for digit-classification"),
        (["tables", "{table}", "out.csv", "--model", "none"], "none"),
        (["tables", "{table}", "out.csv", "--model", "toy-table", "--part", "3/2"], "--part"),
    ],
)
def test_what_cannot_begin_says_why(
    words: list[str], said: str, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BulkError, match=said):
        batch(*(word.format(table=table) for word in words))
    assert not (tmp_path / "out.csv").exists()


def test_what_becomes_of_bad_rows_is_no_option_of_a_job(table: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        batch("tables", table, tmp_path / "out.csv", "--model", "toy-table", "--on-error", "skip")


def test_a_column_without_a_name_is_refused_and_cells_too_many_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "nameless.csv").write_text(",rooms,kind\n1,2,flat\n")
    with pytest.raises(BulkError, match="Column 1 of the CSV has no name"):
        batch("tables", tmp_path / "nameless.csv", tmp_path / "a.csv", "--model", "toy-table")
    (tmp_path / "more.csv").write_text("rooms,kind\n2,flat,surplus\n3,house\n4\n")
    assert batch("tables", tmp_path / "more.csv", tmp_path / "b.csv", "--model", "toy-table") == 1
    assert [row["rooms"] for row in rows_of(tmp_path / "b.csv")] == ["3"]
    assert len(lines_of(tmp_path / "b.csv.rejects.jsonl")) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_as_the_endpoint_reads_it(tmp_path: Path, encoding: str) -> None:
    rows = "".join(f"{n};{1 + n % 9},{n % 10};flat;\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"sep=;\n{HEADER};\n{rows}40;3.5;flat;\n", encoding=encoding)
    assert batch("tables", tmp_path / "rows.csv", tmp_path / "out.jsonl", "--model", "toy-table", "--block", 7) == 1
    points = rows.replace(",", ".").replace(";\n", "\n")
    (tmp_path / "points.csv").write_text(f"{HEADER}\n{points}")
    assert batch("tables", tmp_path / "points.csv", tmp_path / "points.jsonl", "--model", "toy-table") == 0
    assert [one["values"] for one in lines_of(tmp_path / "out.jsonl")] == [
        one["values"] for one in lines_of(tmp_path / "points.jsonl")
    ]
    (rejected,) = lines_of(tmp_path / "out.jsonl.rejects.jsonl")
    assert rejected["reason"] == "rooms: Write it with a decimal comma, as other numbers of the file."


def test_a_damaged_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + "\n1;2;Häuser\n".encode("latin-1"))
    with pytest.raises(BulkError, match="is not in UTF-8"):
        batch("tables", tmp_path / "latin.csv", tmp_path / "a.csv", "--model", "toy-table")
    (tmp_path / "twice.csv").write_text("rooms;rooms\n1;2\n")
    with pytest.raises(BulkError, match="rooms: Given twice in the header"):
        batch("tables", tmp_path / "twice.csv", tmp_path / "b.csv", "--model", "toy-table")
