"""Damaged requests get a refusal that says why, never a fault: in short what `python -m load_tests.hostile` does."""

import gc
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from load_tests.hostile.conformance import departures
from load_tests.hostile.fuzz import Fuzz, damaged
from load_tests.hostile.inside import TIGHT, Inside
from load_tests.hostile.seeds import FIELDS, Seed, seeds
from load_tests.hostile.verdict import objections


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with Inside(tmp_path_factory.mktemp("inside"), **TIGHT) as service:
        yield service


def media_type(seed: Seed) -> str:
    return seed.headers[b"content-type"].decode().partition(";")[0]  # a boundary may be another in each process


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: f"{seed.path} {media_type(seed)}")
def test_what_is_damaged_later_is_right_at_first(inside: Inside, seed: Seed) -> None:
    reply = inside.ask("POST", seed.path, seed.headers, seed.body, seed.query)
    assert reply is not None
    assert reply.status == 200, reply.body
    assert list(objections(seed.path, reply)) == []


def test_requests_to_every_endpoint_are_damaged() -> None:
    assert {seed.path for seed in seeds()} >= FIELDS.keys()


def test_damaged_requests_are_answered_or_refused_in_the_right_form(inside: Inside) -> None:
    fuzz = Fuzz(inside, damaged(random.Random(1)))
    fuzz.run(5000)
    assert [finding.objection for finding in fuzz.findings] == []
    assert {200, 400, 405, 415, 422} <= fuzz.statuses.keys()


def test_damaged_requests_leave_nothing_behind(inside: Inside) -> None:
    fuzz = Fuzz(inside, damaged(random.Random(2)))
    fuzz.run(1000)
    tracemalloc.start()
    fuzz.run(300)
    before = held()
    fuzz.run(1000)
    after = held()
    tracemalloc.stop()
    assert after - before < 2**20


def held() -> int:
    """Bytes that Python's allocator and NumPy's hold for what can still be reached."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_damaged_requests_make_no_new_series(inside: Inside) -> None:
    def series() -> int:
        reply = inside.ask("GET", "/metrics", {})
        assert reply is not None
        names = {line.partition(b" ")[0] for line in reply.body.splitlines() if not line.startswith(b"#")}
        return len({name for name in names if not any(label in name for label in (b"outcome=", b"code=", b"status="))})

    before = series()
    Fuzz(inside, damaged(random.Random(3))).run(1000)
    assert series() == before


def test_the_openapi_document_says_what_happens(inside: Inside) -> None:
    assert list(departures(inside, examples=25)) == []
