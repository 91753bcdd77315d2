"""Dense networks between pictures of 28x28 and codes, and those that tell what a network made from what it imitates."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, C code or features, H height, W width

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
        for layer in self.hidden:
            rows_BC = layer(rows_BC, label_B)
        last: Tensor = self.last(rows_BC)
        return last


class Discriminator(nn.Module):
    """Rows [B, C] to the log-odds [B, 1] that they are what is imitated; `noise` keeps it from being certain.

    Goodfellow et al., Generative adversarial nets, NeurIPS 2014, with the loss that does not saturate.
    """

    def __init__(self, size: int, noise: float, widths: tuple[int, int] = (128, 128)) -> None:
        super().__init__()
        self.noise = noise
        first, second = widths
        self.layers = nn.Sequential(
            *(nn.Linear(size, first), nn.LeakyReLU(0.2), nn.Linear(first, second), nn.LeakyReLU(0.2)),
            nn.Linear(second, 1),
        )

    def forward(self, row_BC: Tensor) -> Tensor:
        log_odds: Tensor = self.layers(row_BC + self.noise * torch.randn_like(row_BC))
        return log_odds

    def told_apart(self, made_BC: Tensor, real_BC: Tensor) -> Tensor:
        """The discriminator's own loss."""
        return F.softplus(self(made_BC.detach())).mean() + F.softplus(-self(real_BC)).mean()

    def deceived(self, made_BC: Tensor) -> Tensor:
        """The loss of what would have its rows taken for real."""
        return F.softplus(-self(made_BC)).mean()


class Critic(Discriminator):
    """A discriminator whose output is a height, its slope kept near 1 between what is made and what is real.

    The difference of the mean heights is the Wasserstein distance (Gulrajani et al., Improved training of Wasserstein
    GANs, NeurIPS 2017).
    """

    penalty = 10.0

    def __init__(self, size: int, widths: tuple[int, int]) -> None:
        super().__init__(size, 0.0, widths)
        self.layers[-1] = nn.Linear(widths[1], 1, bias=False)  # which no difference of heights depends on

    def told_apart(self, made_BC: Tensor, real_BC: Tensor) -> Tensor:
        made_BC = made_BC.detach()
        share_B1 = torch.rand(len(made_BC), 1, device=made_BC.device)
        between_BC = torch.lerp(made_BC, real_BC, share_B1).requires_grad_()
        (slope_BC,) = torch.autograd.grad(self(between_BC).sum(), between_BC, create_graph=True)
        steepness = ((slope_BC.norm(2, 1) - 1) ** 2).mean()
        below: Tensor = self(made_BC).mean() - self(real_BC).mean() + self.penalty * steepness
        return below

    def deceived(self, made_BC: Tensor) -> Tensor:
        depth: Tensor = (-self(made_BC)).mean()
        return depth
