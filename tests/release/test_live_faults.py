"""Faults while a candidate is tried on a service of two workers: every answer is right, and all come to agree."""

import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from load_tests.serving import Serving, within
from service.bundle import CURRENT, RELEASES, ROLLOUT, Bundle
from service.release import Release
from service.release import rollout as files
from service.release.rollout import Rollout, Step
from service.release.rules import Rules
from tests import toys

NAME, TOKEN, PATIENCE_S = "toy-digits", "a token of an admin", 120
VERSIONS, BAD = ("1", "2", "3"), "4"
INKS = {version: toys.INK for version in VERSIONS} | {BAD: -toys.INK}
IMAGES = np.random.default_rng(1).integers(0, 256, (16, 28, 28)).astype(np.float32)
RIGHT = {version: toys.probabilities(IMAGES, ink).argmax(1).tolist() for version, ink in INKS.items()}
QUIET = Rules(least=0, most_latency=None)  # of a busy machine times say nothing


def whole(folder: Path) -> None:
    Bundle(folder)


class Asking:
    """Clients that ask without end: which versions answered, what was wrong, and how many connections broke."""

    def __init__(self, url: str) -> None:
        self.url, self.versions, self.wrong, self.broken = url, list[str](), list[str](), 0
        self._over = threading.Event()
        self._clients = [threading.Thread(target=self._ask, args=(turn,)) for turn in range(4)]

    def __enter__(self) -> "Asking":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for client in self._clients:
            client.join()

    def answered_by(self, version: str, times: int = 20) -> bool:
        """Whether the next answers all come from a version, within a while."""

        def only() -> bool:
            start = len(self.versions)
            within(PATIENCE_S, lambda: len(self.versions) >= start + times)
            return set(self.versions[start:]) == {version}

        return within(PATIENCE_S, only)

    def _ask(self, turn: int) -> None:
        while not self._over.is_set():
            turn += 4
            try:
                self._one(turn % len(IMAGES))
            except httpx.TransportError:
                self.broken += 1
            time.sleep(0.01)

    def _one(self, place: int) -> None:
        """By a connection of its own, so that both workers are asked."""
        body = {"images": [IMAGES[place].tolist()]}
        answer = httpx.post(f"{self.url}/v1/digits/classify", json=body, timeout=PATIENCE_S)
        if answer.status_code != 200:
            self.wrong.append(answer.text)
            return
        version, digit = answer.json()["model"]["version"], answer.json()["predictions"][0]["digit"]
        if digit != RIGHT[version][place]:
            self.wrong.append(f"{version} says {digit} of {place}")
        self.versions.append(version)


class Live:
    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        for version, ink in INKS.items():
            toys.digits(self.models, version=version, ink=ink)
        (self.models / NAME / CURRENT).write_text("1\n")
        self.serving = Serving(
            folder, models_dir=self.models, workers=2, threads=1, watch_s=0.2, admin_token=TOKEN, drift_window_s=3600
        ).start()
        self.url = f"http://127.0.0.1:{self.serving.port}"

    @property
    def release(self) -> Release:
        return Release(self.models, NAME)

    def begin(self, version: str, *steps: Step, rules: Rules = QUIET) -> Rollout:
        return self.release.start(version, "canary", steps, "ada", "a test", rules=rules, force=True, check=whole)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    found = Live(tmp_path_factory.mktemp("live"))
    yield found
    found.serving.terminate()
    found.serving.ended()


@pytest.fixture
def live(service: Live) -> Live:
    """Version 1 is served, nothing is tried and nothing was."""
    home = service.models / NAME
    for file in (ROLLOUT, RELEASES):
        (home / file).unlink(missing_ok=True)
    (home / CURRENT).write_text("1\n")
    with Asking(service.url) as asking:
        assert asking.answered_by("1")
    return service


def promoted(live: Live, version: str) -> Callable[[], bool]:
    return lambda: live.release.served == version and live.release.running is None


def test_a_worker_that_dies_between_two_steps_takes_nothing_along(live: Live) -> None:
    with Asking(live.url) as asking:
        live.begin("2", Step(share=0.3, seconds=1), Step(share=1, seconds=1.5))
        assert within(PATIENCE_S, lambda: (found := live.release.rollout) is not None and found.step == 1)
        live.serving.workers()[0].kill()
        assert within(PATIENCE_S, promoted(live, "2"))
        assert asking.answered_by("2")
        assert within(PATIENCE_S, lambda: len(live.serving.workers()) == 2)
        assert asking.answered_by("2")
    assert asking.wrong == []
    assert asking.broken <= 4, "no more than what the worker was at, a request of each client"
    assert [entry.after for entry in live.release.history] == ["2"]


