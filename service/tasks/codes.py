"""Latent codes: drawn from a seed, on the way between two of them, or spread evenly over a plane.

Sample i of a seed has its own counter-based stream (Philox, Salmon et al. 2011, keyed by seed and i), so it is the
same sample whatever the count and whatever batch it rode in.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidShape, InvalidValue

FARTHEST = 20.0  # from 0, of a latent code's numbers: no draw of a standard normal comes near

Codes = NDArray[np.float32]


def stream(seed: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, index]))


def given(latents: NDArray[np.float64], shape: tuple[int, ...], field: str) -> Codes:
    """Codes that a client sent. Raises InvalidShape, InvalidValue."""
    if latents.shape != shape:
        raise InvalidShape(f"Must have the shape {list(shape)}, got {list(latents.shape)}.", field)
    if not np.abs(latents).max() <= FARTHEST:
        raise InvalidValue(f"Every number must lie between {-FARTHEST:g} and {FARTHEST:g}.", field)
    return latents.astype(np.float32)


def between(first: Codes, last: Codes, count: int) -> Codes:
    """`count` codes along the arc from one code to another, on which a draw's distance from 0 is kept.

    White, Sampling generative networks, arXiv:1609.04468, 2016.
    """
    lengths, share = float(np.linalg.norm(first) * np.linalg.norm(last)), np.linspace(0, 1, count)[:, None]
    angle = np.arccos(np.clip(float(first @ last) / lengths, -1, 1)) if lengths else 0.0
    if np.sin(angle) < 1e-6:  # in one line with 0, where there is no arc
        codes = (1 - share) * first + share * last
    else:
        codes = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
    return codes.astype(np.float32)


def plane(side: int) -> Codes:
    """`side` times `side` codes of two numbers, equally likely under a normal prior: across, then down."""
    places = [NormalDist().inv_cdf((step + 0.5) / side) for step in range(side)]
    return np.array([(across, down) for down in places for across in places], np.float32)
