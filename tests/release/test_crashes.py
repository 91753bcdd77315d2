"""Whatever is ordered, and wherever a process dies: one version is served, it loads, and the way back is there."""

import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bundle import CURRENT, Bundle, current, current_version
from service.release import Release, ReleaseError
from tests import toys

NAME, VERSIONS = "toy-digits", ("1", "2", "3", "4")
FILE_EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"}


class Killed(BaseException):
    """The process is gone: nothing that it would have done to a file is done any more."""


class Reaper:
    """Ends this "process" at its n-th file operation below a folder."""

    def __init__(self) -> None:
        self.folder, self.left = "", 0
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.folder or event not in FILE_EVENTS:
            return
        path = str(arguments[0])
        if path.startswith(self.folder) or not path.startswith("/"):  # rmtree names files within the folder it holds
            self.left -= 1
            if self.left < 0:
                raise Killed

    @contextmanager
    def after(self, operations: int, folder: Path) -> Iterator[None]:
        self.folder, self.left = str(folder), operations
        try:
            yield
        except Killed:
            pass
        finally:
            self.folder = ""


REAPER = Reaper()


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with four versions, of which the first is served."""
    models = tmp_path_factory.mktemp("models")
    for version in VERSIONS:
        toys.digits(models, version=version)
    (models / NAME / CURRENT).write_text("1\n")
    return models


def promote(version: str) -> Callable[[Release], object]:
    return lambda release: release.promote(version, "ada", "as a test", force=True, check=whole)


def rollback(release: Release) -> object:
    return release.rollback("bob", check=whole)


def prune(keep: int) -> Callable[[Release], object]:
    return lambda release: release.prune(keep)


def whole(folder: Path) -> None:
    Bundle(folder)


COMMANDS = st.one_of(st.sampled_from(VERSIONS).map(promote), st.just(rollback), st.integers(1, 3).map(prune))
KILLS = st.one_of(st.just(10_000), st.integers(0, 40))


@given(orders=st.lists(st.tuples(COMMANDS, KILLS), min_size=1, max_size=12))
@settings(max_examples=30, deadline=None)
def test_the_invariants_hold_in_any_order_and_after_any_death(
    four: Path, orders: list[tuple[Callable[[Release], object], int]]
) -> None:
    with TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        shutil.copytree(four, models)
        release, served, back = Release(models, NAME), "1", None
        for order, operations in orders:
            with REAPER.after(operations, models), suppress(ReleaseError):
                order(release)
            served, back = held_true(release, served, back)


def held_true(release: Release, served: str, back: str | None) -> tuple[str, str | None]:
    """Check the invariants as another process would find them; what is served now, and the way back."""
    now = current_version(release.models, NAME)
    current(release.models, NAME).verify()
    for version in release.home.glob("[!.]*/"):  # none of which is a half
        Bundle(version)
    way = Release(release.models, NAME).way_back
    if now != served:
        assert release.history[-1].after == now
        assert release.history[-1].before == served
    if now != served and release.history[-1].action != "rollback":
        assert way == served
    if now == served:
        assert way == back
    assert way is None or way != now
    return now, way


@pytest.mark.parametrize("operations", range(14))
def test_a_promotion_that_dies_anywhere_took_place_or_did_not(four: Path, tmp_path: Path, operations: int) -> None:
    shutil.copytree(four, tmp_path / "models")
    release = Release(tmp_path / "models", NAME)
    with REAPER.after(operations, tmp_path):
        promote("2")(release)
    assert (release.served, [entry.after for entry in release.history]) in (("1", []), ("2", ["2"]))
    if release.served == "1":
        promote("2")(release)
    rollback(release)
    assert release.served == "1"


@pytest.mark.parametrize("operations", range(24))
def test_pruning_that_dies_anywhere_leaves_whole_versions(four: Path, tmp_path: Path, operations: int) -> None:
    shutil.copytree(four, tmp_path / "models")
    release = Release(tmp_path / "models", NAME)
    with REAPER.after(operations, tmp_path):
        release.prune(1)
    for version in release.home.glob("[!.]*/"):
        Bundle(version)
    release.prune(1)
    assert sorted(path.name for path in release.home.iterdir()) == ["1", "4", CURRENT]


def test_a_full_disk_leaves_what_is_served(four: Path, tmp_path: Path) -> None:
    shutil.copytree(four, tmp_path / "models")
    release = Release(tmp_path / "models", NAME)
    before = sorted(release.home.rglob("*"))
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))  # no file may grow
    try:
        with pytest.raises(OSError, match="too large"):
            promote("2")(release)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert (release.served, release.history) == ("1", ())
    assert sorted(release.home.rglob("*")) == before
