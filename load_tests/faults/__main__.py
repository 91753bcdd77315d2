"""What goes wrong in a running service, done to it on purpose under load, and whether anybody noticed.

    python -m load_tests.faults [--swaps N] [--broken N] [--disconnects N] [--rows N] [--overload SECONDS]
                                [--restarts N] [--kills N]

Prints a table and ends with status 1 when an answer was wrong, late or lost, or something leaked.
"""

import argparse
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from load_tests.faults.scenes import (
    Scene,
    broken_bundles,
    disconnects,
    hot_swaps,
    large_rows,
    overload,
    restarts,
    serve,
    worker_kills,
)
from load_tests.model_folder import ModelFolder
from load_tests.report import table
from load_tests.serving import Serving

Play = Callable[[Serving, ModelFolder, int], Scene]
ONE_WORKER: dict[str, Play] = {
    "swaps": hot_swaps,
    "broken": broken_bundles,
    "disconnects": disconnects,
    "rows": large_rows,
    "overload": overload,
    "restarts": restarts,
}
TWO_WORKERS: dict[str, Play] = {"kills": worker_kills}
FULL = {"swaps": 100, "broken": 100, "disconnects": 10_000, "rows": 20, "overload": 20, "restarts": 100, "kills": 50}


def play(counts: dict[str, int], folder: Path) -> Iterator[Scene]:
    for workers, plays in ((1, ONE_WORKER), (2, TWO_WORKERS)):
        chosen = [name for name in plays if counts[name]]
        if not chosen:
            continue
        models = ModelFolder(folder / str(workers))
        serving = serve(folder / str(workers), models, workers)
        try:
            for name in chosen:
                print(f"{name}: {counts[name]}", file=sys.stderr)
                yield plays[name](serving, models, counts[name])
        finally:
            serving.terminate()
            serving.ended()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in FULL.items():
        parser.add_argument(f"--{name}", type=int, default=count, help=f"default: {count}; 0 leaves it out")
    counts = vars(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is stopped then, too
    with tempfile.TemporaryDirectory() as folder:
        scenes = list(play(counts, Path(folder)))
    print(table([scene.row() for scene in scenes]))
    for scene in scenes:
        for violation, times in Counter(scene.violations).most_common(20):
            print(f"{scene.name}: {violation} ({times} x)")
    sys.exit(any(scene.violations for scene in scenes))


if __name__ == "__main__":
    main()
