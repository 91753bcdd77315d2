"""Dense networks between pictures and codes, which may know the label."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, C code or features

PIXELS = 28 * 28


class Conditioned(nn.Module):
    """A dense layer whose bias depends on the label, where there are `labels`, then SiLU: features [B, C] to [B, C].

    The label enters every hidden layer with the weight of the features; as a one-hot input it is drowned by them,
    and the latent code ends up holding what the label says.
    """

    def __init__(self, inputs: int, outputs: int, labels: int) -> None:
        super().__init__()
        self.dense, self.bias = nn.Linear(inputs, outputs), nn.Embedding(labels, outputs) if labels else None

    def forward(self, features_BC: Tensor, label_B: Tensor | None) -> Tensor:
        shift = 0 if self.bias is None else self.bias(label_B)
        return F.silu(self.dense(features_BC) + shift)


class Dense(nn.Module):
    """Rows [B, inputs] and labels [B], where there are `labels`, to rows [B, outputs]."""

    def __init__(self, inputs: int, widths: Sequence[int], outputs: int, labels: int = 0) -> None:
        super().__init__()
        sizes = [inputs, *widths]
        self.hidden = nn.ModuleList(
            Conditioned(before, after, labels) for before, after in zip(sizes, widths, strict=False)
        )
        self.last = nn.Linear(sizes[-1], outputs)

    def forward(self, rows_BC: Tensor, label_B: Tensor | None = None) -> Tensor:
        last: Tensor = self.last(self.features(rows_BC, label_B))
        return last

    def features(self, rows_BC: Tensor, label_B: Tensor | None = None) -> Tensor:
        """What the last layer reads."""
        for layer in self.hidden:
            rows_BC = layer(rows_BC, label_B)
        return rows_BC
