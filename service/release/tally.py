"""What the workers of a service have counted of its rollouts, in a folder that they share.

Each worker writes a file of its own and reads the others'. A worker's file stays when it has ended, so what it counted
still counts.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from service.release.rules import Evidence, Pairs, Side
from service.shared_folder import ensure

SUFFIX = ".rollouts"


class Count(NamedTuple):
    """What one worker has counted of a rollout; `halted` says why it has ended there."""

    candidate: Side = Side()
    served: Side = Side()
    pairs: Pairs = Pairs()
    halted: str = ""


def publish(shared: Path, counts: Mapping[str, Count]) -> None:
    """Write this worker's, by the rollouts' ids. Raises OSError."""
    ensure(shared)
    target = shared / f"{os.getpid()}{SUFFIX}"
    staged = target.with_suffix(".counting")
    staged.write_text(json.dumps(counts))
    staged.replace(target)


def others(shared: Path) -> list[dict[str, Count]]:
    """Those of the other workers."""
    found = []
    for path in shared.glob(f"*{SUFFIX}"):
        if path.stem != str(os.getpid()):
            with suppress(OSError, ValueError, TypeError):
                found.append({identity: _count(one) for identity, one in json.loads(path.read_text()).items()})
    return found


def total(counts: list[Count]) -> Evidence:
    sides = [Side(*map(sum, zip(*(one[i] for one in counts), strict=True))) for i in (0, 1)]
    return Evidence(sides[0], sides[1], Pairs(*map(sum, zip(*(one.pairs for one in counts), strict=True))))


def _count(fields: list[Any]) -> Count:
    candidate, served, pairs, halted = fields
    return Count(Side(*candidate), Side(*served), Pairs(*pairs), halted)
