"""A server under assault, one after the other, and whether it still stands after each."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from load_tests.hostile.assaults import ASSAULTS, SETTINGS, Assault, attack
from load_tests.serving import Serving, within
from load_tests.shelf import SMALL, Shelf

SETTLE_S = 5
ALIVE = Assault("a sound request", [SMALL], ([200],))


def besiege(serving: Serving, assaults: list[Assault]) -> Iterator[str]:
    """What the server did wrong under each assault and after it."""
    for assault in assaults:
        outcome = asyncio.run(attack(serving.port, assault))
        if outcome.statuses not in assault.allowed:
            yield f"{assault.name}: answered {outcome.statuses}, allowed is any of {list(assault.allowed)}"
        if asyncio.run(attack(serving.port, ALIVE)).statuses != [200]:
            yield f"{assault.name}: afterwards the server does not answer"
    if "Traceback" in serving.log:
        yield f"a traceback in the log: {serving.log.partition('Traceback')[2][:3000]}"
    if not within(SETTLE_S, lambda: serving.level("quartet_in_flight_requests") == 0):
        yield f"requests are still in flight after {SETTLE_S} s"


def siege(folder: Path) -> Iterator[str]:
    shelf = Shelf(folder)
    serving = Serving(folder, models_dir=shelf.models, **SETTINGS).start()
    try:
        yield from besiege(serving, ASSAULTS)
        print(f"{len(ASSAULTS)} assaults below HTTP")
    finally:
        serving.terminate()
        serving.ended()
