"""Recurrent layers over sequences of different lengths, one after the other or in both directions at once."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

# B batch, T steps, F features, H hidden units, D directions

Cell = Literal["rnn", "lstm", "gru"]
ORDERS = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}  # of PyTorch's gates, as ONNX has them
PER_DIRECTION = 4  # weights of the input and of the state, and their biases


class Recurrent(nn.Module):
    """Features [B, T, F] of sequences of `length` [B] steps to hidden states [B, T, D H] and the last ones [B, D H].

    States behind a sequence's end are 0. In training `dropout` hides hidden units from the state, the same ones at all
    steps (Gal and Ghahramani, NeurIPS 2016).
    """

    def __init__(self, cell: Cell, inputs: int, size: int, *, both_ways: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        kinds = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
        self.cell, self.size, self.dropout, self.directions = cell, size, dropout, 1 + both_ways
        self.layer = kinds[cell](inputs, size, bidirectional=both_ways)

    def forward(self, x_BTF: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
        if torch.compiler.is_exporting():
            return self._as_onnx(x_BTF, length_B)
        weights = [parameter for _, parameter in self.layer.named_parameters()]
        if self.training and self.dropout:
            for state in range(1, len(weights), PER_DIRECTION):
                weights[state] = weights[state] * F.dropout(torch.ones_like(weights[state][:1]), self.dropout)
        packed = pack_padded_sequence(x_BTF, length_B.cpu(), batch_first=True, enforce_sorted=False)
        states, last_DBH = self._run(packed, weights)
        padded_BTH, _ = pad_packed_sequence(states, batch_first=True, total_length=x_BTF.shape[1])
        if packed.unsorted_indices is not None:
            last_DBH = last_DBH.index_select(1, packed.unsorted_indices)
        return padded_BTH, last_DBH.transpose(0, 1).flatten(1)

    def _run(self, packed: PackedSequence, weights: list[Tensor]) -> tuple[PackedSequence, Tensor]:
        zero_DBH = packed.data.new_zeros(self.directions, int(packed.batch_sizes[0]), self.size)
        about = (weights, True, 1, 0.0, self.training, self.directions == 2)
        if self.cell == "lstm":
            data, last_DBH, _ = torch.lstm(packed.data, packed.batch_sizes, [zero_DBH, zero_DBH], *about)
        else:
            run = torch.gru if self.cell == "gru" else torch.rnn_tanh
            data, last_DBH = run(packed.data, packed.batch_sizes, zero_DBH, *about)
        return packed._replace(data=data), last_DBH

    def _as_onnx(self, x_BTF: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor]:
        """The operator of that name, which knows of lengths; the exporter's own would not."""
        weights = [self._ordered(parameter) for _, parameter in self.layer.named_parameters()]
        every = slice(None, None, PER_DIRECTION)
        input_DGF, state_DGH, bias_DG, more_DG = (torch.stack(weights[i:][every]) for i in range(PER_DIRECTION))
        batch, steps, _ = x_BTF.shape
        attributes: dict[str, Any] = {
            "hidden_size": self.size,
            "direction": "bidirectional" if self.directions == 2 else "forward",
        }
        shapes = [[steps, self.directions, batch, self.size], *[[self.directions, batch, self.size]] * 2]
        outputs = 3 if self.cell == "lstm" else 2
        states_TDBH, last_DBH, *_ = torch.onnx.ops.symbolic_multi_out(
            self.cell.upper(),
            (x_BTF.transpose(0, 1), input_DGF, state_DGH, torch.cat([bias_DG, more_DG], 1), length_B.int()),
            attributes | ({"linear_before_reset": 1} if self.cell == "gru" else {}),
            dtypes=[torch.float32] * outputs,
            shapes=shapes[:outputs],
        )
        return states_TDBH.permute(2, 0, 1, 3).flatten(2), last_DBH.transpose(0, 1).flatten(1)

    def _ordered(self, parameter: Tensor) -> Tensor:
        gates = parameter.reshape(-1, self.size, *parameter.shape[1:])
        return gates[list(ORDERS[self.cell])].flatten(0, 1)
