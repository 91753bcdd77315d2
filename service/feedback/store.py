"""The store of predictions and outcomes: SQLite in a file, or PostgreSQL where replicas share one.

A row is told by the hash of the request's key and its place in the request. Either side may come first.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from service.settings import SettingsError

POSTGRES = "postgresql", "postgres"
BUSY_S = 5.0
MOST_ROWS = 20_000  # of a version, the latest, that figures are made of

TABLES = (
    "CREATE TABLE IF NOT EXISTS quartet_predictions (key {bytes} NOT NULL, line INTEGER NOT NULL, model TEXT NOT NULL,"
    " version TEXT NOT NULL, at {real} NOT NULL, label TEXT, score {real}, PRIMARY KEY (key, line))",
    "CREATE TABLE IF NOT EXISTS quartet_outcomes (key {bytes} NOT NULL, line INTEGER NOT NULL, at {real} NOT NULL,"
    " truth TEXT NOT NULL, PRIMARY KEY (key, line))",
    "CREATE INDEX IF NOT EXISTS quartet_predictions_of ON quartet_predictions (model, version, at)",
)
PREDICT = (
    "INSERT INTO quartet_predictions (key, line, model, version, at, label, score) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (key, line) DO UPDATE SET model = excluded.model, version = excluded.version, at = excluded.at,"
    " label = excluded.label, score = excluded.score"
)
TURN_OUT = (
    "INSERT INTO quartet_outcomes (key, line, at, truth) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (key, line) DO UPDATE SET at = excluded.at, truth = excluded.truth"
)
FIND = "SELECT model, version FROM quartet_predictions WHERE key = ? AND line = ?"
JOIN = (
    "SELECT p.label, p.score, o.truth FROM quartet_predictions p JOIN quartet_outcomes o ON p.key = o.key AND"
    " p.line = o.line WHERE p.model = ? AND p.version = ? ORDER BY p.at DESC LIMIT ?"
)
VERSIONS = "SELECT DISTINCT model, version FROM quartet_predictions"
STATE = "SELECT COUNT(*), MAX(at) FROM quartet_outcomes"
TABLE_NAMES = "quartet_predictions", "quartet_outcomes"


class StoreError(Exception):
    """The store is away, or full."""


class Prediction(NamedTuple):
    """Of one row; `score` is what the label rests on, or the number that was predicted."""

    key: bytes
    line: int
    model: str
    version: str
    at: float
    label: str | None
    score: float | None


class Outcome(NamedTuple):
    key: bytes
    line: int
    at: float
    truth: str


class Held(NamedTuple):
    """A row whose truth is known."""

    label: str | None
    score: float | None
    truth: str


def hashed(key: bytes) -> bytes:
    """What a key is kept as: it may hold a name."""
    return hashlib.sha256(key).digest()[:16]


class Store:
    """Safe to call from several threads; every method raises StoreError."""

    def __init__(self, place: str) -> None:
        """`place` is a file or a `postgresql://` URL. Nothing is opened yet. Raises SettingsError."""
        self._place, self._lock = place, Lock()
        self._connection: Any = None
        scheme = urlsplit(place).scheme
        self._is_postgres = scheme in POSTGRES
        if "://" in place and not self._is_postgres:
            raise SettingsError(f"QUARTET_FEEDBACK: {scheme}:// is neither a file nor postgresql://")
        if self._is_postgres:
            try:
                import pg8000.dbapi  # noqa: F401
            except ImportError:
                raise SettingsError("QUARTET_FEEDBACK: PostgreSQL wants `pip install quartet[postgresql]`") from None

    def predict(self, rows: Sequence[Prediction]) -> None:
        self._write(PREDICT, rows)

    def turn_out(self, rows: Sequence[Outcome]) -> None:
        self._write(TURN_OUT, rows)

    def find(self, key: bytes, line: int) -> tuple[str, str] | None:
        """Model and version that answered; None where nothing is known of that row."""
        found = self._read(FIND, (key, line))
        return (str(found[0][0]), str(found[0][1])) if found else None

    def held(self, model: str, version: str) -> list[Held]:
        """The latest rows of a version whose truth is known."""
        return [Held(*row) for row in self._read(JOIN, (model, version, MOST_ROWS))]

    def versions(self) -> list[tuple[str, str]]:
        return [(str(model), str(version)) for model, version in self._read(VERSIONS, ())]

    def state(self) -> object:
        """Another one whenever an outcome has come."""
        return self._read(STATE, ())[0]

    def forget(self, key: bytes) -> None:
        for table in TABLE_NAMES:
            self._write(f"DELETE FROM {table} WHERE key = ?", [(key,)])

    def forget_before(self, when: float) -> None:
        for table in TABLE_NAMES:
            self._write(f"DELETE FROM {table} WHERE at < ?", [(when,)])

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _write(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._do(lambda cursor: cursor.executemany(self._spoken(statement), [tuple(row) for row in rows]))

    def _read(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        def read(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(self._spoken(statement), tuple(values))
            return [tuple(row) for row in cursor.fetchall()]

        return list(self._do(read))

    def _do(self, work: Any) -> Any:
        """In one transaction; a connection that has failed is made anew next time."""
        with self._lock:
            try:
                connection = self._connected()
                cursor = connection.cursor()
                result = work(cursor)
                connection.commit()
                return result
            except Exception as error:
                self._drop()
                raise StoreError(f"{type(error).__name__}: {str(error)[:200]}") from None

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._postgres() if self._is_postgres else self._sqlite()
            cursor = self._connection.cursor()
            for statement in TABLES:
                types = ("BYTEA", "DOUBLE PRECISION") if self._is_postgres else ("BLOB", "REAL")
                cursor.execute(statement.format(bytes=types[0], real=types[1]))
            self._connection.commit()
        return self._connection

    def _sqlite(self) -> Any:
        connection = sqlite3.connect(self._place, timeout=BUSY_S, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _postgres(self) -> Any:
        import pg8000.dbapi

        url = urlsplit(self._place)
        return pg8000.dbapi.connect(
            user=unquote(url.username or "postgres"),
            password=unquote(url.password) if url.password else None,
            host=url.hostname or "localhost",
            port=url.port or 5432,
            database=unquote(url.path.lstrip("/")) or None,
            timeout=BUSY_S,
        )

    def _spoken(self, statement: str) -> str:
        return statement.replace("?", "%s") if self._is_postgres else statement

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except Exception:  # of one that is broken already
                return