def test_a_replica_that_missed_an_hour_takes_what_the_others_came_to(live: Live, tmp_path: Path) -> None:
    """This service still tries version 2, of which the others have long been cured, when the folder is synced."""
    elsewhere = tmp_path / "models"
    shutil.copytree(live.models / NAME, elsewhere / NAME)
    other = Release(elsewhere, NAME)
    stale = live.begin("2", Step(share=0.5))
    files.write(live.release.home, stale.model_copy(update={"since": stale.since - 3600}))
    with Asking(live.url) as asking:
        assert within(PATIENCE_S, lambda: {"1", "2"} <= {*asking.versions})
        files.write(other.home, stale)
        other.stop("ada", "seen enough")
        other.promote("3", "ada", "elsewhere", force=True, check=whole)
        for file in (CURRENT, RELEASES, ROLLOUT):  # in an order that nobody would choose
            staged = live.release.home / f"{file}.synced"
            shutil.copyfile(other.home / file, staged)
            staged.replace(live.release.home / file)
            time.sleep(0.5)
        assert asking.answered_by("3")
    assert (asking.wrong, asking.broken) == ([], 0)
    assert live.release.running is None
    assert [entry.after for entry in live.release.history] == ["3"]


def test_of_operators_at_once_all_see_one_end(live: Live) -> None:
    def order(version: str) -> int:
        body = {"version": version, "force": True, "reason": "at once", "who": f"operator {version}"}
        headers = {"authorization": f"Bearer {TOKEN}"}
        path = f"{live.url}/v1/releases/{NAME}/promote"
        return httpx.post(path, json=body, headers=headers, timeout=PATIENCE_S).status_code

    with Asking(live.url) as asking:
        live.begin("2", Step(share=0.2))
        with ThreadPoolExecutor(4) as operators:
            answers = list(operators.map(order, ("2", "3", "2", "3")))
        assert 200 in answers
        assert {*answers} <= {200, 409}
        served = str(live.release.served)
        assert asking.answered_by(served)
    assert (asking.wrong, asking.broken) == ([], 0)
    assert served == live.release.history[-1].after
    assert len(live.release.history) == answers.count(200)
    assert live.release.running is None


def test_while_the_disk_is_full_a_bad_candidate_goes_all_the_same(live: Live) -> None:
    live.begin(BAD, Step(share=0.3), rules=Rules(most_latency=None))
    workers = live.serving.workers()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Asking(live.url) as asking:
        assert within(PATIENCE_S, lambda: BAD in asking.versions)
        for worker in workers:
            worker.rlimit(resource.RLIMIT_FSIZE, (0, most))  # no file may grow
        try:
            assert asking.answered_by("1")
            found = live.release.rollout
            assert found is not None
        finally:
            for worker in workers:
                worker.rlimit(resource.RLIMIT_FSIZE, (most, most))
        assert within(PATIENCE_S, lambda: live.release.running is None)
        assert asking.answered_by("1")
    assert (asking.wrong, asking.broken) == ([], 0)
    ended = live.release.rollout
    assert ended is not None
    assert ended.stop is not None
    assert ended.stop.rule == "agreement"
    assert {worker.pid for worker in workers} == {worker.pid for worker in live.serving.workers()}


@pytest.mark.parametrize("hours", [1, -1], ids=["put back", "put forward"])
def test_a_clock_that_jumps_neither_holds_a_rollout_up_nor_skips_a_step(live: Live, hours: int) -> None:
    """As the workers see it, the step began in an hour, or an hour ago."""
    with Asking(live.url) as asking:
        begun = live.begin("2", Step(share=0.2, seconds=1), Step(share=1, seconds=1))
        files.write(live.release.home, begun.model_copy(update={"since": begun.since + 3600 * hours}))
        steps = set()

        def through() -> bool:
            if (found := live.release.rollout) is not None:
                steps.add(found.step)
            return promoted(live, "2")()

        assert within(PATIENCE_S, through)
        assert asking.answered_by("2")
    assert (asking.wrong, asking.broken) == ([], 0)
    assert 1 in steps
    assert os.listdir(live.release.home).count(ROLLOUT) == 1
