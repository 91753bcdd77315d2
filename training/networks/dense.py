"""Dense layers that know the label, and networks that tell what another made from what it imitates."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, C code or features


class Conditioned(nn.Module):
    """A dense layer whose bias depends on the label, then SiLU: features [B, C] to [B, C].

    The label enters every hidden layer with the weight of the features; as a one-hot input it is drowned by them,
    and the latent code ends up holding what the label says.
    """

    def __init__(self, inputs: int, outputs: int, labels: int) -> None:
        super().__init__()
        self.dense, self.bias = nn.Linear(inputs, outputs), nn.Embedding(labels, outputs)

    def forward(self, features_BC: Tensor, label_B: Tensor) -> Tensor:
        return F.silu(self.dense(features_BC) + self.bias(label_B))


class Discriminator(nn.Module):
    """Rows [B, C] to the log-odds [B, 1] that they are what is imitated; `noise` keeps it from being certain.

    Goodfellow et al., Generative adversarial nets, NeurIPS 2014, with the loss that does not saturate.
    """

    def __init__(self, size: int, noise: float) -> None:
        super().__init__()
        self.noise = noise
        self.layers = nn.Sequential(
            *(nn.Linear(size, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))
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
