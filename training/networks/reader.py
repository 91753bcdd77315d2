"""A network that reads a text both ways, and knows what each word adds to its scores."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.networks.recurrent import Cell, Recurrent

# B batch, W words, E numbers of an embedding, K labels, V vocabulary

PADDING = 0  # the identifier of no word


class Reader(nn.Module):
    """Identifiers [B, W] to parts of the scores [B, W, K], by recurrent layers in both directions and attention.

    `ratings` [V, 2] are of words, and whether there is one. In training `dropout` hides the same hidden units from the
    state at all steps and the same embedded numbers in all words, `hidden_words` whole words.
    """

    ratings: Tensor

    def __init__(
        self,
        cell: Cell,
        ratings: Tensor,
        labels: int,
        *,
        embedding: int,
        width: int,
        layers: int,
        dropout: float,
        hidden_words: float,
    ) -> None:
        super().__init__()
        self.register_buffer("ratings", ratings.half())
        self.embedding = nn.Embedding(len(ratings), embedding)
        nn.init.normal_(self.embedding.weight, std=0.1)
        sizes = [embedding + 2, *[2 * width] * layers]
        self.layers = nn.ModuleList(
            Recurrent(cell, size, width, both_ways=True, dropout=dropout) for size in sizes[:-1]
        )
        self.attention, self.says = nn.Linear(sizes[-1], 1), nn.Linear(sizes[-1], labels, bias=False)
        self.bias = nn.Parameter(torch.zeros(labels))
        self.dropout, self.hidden_words = dropout, hidden_words

    def forward(self, identifiers_BW: Tensor) -> Tensor:
        is_word_BW = identifiers_BW != PADDING
        length_B = is_word_BW.sum(1).clamp(min=1)
        x_BWE = self.embedding(identifiers_BW).float()
        x_BWE = torch.cat([x_BWE, self.ratings[identifiers_BW].float()], 2)
        if self.training:
            x_BWE = x_BWE * F.dropout(torch.ones_like(x_BWE[:, :, :1]), self.hidden_words)
        x_BWE = self._hidden(x_BWE)
        for layer in self.layers:
            x_BWE = self._hidden(layer(x_BWE, length_B)[0])
        looked_at_BW = self.attention(x_BWE)[:, :, 0].masked_fill(~is_word_BW, -1e4).softmax(1)
        parts_BWK: Tensor = looked_at_BW[:, :, None] * self.says(x_BWE) * is_word_BW[:, :, None]
        return parts_BWK

    def _hidden(self, x_BWE: Tensor) -> Tensor:
        return x_BWE * F.dropout(torch.ones_like(x_BWE[:, :1]), self.dropout) if self.training else x_BWE
