"""Whatever is ordered, and wherever a process dies: what is served loads, and so does the way back."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.bundle import CURRENT, Bundle, current, current_version
from service.release import Release, ReleaseError
from service.release.rollout import Step
from service.release.rules import Rules
from tests import toys
from tests.release.test_crashes import REAPER

NAME, VERSIONS = "toy-digits", ("1", "2", "3", "4")
KILLS = st.one_of(st.just(10_000), st.integers(0, 30))
MODES = st.sampled_from(("shadow", "canary"))
STEPS = (Step(share=0.1, seconds=60), Step(share=1, seconds=60))


def whole(folder: Path) -> None:
    Bundle(folder)


class Releasing(RuleBasedStateMachine):
    """Every rule is a process of its own, which may be killed after some of its file operations."""

    template: Path

    @initialize()
    def begin(self) -> None:
        self.folder = Path(mkdtemp(prefix="quartet-releasing"))
        shutil.copytree(self.template, self.folder / "models")
        self.clock = 0.0

    @property
    def release(self) -> Release:
        return Release(self.folder / "models", NAME)

    def order(self, kill: int, work: Callable[[Release], object]) -> None:
        release = self.release
        with REAPER.after(kill, release.models), suppress(ReleaseError):
            work(release)

    @rule(version=st.sampled_from(VERSIONS), kill=KILLS)
    def promote(self, version: str, kill: int) -> None:
        self.order(kill, lambda release: release.promote(version, "ada", "a test", force=True, check=whole))

    @rule(version=st.sampled_from(VERSIONS), mode=MODES, kill=KILLS)
    def start(self, version: str, mode: str, kill: int) -> None:
        self.order(
            kill,
            lambda release: release.start(
                version,
                "shadow" if mode == "shadow" else "canary",
                STEPS,
                "ada",
                "a test",
                rules=Rules(least=0),
                force=True,
                check=whole,
            ),
        )

    @rule(kill=KILLS)
    def undo(self, kill: int) -> None:
        self.order(kill, lambda release: release.undo("bob", check=whole))

    @rule(kill=KILLS)
    def break_a_rule(self, kill: int) -> None:
        self.order(kill, lambda release: release.stop("the service", "it fails", "errors"))

    @rule(seconds=st.sampled_from((-3600, 61, 86_400)), kill=KILLS)
    def pass_time(self, seconds: int, kill: int) -> None:
        """The clock goes on or jumps, and a worker looks at what is due."""
        running = self.release.running
        if running is not None:
            moment = running.since + seconds
            self.order(kill, lambda release: release.move_on(running.id, moment, 0))

    @rule(keep=st.integers(1, 3), kill=KILLS)
    def prune(self, keep: int, kill: int) -> None:
        self.order(kill, lambda release: release.prune(keep))

    @invariant()
    def one_version_is_served_and_loads(self) -> None:
        if hasattr(self, "folder"):
            current(self.folder / "models", NAME).verify()
            for version in self.release.home.glob("[!.]*/"):
                Bundle(version)

    @invariant()
    def the_way_back_is_there(self) -> None:
        if hasattr(self, "folder") and (way := self.release.way_back) is not None:
            assert way != current_version(self.folder / "models", NAME)
            Bundle(self.release.home / way)

    @invariant()
    def what_is_tried_is_there_and_belongs_to_what_is_served(self) -> None:
        if hasattr(self, "folder") and (running := self.release.running) is not None:
            assert running.against == self.release.served != running.version
            Bundle(self.release.home / running.version)
            assert running.now in STEPS

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def test_the_invariants_hold(tmp_path: Path) -> None:
    for version in VERSIONS:
        toys.digits(tmp_path / "models", version=version)
    (tmp_path / "models" / NAME / CURRENT).write_text("1\n")

    class Here(Releasing):
        template = tmp_path / "models"

    Here.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
    Here.TestCase("runTest").runTest()
