"""What a network learns from others' scores, beside the labels.

Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, arXiv:1503.02531, 2015.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, H height, W width, K classes


class Teachers:
    """Trained networks whose mean probabilities another learns; both sides' scores are divided by `softness`."""

    def __init__(self, networks: Sequence[nn.Module], softness: float = 1.0) -> None:
        self.networks, self.softness = [network.eval() for network in networks], softness

    @torch.no_grad()
    def __call__(self, image_BHW: Tensor) -> Tensor:
        """The mean probabilities [B, K]."""
        with torch.autocast(image_BHW.device.type, torch.bfloat16):
            scores = [network(image_BHW).float() for network in self.networks]
        return torch.stack([F.softmax(score / self.softness, 1) for score in scores]).mean(0)

    def divergence(self, taught_BK: Tensor, scores_BK: Tensor) -> Tensor:
        """How far scores are from what was taught, nats [B], times softness squared, by which gradients shrink."""
        own_BK = F.log_softmax(scores_BK / self.softness, 1)
        return self.softness**2 * F.kl_div(own_BK, taught_BK, reduction="none").sum(1)
