"""A candidate on live traffic: who gets its answers, what is compared, and what ends it."""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import helper

from service.bundle import ROLLOUT, DigitClassification, Tensor, write_current
from service.engine.repository import Repository
from service.lane import Lane
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.release import Release
from service.release.rollout import Step, place_of
from service.release.rules import Rules
from service.release.traffic import Traffic
from service.settings import Settings
from tests import toys
from tests.bundle_writer import write
from tests.conftest import nothing

NAME = "toy-digits"
IMAGE = np.random.default_rng(9).integers(0, 256, (1, 28, 28)).tolist()
BLACK = np.zeros((1, 28, 28)).tolist()
EVERY = (Step(share=1),)


class Served:
    """A worker in this process, whose rollouts are looked after when a test says so."""

    def __init__(self, models: Path, shared: Path | None = None) -> None:
        self.metrics = Metrics()
        self.metrics.shared = shared
        self.repository = Repository(Settings(models_dir=models, threads=1), self.metrics)
        self.clock = time.time()
        self.traffic = Traffic(self.repository, self.metrics, clock=lambda: self.clock)
        pipeline = Pipeline(self.repository, self.repository.settings)
        pages = Pages(self.repository, self.metrics)
        self.lane = Lane(nothing, pipeline, pages, self.metrics, self.repository.settings, None)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.lane), base_url="http://here")

    async def __aenter__(self) -> "Served":
        await self.repository.load()
        await self.traffic.look()
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.traffic.followed):
            self.traffic._end(name)
        await self.client.aclose()

    async def ask(self, key: str = "", image: Any = IMAGE, **more: str) -> str:
        """The version that answers."""
        headers = {"x-request-id": key or "anybody", **more}
        body = {"images": image}
        answer = await self.client.post("/v1/digits/classify", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        model = answer.json()["model"]
        return str(model["version"])

    async def until_compared(self, rows: int, name: str = NAME) -> None:
        async with asyncio.timeout(20):
            while self.traffic.followed and self.traffic.followed[name].candidate.count.pairs.rows < rows:
                await asyncio.sleep(0.005)

    @property
    def share(self) -> float | None:
        found = self.traffic.followed.get(NAME)
        return found and found.candidate.rollout.now.share


def fragile(models: Path, version: str) -> None:
    """Divides by the mean grey."""
    images = np.random.default_rng(3).integers(1, 256, (4, 28, 28)).astype(np.float32)
    relative = images / images.mean(axis=(1, 2), keepdims=True) * 255
    write(
        models,
        NAME,
        DigitClassification(labels=tuple(range(10))),
        [
            helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
            helper.make_node("ReduceMean", ["pixels", "last"], ["mean"], keepdims=1),
            helper.make_node("Div", ["pixels", "mean"], ["relative"]),
            helper.make_node("MatMul", ["relative", "ink"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        {"flat": np.array([-1, 784]), "last": np.array([1]), "ink": toys.INK},
        [Tensor(name="image", dtype="float32", shape=("batch", 28, 28), range=(0, 255))],
        [Tensor(name="probabilities", dtype="float32", shape=("batch", 10))],
        ({"image": images}, {"probabilities": toys.probabilities(relative)}),
        version=version,
    )


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Version 1 is served; 2 is as good, 3 has its weights upside down, 4 has no answer to a black picture."""
    models = tmp_path / "models"
    toys.digits(models, version="1")
    toys.digits(models, version="2")
    toys.digits(models, version="3", ink=-toys.INK)
    fragile(models, version="4")
    write_current(models, NAME, "1")
    return Release(models, NAME)


def started(release: Release, version: str, mode: Any = "canary", steps: Any = EVERY, **more: Any) -> str:
    return release.start(version, mode, steps, "ada", "a test", force=True, check=lambda _: None, **more).id


def run(work: Any) -> None:
    asyncio.run(work)


def test_a_share_of_the_keys_is_answered_by_the_canary_and_each_by_one_version(release: Release) -> None:
    async def work() -> None:
        started(release, "2", steps=(Step(share=0.3),))
        async with Served(release.models) as one, Served(release.models) as other:
            first = [await one.ask(f"key-{i}") for i in range(60)]
            assert first == [await other.ask(f"key-{i}") for i in range(60)]
            wanted = ["2" if place_of(b"key-%d" % i, "2") < 0.3 * 2**32 else "1" for i in range(60)]
            assert first == wanted
            assert set(first) == {"1", "2"}

    run(work())


def test_the_share_of_many_keys_is_the_share_that_was_asked_for() -> None:
    hits = Counter(place_of(b"%d" % i, "20260101-000000") < 0.05 * 2**32 for i in range(20_000))
    assert abs(hits[True] - 1000) < 2.58 * (20_000 * 0.05 * 0.95) ** 0.5


def test_a_header_of_the_clients_choice_decides_instead_of_the_id(release: Release) -> None:
    async def work() -> None:
        started(release, "2", steps=(Step(share=0.5),))
        async with Served(release.models) as served:
            answers = {await served.ask(f"id-{i}", **{"x-split-key": "user-7"}) for i in range(20)}
            assert len(answers) == 1

    run(work())


def test_a_version_that_is_named_is_the_one_that_answers(release: Release) -> None:
    async def work() -> None:
        started(release, "2")
        async with Served(release.models) as served:
            assert await served.ask() == "2"
            assert await served.ask(**{"x-model-version": "1"}) == "1"
            assert await served.ask(**{"x-model-version": "2"}) == "2"

    run(work())


def test_a_shadow_never_answers_and_is_compared(release: Release) -> None:
    async def work() -> None:
        started(release, "2", "shadow")
        async with Served(release.models) as served:
            assert {await served.ask() for _ in range(8)} == {"1"}
            await served.until_compared(8)
            pairs = served.traffic.followed[NAME].candidate.count.pairs
            assert (pairs.rows, pairs.agreed, pairs.difference) == (8, 8, 0)
            exposed = (await served.client.get("/metrics")).text
            assert 'quartet_shadow_rows_total{model="toy-digits",result="agreed",version="2"} 8.0' in exposed

    run(work())


@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_a_candidate_that_disagrees_is_rolled_back_and_says_so(
    release: Release, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        started(release, "3", mode, (Step(share=1 if mode == "shadow" else 0.1),))
        keys = [f"{i}" for i in range(400) if mode == "shadow" or place_of(b"%d" % i, "3") < 0.1 * 2**32]
        async with Served(release.models) as served:
            for key in keys[:8]:
                assert await served.ask(key) == ("1" if mode == "shadow" else "3")
            await served.until_compared(8)
            await served.traffic.look()
            assert served.traffic.followed == {}
            assert await served.ask() == "1"
            exposed = (await served.client.get("/metrics")).text
            assert 'quartet_rollbacks_total{model="toy-digits",rule="agreement",version="3"} 1.0' in exposed

    run(work())
    assert "it agrees on 0 of 8 rows, at least 90.0% must" in caplog.text
    assert release.running is None
    ended = release.rollout
    assert ended is not None
    assert ended.stop is not None
    assert (ended.stop.who, ended.stop.rule) == ("the service", "agreement")


def test_who_asks_a_canary_that_fails_is_answered_by_what_is_served(release: Release) -> None:
    async def work() -> None:
        started(release, "4")
        async with Served(release.models) as served:
            assert {await served.ask(image=BLACK) for _ in range(6)} == {"1"}
            await served.traffic.look()
            assert served.traffic.followed == {}

    run(work())
    assert release.rollout is not None
    assert release.rollout.stop is not None
    assert release.rollout.stop.why == "it failed 6 of 6 requests, at most 1.00% may"


def test_a_rule_that_one_worker_finds_broken_ends_it_in_the_others(release: Release, tmp_path: Path) -> None:
    async def work() -> None:
        started(release, "3", "shadow")
        async with Served(release.models, tmp_path / "a") as one, Served(release.models, tmp_path / "b") as other:
            for _ in range(8):
                await one.ask()
            await one.until_compared(8)
            await one.traffic.look()
            await other.traffic.look(everything=False)
            assert other.traffic.followed == {}

    run(work())


def test_steps_follow_each_other_to_the_promotion(release: Release) -> None:
    async def work() -> None:
        steps = (Step(share=0.5, seconds=60), Step(share=1, seconds=60))
        started(release, "2", steps=steps, rules=Rules(least=1))
        since = release.rollout.since  # type: ignore[union-attr]
        async with Served(release.models) as served:
            served.clock = since + 61
            await served.traffic.look()
            await served.traffic.look()
            assert served.share == 0.5  # nobody has been answered yet
            for i in range(20):
                await served.ask(f"key-{i}")
            for minute, share in enumerate((1, 1), 2):
                served.clock = since + 61 * minute
                for _ in range(2):
                    await served.traffic.look()
                assert served.share == share
            await served.traffic.look()
            assert release.served == "2"
            assert await served.ask() == "2"
            await served.repository.refresh()
            await served.traffic.look()
            assert served.traffic.followed == {}
            assert await served.ask() == "2"

    run(work())
    assert [entry.after for entry in release.history] == ["2"]
    assert release.way_back == "1"


def test_a_restarted_worker_goes_on_and_a_clock_put_back_begins_the_step_anew(release: Release) -> None:
    async def work() -> None:
        started(release, "2", steps=(Step(share=0.5, seconds=60), Step(share=1)), rules=Rules(least=0))
        since = release.rollout.since  # type: ignore[union-attr]
        async with Served(release.models) as served:
            served.clock = since + 86_400
            await served.traffic.look()
            await served.traffic.look()
            assert served.share == 1
        async with Served(release.models) as served:
            assert served.share == 1
            served.clock = since - 3600
            await served.traffic.look()
            assert served.share == 1
        assert release.rollout is not None
        assert release.rollout.since == since - 3600

    run(work())


def test_a_folder_that_goes_away_leaves_what_is_served(release: Release) -> None:
    async def work() -> None:
        started(release, "2")
        async with Served(release.models) as served:
            assert await served.ask() == "2"
            release.models.rename(away := release.models.with_name("away"))
            await served.traffic.look()
            await served.repository.refresh()
            assert await served.ask() == "1"
            away.rename(release.models)
            await served.repository.refresh()
            await served.traffic.look()
            assert await served.ask() == "2"

    run(work())


def test_a_candidate_that_is_damaged_never_answers(release: Release) -> None:
    async def work() -> None:
        started(release, "2")
        graph = release.home / "2" / "model.onnx"
        graph.write_bytes(graph.read_bytes() + b"x")
        async with Served(release.models) as served:
            assert await served.ask() == "1"

    run(work())
    assert release.running is None


def test_a_file_that_cannot_be_read_is_no_rollout(release: Release) -> None:
    async def work() -> None:
        (release.home / ROLLOUT).write_text("{")
        async with Served(release.models) as served:
            assert await served.ask() == "1"

    run(work())


def test_what_cannot_be_written_still_ends_in_this_worker(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def work() -> None:
        started(release, "3", "shadow")
        async with Served(release.models) as served:
            for _ in range(8):
                await served.ask()
            await served.until_compared(8)
            with monkeypatch.context() as patched:
                patched.setattr("service.release.rollout.replace_text", full)
                await served.traffic.look()
                await served.traffic.look()
            assert served.traffic.followed == {}
            assert release.running is not None
            await served.traffic.look()
            assert release.running is None

    run(work())
