"""CT denoisers beside the networks that others made.

DnCNN and RED-CNN in their published sizes learn from the same pairs, by the same loop, as `ct-denoiser`: one epoch of
patches of 48x48 pixels in batches of 4, by the mean square error in units of the noise, while the learning rate falls
to nothing. That is a short training for either, and more of it would gain more: the time that is told of
`ct-denoiser` is that of its last 12 epochs, before which it had learned for 60, and `ct-denoiser-fast` learned from
it. PSNR gain is that of three slices of the second patient, who trained nothing, within -1000 to 400 HU; BM3D is told
the covariance of their very noise, and its strength is the best on a validation slice. Edges: their slope after over
before. Processor's time: that of a slice through ONNX Runtime on one thread, of what it takes `ct-denoiser`, by turns.
Unlike the other networks, `ct-denoiser` and `ct-denoiser-fast` bound what they take, which costs them some of
the gain at a tenth of the dose. Pairs and trainings are kept below `runs/ct-networks`. The first run takes a quarter
of an hour of one core, and as long for the pairs; later ones only measure, in two minutes.
"""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from training.data import chest_ct
from training.export.parity import Predictor
from training.export.store import committed
from training.kinds import ct_learning, denoising
from training.kinds.ct_learning import Learning
from training.measures import ct
from training.measures.image_quality import psnr, sharpness
from training.networks.low_dose import DnCnn, RedCnn
from training.report.pictures import BLUE, png
from training.report.table import on_one_thread, parameters
from training.run import Run
from training.studies import Findings, Table

BUNDLES = "ct-denoiser", "ct-denoiser-fast", "ct-autoencoder"
NETWORKS: dict[str, tuple[Callable[[], nn.Module], float]] = {"DnCNN": (DnCnn, 1e-3), "RED-CNN": (RedCnn, 3e-4)}
HYPER = Learning(epochs=1, early_epochs=0, batch=4, patch=48)
GAINS = tuple(f"PSNR gain, {dose}, dB" for dose in ct.DOSES)
HEAD = "method", "parameters", "training, minutes", "processor's time", *GAINS, "edges kept"
TURNS = 15


def study() -> Findings:
    shares = _shares_of_time()
    rows = [_row(name, *_committed(name), f"{shares[name]:.2f}") for name in BUNDLES]
    run = Run("ct-networks", HYPER)
    rows += [_row(name, *_trained(run, name, *made)) for name, made in NETWORKS.items()]
    rows.append(["BM3D", "", "", "", *map(_bm3d, ct.DOSES), ""])
    return Findings({"Gain": Table(HEAD, rows)}, {"psnr-gain": _draw(rows)})


def _committed(name: str) -> tuple[ct.Denoise, int, float]:
    found = committed(name)
    return denoising.denoising(Predictor(found.graph)), parameters(found), found.manifest.provenance.seconds


def _shares_of_time() -> dict[str, float]:
    """What a slice takes of a processor, of what it takes `ct-denoiser`: the median of as many, taken by turns."""
    sessions = {name: on_one_thread(committed(name).graph) for name in BUNDLES}
    seconds: dict[str, list[float]] = {name: [] for name in BUNDLES}
    low, _ = _pair(next(iter(ct.DOSES)))
    for _ in range(TURNS):
        for name, session in sessions.items():
            started = process_time()
            session.run(None, {"slice": low[:1]})
            seconds[name].append(process_time() - started)
    return {name: median(taken) / median(seconds[BUNDLES[0]]) for name, taken in seconds.items()}


def _trained(
    run: Run[Learning], name: str, make: Callable[[], nn.Module], rate: float
) -> tuple[ct.Denoise, int, float]:
    part = run.part(name.lower(), learning_rate=rate)
    volume = chest_ct()[0]
    learned, checks = ct_learning.training_pairs(run, volume), denoising.checks(volume, part.hyper)[:1]
    share = ct_learning.half_cosine(part.hyper, learned)
    network = ct_learning.fit(part, make(), learned, checks, share, ct_learning.first_cost).eval()
    return partial(denoising.applied, network), sum(one.numel() for one in network.parameters()), part.seconds


def _pair(dose: str) -> tuple[ct.Slices, ct.Slices]:
    second = chest_ct()[1]
    return denoising.pair(second, denoising.spaced_rows(second), None, ct.DOSES[dose], HYPER.seed)


def _row(name: str, denoise: ct.Denoise, size: int, seconds: float, share: str = "") -> list[Any]:
    gains, edges = [], []
    for low, clean in map(_pair, ct.DOSES):
        denoised = denoise(low)
        gains.append(float((psnr(denoised, clean, ct.WIDE) - psnr(low, clean, ct.WIDE)).mean()))
        edges.append(float((sharpness(denoised, clean) / sharpness(low, clean)).mean()))
    return [name, f"{size:,}", f"{seconds / 60:.0f}", share, *gains, min(edges)]


def _bm3d(dose: str) -> float:
    first = chest_ct()[0]
    validation = denoising.pair(first, HYPER.validating[:1], None, ct.DOSES[dose], HYPER.seed)
    return ct.beside_classical(dose, lambda low: low, validation, _pair(dose), ["BM3D"])[0].value


def _draw(rows: list[list[Any]]) -> bytes:
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    for axes, dose, place in zip(figure.subplots(1, 2, sharey=True), ct.DOSES, (4, 5), strict=True):
        axes.barh([row[0] for row in rows][::-1], [row[place] for row in rows][::-1], color=BLUE)
        axes.set(xlabel=f"PSNR gain, {dose}, dB")
        axes.axvline(0, color="black", linewidth=0.8)
    return png(figure)
