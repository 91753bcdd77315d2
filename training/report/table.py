"""One table of a family's committed models: how large, how good and how fast they are, beside the source's figure."""

import math
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

from service import bundle
from service.bundle import Arrays, Bundle, Family, rows_of
from training import recipe
from training.export.store import committed, models_directory
from training.report import card

FAMILIES: dict[str, Family] = {
    "classifiers": "classify",
    "regressors": "regress",
    "denoisers": "denoise",
    "generators": "generate",
    "sequences": "sequence",
    "analyses": "analyse",
}
MEANING = (
    "Every figure stands in the model's card with what it is a figure of. It was measured on held-out data through the "
    "committed graph; a cross-validated one was measured on models trained again, each without the fold it is measured "
    "on. Parameters: the numbers in the graph that training or data set, and a few constants. A recipe's header counts "
    "what training adjusts, before each batch normalisation is folded into the convolution in front of it."
)
NOTES = {
    "classifiers": "The models of clothes, which answer to `/v1/images/classify`, want pictures as Fashion-MNIST has "
    "them: one light piece on black that fills the frame. A picture is made grey and resized, and nothing is inverted: "
    "clothes on white are read badly.",
    "generators": "10,000 samples are compared with as many test pictures, in inner features of "
    "`digits`; what depends on their number is to be compared among as many; the floor "
    "is the Fréchet distance of as many training pictures from them. Precision, recall, density and coverage have 5 "
    "neighbours. The accuracy score is that of a network which learned from samples alone, on test pictures. Read: by "
    "`convnet`, accepted: by `digits`; neither took part in any training of a generator. Clothes are compared in "
    "features of `fashion-cnn` and read by `zca-mlp`. The rarest digit has that "
    "share of what was drawn, where an even one would be 10 %. All but the flows "
    "are small and were trained for minutes. Two of them draw a digit in less than 5 %: in the "
    "plane of `aae`'s codes digits overlap, and `gan`, whose source reports mostly 3s, misses it by a little. "
    "[Samples](samples.md) says how to ask for them.",
    "denoisers": "CT slices answer to [`/v1/ct/denoise`](ct.md); `model` chooses one. Gain: of PSNR on the slices of "
    "a patient who trained nothing, at a quarter and a tenth of a simulated dose.",
    "sequences": "Texts answer to [`/v1/texts/classify`](texts.md), series to [`/v1/series/forecast`](series.md), "
    "clips to [`/v1/clips/classify`](clips.md); what carries a state answers [as that page "
    "says](series.md#a-state-that-you-carry). Of errors the least is best.",
}
FIGURES = {
    "generators": {
        "read as asked": "samples read as asked",
        "Fréchet distance": "Fréchet distance",
        "times the floor": "times the floor",
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
        "accuracy score": "classification accuracy score",
        "accepted": "accepted samples",
        "rarest digit": "rarest mode",
    },
    "denoisers": {
        "gain at a tenth, dB": "PSNR gain, tenth dose",
        "beyond BM3D at a quarter, dB": "lead over BM3D, quarter dose",
        "at a tenth, dB": "lead over BM3D, tenth dose",
        "edges kept": "sharpness kept, tenth dose",
        "cells without harm": "cells of the no-harm grid",
        "5 mm lesions of +20 HU kept": "contrast kept, 5 mm, +20 HU",
    },
}
"""Further columns of a family, and the metrics in them."""
COLUMNS = "model", "parameters", "kB", "headline figure, 95 % interval", "the source's figure"
BESIDE = "the same of others"  # methods, on the same data: a column of the families whose recipes measure them
COMPARED = {"sequences"}
SPEEDS = 1, 64  # rows at once
ROUNDS, ROUND = 5, 0.2  # of so many seconds


class TableError(Exception):
    """A table with nothing in it."""


def page(family: str, speeds: bool = True) -> str:
    """The document about `family`, a key of FAMILIES: what its columns mean, and the table.

    Raises TableError when there is no model of the family.
    """
    head = [*columns(family), *(f"batch {size}" for size in SPEEDS if speeds)]
    table = [row + [f"{speed(found, size):,.0f}" for size in SPEEDS if speeds] for found, row in rows(family)]
    if not table:
        there = ", ".join(other for other in FAMILIES if any(rows(other)))
        raise TableError(f"there are no {family} in {models_directory()}; there are {there or 'no models'}")
    measured = (
        f"Batch {' and '.join(map(str, SPEEDS))}: rows a second through ONNX Runtime {onnxruntime.__version__} on one "
        f"thread, nothing around it, on {_processor()}, of its quickest golden input, over and over, which no model "
        "looks at twice. "
    )
    return "\n\n".join(
        [
            f"# {family.capitalize()}",
            f"{MEANING} {measured * speeds}Made by `python -m training table {family}`.",
            *([NOTES[family]] if family in NOTES else []),
            card.table(head, table) + "\n",
        ]
    )


def columns(family: str) -> tuple[str, ...]:
    return (*COLUMNS, *FIGURES.get(family, ()), *([BESIDE] if family in COMPARED else []))


def rows(family: str) -> Iterator[tuple[Bundle, list[str]]]:
    """Every bundle of the family by name, with its cells under `columns`."""
    for name in bundle.names(models_directory()):
        found = committed(name)
        if found.manifest.family == FAMILIES[family]:
            cascade = found.manifest.cascade
            files = [found.graph, *([found.graph_file(cascade.graph)] if cascade else [])]
            size = f"{sum(file.stat().st_size for file in files) / 1000:,.0f}"
            figure = card.figure(found.manifest.metrics[0])
            own = [f"[{name}](../models/{name})", f"{parameters(found):,}", size, figure, _source_figure(name)]
            more = [_value(found, metric) for metric in FIGURES.get(family, {}).values()]
            yield found, own + more + [_beside(found)] * (family in COMPARED)


def _value(found: Bundle, metric: str) -> str:
    """A figure of a bundle, without its interval; a dash where it has none of that name."""
    return next((card.number(one.value) for one in found.manifest.metrics if one.name == metric), "–")


def _beside(found: Bundle) -> str:
    """What the same figure is "of" something else, as a recipe calls it."""
    headline, *others = found.manifest.metrics
    start = f"{headline.name} of "
    compared = [one for one in others if one.name.startswith(start)]
    return ", ".join(f"{one.name.removeprefix(start)} {card.number(one.value)}" for one in compared) or "none"


def _source_figure(name: str) -> str:
    """What the source reports; a bundle that was made without a recipe has none."""
    return (recipe.load(name).source_figure if name in recipe.names() else "") or "none"


def parameters(found: Bundle) -> int:
    """The numbers in the graph's initialisers that are parameters. Integers of 64 bits are shapes and positions."""
    initialisers = onnx.load(found.graph).graph.initializer
    return sum(math.prod(one.dims) for one in initialisers if one.data_type != TensorProto.INT64)


def speed(found: Bundle, size: int) -> float:
    """Rows a second in batches of `size` times the quickest golden input on one thread: the best round."""
    session = on_one_thread(found.graph)
    row = max(rows_of(found.golden()[0]), key=lambda row: _runs_per_s(session, row, ROUND / 10))
    inputs = {name: np.repeat(array, size, axis=0) for name, array in row.items()}
    return size * max(_runs_per_s(session, inputs, ROUND) for _ in range(ROUNDS))


def on_one_thread(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _runs_per_s(session: Any, inputs: Arrays, seconds: float) -> float:
    session.run(None, inputs)
    started, runs = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds:
        session.run(None, inputs)
        runs += 1
    return runs / elapsed


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
