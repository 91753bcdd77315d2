"""Block matching and 3-D filtering, the strongest of the classical filters, told the spectrum of the noise.

Like blocks are filtered together, in the transform of the stack that they make: once by a hard threshold, and once
more by Wiener's filter, for which the first result says what is signal. Written from the papers; the authors' own code
may not be used commercially.
Sources: Dabov et al., IEEE Trans. Image Process. 16(8), 2007; Makinen et al., IEEE Trans. Image Process. 29, 2020 (the
variance of each coefficient follows from the noise's covariance; what blocks have in common is left out here).
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

SIDE, STEP, REACH, STACK = 8, 4, 8, 16  # pixels of a block, between blocks, of the search each way; blocks in a stack
THRESHOLD = 2.7  # standard deviations
AT_ONCE = 2048  # stacks, to bound the memory


def bm3d(noisy: NDArray[np.float32], covariance: NDArray[Any]) -> NDArray[np.float32]:
    """A slice [H, W] without its noise, whose `covariance` goes by distance: -SIDE + 1 to SIDE - 1 pixels each way."""
    deviation = _deviations(covariance)
    image = pad(torch.from_numpy(noisy)[None, None], (REACH,) * 4, mode="reflect")[0, 0]
    smooth = avg_pool2d(image[None, None], 3, 1, padding=1)[0, 0]
    pilot = _filtered(image, _stacks(smooth), deviation, None)
    final = _filtered(image, _stacks(pilot), deviation, pilot)
    return final[REACH:-REACH, REACH:-REACH].numpy()


def covariance_of(noise: NDArray[Any]) -> NDArray[np.float64]:
    """Of pictures of nothing but noise [N, H, W]: by distance, as `bm3d` takes it."""
    centred = noise - noise.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred)) ** 2 / centred[0].size
    lags = np.fft.ifft2(power.mean(0)).real
    near = np.roll(lags, (SIDE - 1, SIDE - 1), (0, 1))
    return np.asarray(near[: 2 * SIDE - 1, : 2 * SIDE - 1], np.float64)


def _deviations(covariance: NDArray[Any]) -> Tensor:
    """Of the noise in each coefficient of a block's transform, [SIDE, SIDE]."""
    at = np.indices((SIDE, SIDE)).reshape(2, -1).T
    between = at[:, None] - at + SIDE - 1
    block = torch.from_numpy(np.ascontiguousarray(covariance[between[..., 0], between[..., 1]])).float()
    basis = torch.kron(_cosines(SIDE), _cosines(SIDE))
    variance = torch.einsum("ki,ij,kj->k", basis, block, basis)
    return variance.clamp(min=1e-6).sqrt().reshape(SIDE, SIDE)


def _cosines(size: int) -> Tensor:
    """The orthonormal discrete cosine transform, [size, size]."""
    n = torch.arange(size)
    basis = torch.cos(math.pi * (n + 0.5) * n[:, None] / size) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def _stacks(image: Tensor) -> Tensor:
    """For each block on the grid the places, top left and as flat indices, of those most like it [R, STACK]."""
    height, width = image.shape
    inner = image[REACH : height - REACH, REACH : width - REACH]
    shifts = [(y, x) for y in range(2 * REACH + 1) for x in range(2 * REACH + 1)]
    apart = []
    for y, x in shifts:
        moved = image[y : y + inner.shape[0], x : x + inner.shape[1]]
        apart.append(avg_pool2d((moved - inner).square()[None, None], SIDE, STEP)[0, 0])
    nearest = torch.stack(apart, -1).topk(STACK, largest=False).indices
    rows, columns = nearest.shape[:2]
    offset = torch.tensor([y * width + x for y, x in shifts])
    corner = STEP * (torch.arange(rows)[:, None] * width + torch.arange(columns))
    return (corner[..., None] + offset[nearest]).flatten(0, 1)


def _filtered(image: Tensor, stacks: Tensor, deviation: Tensor, pilot: Tensor | None) -> Tensor:
    """All stacks filtered and laid over each other, each with the weight of how little noise is left in it."""
    width = image.shape[1]
    within = (torch.arange(SIDE)[:, None] * width + torch.arange(SIDE)).flatten()
    total, weights = torch.zeros(image.numel()), torch.zeros(image.numel())
    block, stack = _cosines(SIDE), _cosines(STACK)
    for some in torch.split(stacks, AT_ONCE):
        places = some[..., None] + within  # [R, STACK, SIDE * SIDE]
        found = _transformed(image.flatten()[places], block, stack)
        if pilot is None:
            share = (found.abs() > THRESHOLD * deviation).float()
            share[:, 0, 0, 0] = 1
        else:
            signal = _transformed(pilot.flatten()[places], block, stack).square()
            share = signal / (signal + deviation.square())
        left = (share.square() * deviation.square()).sum((1, 2, 3), keepdim=True)
        weight = (1 / left.clamp(min=1e-6)).expand(-1, STACK, SIDE, SIDE)
        cleaned = torch.einsum("rkuv,ks,ui,vj->rsij", found * share, stack, block, block)
        total.index_add_(0, places.flatten(), (weight * cleaned).flatten())
        weights.index_add_(0, places.flatten(), weight.flatten())
    return torch.where(weights > 0, total / weights.clamp(min=1e-12), image.flatten()).reshape(image.shape)


def _transformed(blocks: Tensor, block: Tensor, stack: Tensor) -> Tensor:
    return torch.einsum("rsij,ks,ui,vj->rkuv", blocks.reshape(*blocks.shape[:2], SIDE, SIDE), stack, block, block)
