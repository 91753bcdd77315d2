"""What is installed to serve is what was tested, file by file: requirements.lock."""

import re
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.settings import PROJECT

ENTRY = re.compile(r"([a-z0-9.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def locked(name: str = "requirements.lock") -> dict[str, str]:
    return {name: version for name, version, _ in ENTRY.findall(read(name))}


def needed(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """The names of a package and of all that it asks for here."""
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    asked = [Requirement(line) for line in requires(name) or ()]
    wanted = [one for one in asked if not one.marker or any(one.marker.evaluate({"extra": e}) for e in extras | {""})]
    found = (needed(canonicalize_name(one.name), frozenset(one.extras), seen) for one in wanted)
    return {name}.union(*found)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-cuda.lock", "deploy/image/sbom.lock"])
def test_a_lock_is_entries_with_hashes_and_nothing_else(name: str) -> None:
    rest = ENTRY.sub("", read(name)).splitlines()
    assert len(locked(name)) > 30
    assert [line for line in rest if not line.startswith("#")] == []
    assert "://" not in read(name)


def test_the_lock_for_gpus_differs_by_what_a_gpu_needs() -> None:
    more = locked("requirements-cuda.lock").items() - locked().items()
    assert {name for name, _ in more if not name.startswith("nvidia-")} == {"onnxruntime-gpu"}
    assert locked("requirements-cuda.lock")["onnxruntime-gpu"] == locked()["onnxruntime"]
    assert locked().items() - locked("requirements-cuda.lock").items() == {("onnxruntime", locked()["onnxruntime"])}


def test_the_lock_has_the_versions_that_were_tested() -> None:
    lines = [line.split("==") for line in read("constraints.txt").splitlines() if "==" in line]
    tested = {canonicalize_name(name): version for name, version in lines}
    assert locked().items() <= tested.items()


def test_the_lock_holds_what_requirements_ask_for_and_what_that_brings() -> None:
    asked = [Requirement(line) for line in read("requirements.txt").splitlines()]
    assert all(one.specifier.contains(locked()[canonicalize_name(one.name)]) for one in asked)
    seen: set[tuple[str, frozenset[str]]] = set()
    served = set().union(*(needed(canonicalize_name(one.name), frozenset(one.extras), seen) for one in asked))
    assert served == set(locked())


def test_the_image_installs_from_the_lock_alone() -> None:
    installs = re.findall(r"pip install .*", read("Dockerfile"))
    assert installs
    for line in installs:
        assert "--require-hashes --only-binary :all: --requirement requirements.lock" in line
