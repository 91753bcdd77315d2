"""Networks of rows: numbers by the bins that they fill, categories by learned vectors, and members that vote.

Piecewise-linear encoding of numbers: Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular
Deep Learning", NeurIPS 2022.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import Attribute

# B rows, A attributes, N of them numbers, C categories, T bins, F features, K members, O outputs

FAR = 1e9  # beyond every number: where an attribute has fewer bins than another


class Columns(nn.Module):
    """Rows as a client's attributes have them [B, A] to features [B, F]; what is missing has a place of its own."""

    number: Tensor
    start: Tensor
    width: Tensor
    unknown: Tensor
    category: Tensor
    offset: Tensor
    absent: Tensor

    def __init__(
        self, attributes: Sequence[Attribute], x_NA: NDArray[np.float32], bins: int = 24, size: int = 6
    ) -> None:
        """Bins begin at quantiles of the rows `x_NA`; a category becomes a vector of `size`."""
        super().__init__()
        numbers = [i for i, one in enumerate(attributes) if one.range]
        categories = [i for i, one in enumerate(attributes) if one.values]
        edges = [_edges(x_NA[:, i], attributes[i].missing, bins) for i in numbers]
        self.register_buffer("number", torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.register_buffer("category", torch.tensor(categories, dtype=torch.int64), persistent=False)
        self.register_buffer("start", torch.tensor([one[:-1] for one in edges]))
        self.register_buffer("width", torch.tensor([[b - a for a, b in pairwise(one)] for one in edges]))
        self.register_buffer("unknown", torch.tensor([_missing(attributes[i]) for i in numbers]))
        sizes = [len(attributes[i].values) + 1 for i in categories]
        self.register_buffer("offset", torch.tensor(np.cumsum([0, *sizes[:-1]]), dtype=torch.int64))
        self.register_buffer("absent", torch.tensor([float(size - 1) for size in sizes]))
        self.vectors = nn.Embedding(max(sum(sizes), 1), size) if sizes else None
        self.features = len(numbers) * (bins + 1) + len(categories) * size

    def forward(self, row: Tensor) -> Tensor:
        x_BN = row[:, self.number]
        missing_BN = x_BN == self.unknown
        filled_BNT = ((x_BN[:, :, None] - self.start) / self.width).clamp(0, 1)
        filled_BNT = torch.where(missing_BN[:, :, None], 0.0, filled_BNT)
        parts = [filled_BNT.flatten(1), missing_BN.to(row.dtype)]
        if self.vectors is not None:
            x_BC = row[:, self.category]
            index_BC = torch.where(x_BC < 0, self.absent, x_BC).to(torch.int64) + self.offset
            parts.append(self.vectors(index_BC).flatten(1))
        return torch.cat(parts, dim=1)


def _edges(values: NDArray[np.float32], missing: float | None, bins: int) -> list[float]:
    """Where `bins` bins begin and the last one ends: half of them hold as many rows each, half as many values.

    A number that is 0 in most rows would have all its bins there.
    """
    known = (values if missing is None else values[values != missing]).astype(np.float64)
    shares = np.linspace(0, 1, bins // 2 + 1)
    found = np.unique([*np.quantile(known, shares), *np.quantile(np.unique(known), shares)]).tolist()
    found = found if len(found) > 1 else [found[0], found[0] + 1]
    return found + [FAR * (1 + i) for i in range(bins + 1 - len(found))]


def _missing(attribute: Attribute) -> float:
    return -FAR if attribute.missing is None else attribute.missing


class NormalScores(nn.Module):
    """Numbers [B, A] by their ranks among the rows `x_NA`, as a normal distribution has them: few are large."""

    start: Tensor
    width: Tensor
    score: Tensor

    def __init__(self, x_NA: NDArray[np.float32], knots: int = 50) -> None:
        super().__init__()
        share = np.linspace(0, 1, knots)
        edges_TA = np.quantile(x_NA, share, axis=0)
        self.register_buffer("start", torch.from_numpy(edges_TA[:-1].T).float())
        self.register_buffer("width", torch.from_numpy(np.diff(edges_TA, axis=0).T).float().clamp(min=1e-6))
        self.register_buffer("score", torch.special.ndtri(torch.from_numpy(share).clamp(0.002, 0.998)).float())

    def forward(self, row: Tensor) -> Tensor:
        passed_BAT = ((row[:, :, None] - self.start) / self.width).clamp(0, 1)
        return self.score[0] + passed_BAT @ self.score.diff()


class Members(nn.Module):
    """A layer of each of K members at once: [K, B, in] -> [K, B, out]."""

    def __init__(self, members: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, 1, outputs).uniform_(-bound, bound))

    def forward(self, x_KBI: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x_KBI, self.weight)


class RowNetwork(nn.Module):
    """Features of rows to the outputs of each member: [B, A] -> [K, B, O]."""

    def __init__(self, columns: Columns, outputs: int, *, members: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.columns, self.members = columns, members
        self.layers = nn.Sequential(
            Members(members, columns.features, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            Members(members, hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            Members(members, hidden, outputs),
        )

    def forward(self, row: Tensor) -> Tensor:
        features_BF = self.columns(row)
        outputs_KBO: Tensor = self.layers(features_BF[None].expand(self.members, -1, -1))
        return outputs_KBO
