"""How the sessions of a process share what it may take of a GPU's memory.

Each has an arena of its own with a bound of its own. In one arena for all, as on the CPU, what a captured graph writes
between its nodes would lie where another session's batch lies: the graph goes on using the addresses that were free
when it was captured. So the bound is cut up beforehand, by what each session is likely to need.
"""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from math import prod
from pathlib import Path

from service.bundle import MAIN, Axis, Bundle, BundleError, Graph, current_version, names
from service.engine.profile import ON_DEVICE, SIDE_BY_SIDE, Profile, read_profile
from service.settings import Settings

LAYOUTS = 3  # times a graph's file: its weights, and in the layout of the kernels
ACTIVATIONS = 64  # numbers between the nodes for each of the inputs, as in a wide network
NUMBER = 4  # bytes
LEAST = 2**20  # bytes: what an arena begins with


def share_of(bundle: Bundle, settings: Settings, graph: str) -> int:
    """Bytes for a session of this graph; 0 where there is no bound.

    The shares of all sessions of the declared models are the bound. A version that is tried or takes over has its share
    on top of that of the one before, until that one goes.
    """
    if not settings.gpu_memory:
        return 0
    profile, everything = read_profile(settings.profile), 0
    for folder in _declared(settings):
        with suppress(BundleError):
            everything += sum(need * _sessions(folder, name, profile) for name, need in _needs(folder).items())
    mine = _needs(bundle.path)[graph]
    return settings.gpu_memory * mine // max(everything, mine)


def _declared(settings: Settings) -> Iterator[Path]:
    for name in settings.models or names(settings.models_dir):
        with suppress(BundleError):
            yield settings.models_dir / name / current_version(settings.models_dir, name)


def _sessions(folder: Path, graph: str, profile: Profile) -> int:
    if graph != MAIN:
        return 1
    tuning = profile.tuning(folder.parent.name, ON_DEVICE)
    return SIDE_BY_SIDE if tuning is None else tuning.instances


@lru_cache(maxsize=1024)
def _needs(folder: Path) -> dict[str, int]:
    """Bytes by graph, roughly. Raises BundleError."""
    bundle = Bundle(folder)
    return {
        name: max(
            LEAST,
            LAYOUTS * bundle.graph_file(name).stat().st_size
            + NUMBER * ACTIVATIONS * graph.max_batch * largest_item(graph, bundle.manifest.axes),
        )
        for name, graph in bundle.manifest.graphs.items()
    }


def largest_item(graph: Graph, axes: dict[str, Axis]) -> int:
    """The numbers of an item that is as large as its axes allow, all inputs together."""
    shapes = (tensor.shape[1:] for tensor in graph.inputs)
    return sum(prod(side if isinstance(side, int) else axes[side].most for side in shape) for shape in shapes)
