"""Tables of numbers and categories, learned by a network: the loop, classes, labels, numbers with their intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import Attribute, Histogram
from training.export.weights import begin
from training.measures.evaluation import histogram
from training.networks.rows import Columns, RowNetwork
from training.run import Run
from training.schedule import one_cycle

# B or N rows, A attributes, K members, O outputs

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs of all members [K, B, O] and the truth [B, O] to one number."""


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """Of a training: a share `hidden_values` of the values that may be missing is hidden anew in each batch."""

    seed: int = 0
    epochs: int = 20
    batch: int = 256
    learning_rate: float = 0.003
    weight_decay: float = 0.01
    members: int = 4
    hidden: int = 128
    dropout: float = 0.2
    bins: int = 24
    hidden_values: float = 0.0


def network_of(hyper: Hyper, attributes: Sequence[Attribute], x_NA: NDArray[np.float32], outputs: int) -> RowNetwork:
    columns = Columns(attributes, x_NA, hyper.bins)
    return RowNetwork(columns, outputs, members=hyper.members, hidden=hyper.hidden, dropout=hyper.dropout)


def fit(
    run: Run[Hyper],
    attributes: Sequence[Attribute],
    x_NA: NDArray[np.float32],
    y_NO: NDArray[np.float32],
    loss: Loss,
    outputs: int,
) -> RowNetwork:
    """The network after one cycle of the learning rate over these rows."""
    hyper = run.hyper
    network = begin(run, network_of(hyper, attributes, x_NA, outputs)).to(run.device)
    x, y = (torch.from_numpy(array).to(run.device) for array in (x_NA, y_NO))
    stand_in_A = torch.tensor([torch.nan if one.missing is None else one.missing for one in attributes])
    stand_in_A = stand_in_A.to(run.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=hyper.learning_rate, weight_decay=hyper.weight_decay)
    schedule = one_cycle(optimizer, epochs=hyper.epochs, rows=len(x), batch=hyper.batch)
    for _ in run.epochs(network=network, optimizer=optimizer, schedule=schedule):
        network.train()
        losses = []
        for x_BA, y_BO in run.batches(x, y, size=hyper.batch):
            value = loss(network(_hide(x_BA, stand_in_A, hyper.hidden_values)), y_BO)
            run.step(value, optimizer)
            schedule.step()
            losses.append(value.item())
        run.log(train_loss=float(np.mean(losses)))
    return network


def _hide(x_BA: Tensor, stand_in_A: Tensor, share: float) -> Tensor:
    if not share:
        return x_BA
    hidden_BA = (torch.rand(x_BA.shape).to(x_BA.device) < share) & ~stand_in_A.isnan()
    return torch.where(hidden_BA, stand_in_A, x_BA)


def binary_loss(outputs_KBO: Tensor, y_BO: Tensor) -> Tensor:
    """Cross-entropy of each label by itself, the mean over all members."""
    return nn.functional.binary_cross_entropy_with_logits(outputs_KBO, y_BO.expand_as(outputs_KBO))


class Labels(nn.Module):
    """Rows [B, A] to the probability of each label [B, O], the mean of the members."""

    def __init__(self, network: RowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, row: Tensor) -> Tensor:
        return torch.sigmoid(self.network(row)).mean(0)


class Event(Labels):
    """Rows [B, A] to the probabilities [B, 2] that an event does not happen and that it does."""

    def forward(self, row: Tensor) -> Tensor:
        probability_B1 = super().forward(row)
        return torch.cat([1 - probability_B1, probability_B1], dim=1)


def reference(attributes: Sequence[Attribute], x_NA: NDArray[np.float32]) -> tuple[Histogram, ...]:
    """One bin per category, a tenth of the rows in each bin of a number; what is missing is not counted."""
    found = []
    for one, values in zip(attributes, x_NA.T, strict=True):
        known = values if one.missing is None else values[values != one.missing]
        edges = np.arange(len(one.values) + 1) - 0.5 if one.values else np.quantile(known, np.linspace(0, 1, 11))
        edges = np.unique(edges)
        found.append(histogram(one.name, known, edges if len(edges) > 1 else [edges[0] - 0.5, edges[0] + 0.5]))
    return tuple(found)
