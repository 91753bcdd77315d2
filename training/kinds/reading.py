"""Classifiers of texts by a `Reader`: recurrent layers both ways, over words of which something is known beforehand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from training.kinds import texts
from training.networks.reader import Reader
from training.networks.recurrent import Cell
from training.run import Run


@dataclass(frozen=True, kw_only=True)
class Hyper(texts.Hyper):
    """Those of `Reader` beside those of `texts.fit`."""

    learning_rate: float = 8e-3
    average_decay: float = 0.98
    embedding: int
    width: int
    layers: int = 2
    dropout: float = 0.4
    hidden_words: float


def train(
    run: Run[Any],
    cell: Cell,
    vocabulary: Sequence[str],
    ratings: Tensor,
    learned: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    view: Callable[[Tensor], Tensor] = lambda identifiers_BW: identifiers_BW,
) -> texts.Served:
    """What is served; `ratings` are the reader's, and all that follows is as for `texts.fit`."""
    hyper: Hyper = run.hyper
    reader = Reader(
        cell,
        ratings,
        learned[1].shape[1],
        embedding=hyper.embedding,
        width=hyper.width,
        layers=hyper.layers,
        dropout=hyper.dropout,
        hidden_words=hyper.hidden_words,
    )
    network = texts.fit(run, reader, learned, validation, view)
    assert isinstance(network, Reader)
    network.embedding.half()  # half the size of the bundle, and as good
    return texts.Served(network, vocabulary)
