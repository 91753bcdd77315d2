"""How near samples come to real pictures and how much of them they cover, in the features of a classifier.

Features are rows [N, D]; every function takes numbers of rows that memory holds, and compares block by block.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle import Metric
from training.measures.evaluation import bootstrapped, proportion

Rows = NDArray[np.float32]

NEIGHBOURS = 5
BLOCK = 1000  # rows compared with all others at a time


def frechet(left_ND: Rows, right_ND: Rows) -> float:
    """The squared distance of two normal distributions with the rows' means and covariances.

    Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017, with the features that are given.
    """
    return _between(_moments(left_ND), _moments(right_ND))


def frechet_metric(name: str, fake_ND: Rows, real_ND: Rows, resamples: int = 50, **details: str) -> Metric:
    """The Fréchet distance; its interval is that of the bootstrap about its own mean, which duplicates raise."""
    generator, real = np.random.default_rng(0), _moments(real_ND)
    value = _between(_moments(fake_ND), real)
    draws = []
    for _ in range(resamples):
        draws.append(_between(_moments(fake_ND[generator.integers(len(fake_ND), size=len(fake_ND))]), real))
    low, high = value + np.quantile(draws, (0.025, 0.975)) - np.mean(draws)
    return Metric(name=name, value=value, low=max(0.0, float(low)), high=float(high), count=len(fake_ND), **details)


def _moments(rows_ND: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean_D = rows_ND.mean(0, dtype=np.float64)
    centred = (rows_ND - mean_D).astype(np.float32)
    return mean_D, (centred.T @ centred).astype(np.float64) / (len(rows_ND) - 1)


Moments = tuple[NDArray[np.float64], NDArray[np.float64]]


def _between(left: Moments, right: Moments) -> float:
    """tr(A + B - 2 (A^½ B A^½)^½) + |a - b|², by eigenvalues, of which rounding may make some negative."""
    values, vectors = np.linalg.eigh(left[1])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ right[1] @ root), 0)).sum()
    return float(((left[0] - right[0]) ** 2).sum() + np.trace(left[1]) + np.trace(right[1]) - 2 * shared)


def manifold(fake_ND: Rows, real_ND: Rows, neighbours: int = NEIGHBOURS) -> tuple[Metric, ...]:
    """Precision and recall (Kynkäänniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

    A ball about a row reaches to its `neighbours`-th neighbour among the rows of its own kind.
    """
    real_radius, fake_radius = (_radii(rows, neighbours) for rows in (real_ND, fake_ND))
    inside = np.zeros(len(fake_ND), np.int64)  # balls of real rows that hold a sample
    recalled, covered = [], []
    for start, distance in _blocks(real_ND, fake_ND):
        ball = real_radius[start : start + BLOCK, None]
        inside += (distance <= ball).sum(0)
        recalled.append((distance <= fake_radius).any(1))
        covered.append((distance <= ball).any(1))
    return (
        _share("precision", inside > 0, "samples in the neighbourhood of test pictures"),
        _share("recall", np.concatenate(recalled), "test pictures in the neighbourhood of samples"),
        bootstrapped(
            "density",
            lambda balls: float(balls.mean()),
            inside / neighbours,
            resamples=200,
            split="samples",
            description="test pictures whose neighbourhood holds a sample, beside what is expected",
        ),
        _share("coverage", np.concatenate(covered), "test pictures in whose neighbourhood a sample is"),
    )


def _share(name: str, held: NDArray[np.bool_], description: str) -> Metric:
    return proportion(name, int(held.sum()), len(held), split="samples", description=description)


def nearest(rows_ND: Rows, others_MD: Rows) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each row the nearest of the others, by position, and its distance."""
    found = [(block.argmin(1), block.min(1)) for _, block in _blocks(rows_ND, others_MD)]
    positions, distances = zip(*found, strict=True)
    return np.concatenate(positions), np.concatenate(distances)


def support(fake_ND: Rows, real_ND: Rows, pairs: int = 100) -> Metric:
    """How many different pictures a generator has, by the birthday paradox (Arora et al., ICLR 2018).

    Two samples count as the same where they are nearer to each other than all but `pairs` pairs of test pictures are.
    The number is in units of the test pictures': 1 where as many samples coincide as test pictures do.
    """
    count = min(len(fake_ND), len(real_ND))
    near = np.concatenate([_least(distance, pairs) for distance in _pairs(real_ND[:count])])
    limit = np.sort(near)[pairs - 1]
    same = np.array([(distance <= limit).sum() for distance in _pairs(fake_ND[:count])])
    total = max(int(same.sum()), 1)
    spread = 1.96 * np.sqrt(total)  # of a count of rare pairs
    return Metric(
        name="support",
        value=pairs / total,
        low=pairs / (total + spread),
        high=pairs / max(total - spread, 1),
        count=count,
        split="samples",
        description="different pictures, by coinciding pairs, beside the test pictures'",
    )


def _least(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.partition(values, count)[:count] if len(values) > count else values


def _pairs(rows_ND: Rows) -> Iterator[NDArray[np.float32]]:
    """The distances of every pair, in blocks."""
    for start, distance in _blocks(rows_ND, rows_ND):
        yield distance[np.arange(len(distance))[:, None] + start < np.arange(len(rows_ND))]


def _radii(rows_ND: Rows, neighbours: int) -> NDArray[np.float32]:
    """The distance of each row's `neighbours`-th neighbour; the first that is found is the row itself."""
    return np.concatenate([np.partition(block, neighbours, 1)[:, neighbours] for _, block in _blocks(rows_ND, rows_ND)])


def _blocks(left_ND: Rows, right_MD: Rows) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Distances [block, M] of the left rows from all right ones, and where each block begins."""
    squares = (right_MD**2).sum(1)
    for start in range(0, len(left_ND), BLOCK):
        block = left_ND[start : start + BLOCK]
        squared = (block**2).sum(1)[:, None] + squares - 2 * block @ right_MD.T
        yield start, np.sqrt(np.maximum(squared, 0))


def modes(labels_N: NDArray[np.int64], classes: int) -> tuple[Metric, ...]:
    """How evenly the classes are drawn: the divergence from even shares in nats, and the share of the rarest."""

    def divergence(labels: NDArray[np.int64]) -> float:
        share = np.bincount(labels, minlength=classes) / len(labels)
        return float(np.log(classes) + (share[share > 0] * np.log(share[share > 0])).sum())

    counts = np.bincount(labels_N, minlength=classes)
    uneven = bootstrapped(
        "divergence of modes",
        divergence,
        labels_N,
        resamples=200,
        unit="nats",
        split="samples",
        description=f"of their shares from even ones; their entropy is {np.log(classes) - divergence(labels_N):.4f}",
    )
    rarest = int(counts.argmin())
    least = proportion(
        "rarest mode", int(counts[rarest]), len(labels_N), split="samples", description=f"the share read as {rarest}"
    )
    return uneven.model_copy(update={"low": min(uneven.low, uneven.value)}), least
