"""Networks that tell what another made from what it imitates, and the losses of both sides."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, C code or features


class Adversary(nn.Module):
    """Tells apart what was made and what is real."""

    def told_apart(self, made: Any, real: Any) -> Tensor:
        """Its own loss, of which no gradient goes back to what was made."""
        raise NotImplementedError

    def deceived(self, made: Any, real: Any) -> Tensor:
        """The loss of what would have the made taken for real."""
        raise NotImplementedError


class Discriminator(Adversary):
    """Rows [B, C] to the log-odds [B, 1] that they are what is imitated; `noise` keeps it from being certain.

    Goodfellow et al., Generative adversarial nets, NeurIPS 2014, with the loss that does not saturate.
    """

    def __init__(self, size: int, noise: float = 0.0, widths: tuple[int, int] = (128, 128)) -> None:
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

    def told_apart(self, made: Tensor, real: Tensor) -> Tensor:
        return F.softplus(self(made.detach())).mean() + F.softplus(-self(real)).mean()

    def deceived(self, made: Tensor, real: Tensor | None = None) -> Tensor:
        return F.softplus(-self(made)).mean()


class Critic(Discriminator):
    """A discriminator whose output is a height, its slope kept near 1 between what is made and what is real.

    The difference of the mean heights is the Wasserstein distance (Gulrajani et al., Improved training of Wasserstein
    GANs, NeurIPS 2017).
    """

    penalty = 10.0

    def __init__(self, size: int, widths: tuple[int, int]) -> None:
        super().__init__(size, widths=widths)
        self.layers[-1] = nn.Linear(widths[1], 1, bias=False)  # which no difference of heights depends on

    def told_apart(self, made: Tensor, real: Tensor) -> Tensor:
        share_B1 = torch.rand(len(made), 1, device=made.device)
        between_BC = torch.lerp(made.detach(), real, share_B1).requires_grad_()
        (slope_BC,) = torch.autograd.grad(self(between_BC).sum(), between_BC, create_graph=True)
        steepness = ((slope_BC.norm(2, 1) - 1) ** 2).mean()
        below: Tensor = self(made.detach()).mean() - self(real).mean() + self.penalty * steepness
        return below

    def deceived(self, made: Tensor, real: Tensor | None = None) -> Tensor:
        depth: Tensor = (-self(made)).mean()
        return depth


class Steadied(Adversary):
    """A discriminator that compares what is made with what is real, pair by pair, and is kept flat around both.

    A row is seen beside the mean of its batch and how much the rows of that differ, so that shares of kinds that are
    not those of real rows tell the two apart. Huang et al., The GAN is dead; long live the GAN!, NeurIPS 2024; Lucas et
    al., Mixed batches and symmetric discriminators for GAN training, ICML 2018; Karras et al., Progressive growing of
    GANs for improved quality, stability, and variation, ICLR 2018.
    """

    penalty = 0.3

    def __init__(self, size: int, widths: tuple[int, int]) -> None:
        super().__init__()
        first, second = widths
        self.seen = nn.Sequential(nn.Linear(size, first), nn.LeakyReLU(0.2))
        self.log_odds = nn.Sequential(
            nn.Linear(2 * first + 1, second), nn.LeakyReLU(0.2), nn.Linear(second, 1, bias=False)
        )

    def forward(self, row_BC: Tensor) -> Tensor:
        seen_BC = self.seen(row_BC)
        batch_C = torch.cat([seen_BC.mean(0), seen_BC.std(0).mean()[None]])
        log_odds: Tensor = self.log_odds(torch.cat([seen_BC, batch_C.expand(len(row_BC), -1)], 1))
        return log_odds

    def told_apart(self, made: Tensor, real: Tensor) -> Tensor:
        rows = [row_BC.detach().requires_grad_() for row_BC in (made, real)]
        made_B1, real_B1 = (self(row_BC) for row_BC in rows)
        slopes = torch.autograd.grad(made_B1.sum() + real_B1.sum(), rows, create_graph=True)
        steepness = self.penalty / 2 * sum((slope_BC**2).sum(1).mean() for slope_BC in slopes)
        apart: Tensor = F.softplus(made_B1 - real_B1).mean() + steepness
        return apart

    def deceived(self, made: Tensor, real: Tensor) -> Tensor:
        return F.softplus(self(real).detach() - self(made)).mean()


class Observer(Adversary):
    """Tells rows [B, C] of `labels` labels from made ones, and reads the label; what it sees in them is to agree.

    Deceived is whoever's rows have the mean features of real ones, for the discriminator all of them and for the
    classifier those of each label (Bao et al., CVAE-GAN, ICCV 2017). `made` is (drawn of a random code, labels, drawn
    again of an image's own code), `real` is (the images, their labels).
    """

    def __init__(self, size: int, labels: int, noise: float, widths: tuple[int, int]) -> None:
        super().__init__()
        self.noise, self.labels = noise, labels
        first, second = widths
        self.telling, self.reading = (
            nn.Sequential(nn.Linear(size, first), nn.LeakyReLU(0.2), nn.Linear(first, second), nn.LeakyReLU(0.2))
            for _ in range(2)
        )
        self.log_odds, self.scores = nn.Linear(second, 1), nn.Linear(second, labels)

    def _log_odds(self, row_BC: Tensor) -> Tensor:
        log_odds: Tensor = self.log_odds(self.telling(row_BC + self.noise * torch.randn_like(row_BC)))
        return log_odds

    def told_apart(self, made: tuple[Tensor, Tensor, Tensor], real: tuple[Tensor, Tensor]) -> Tensor:
        (drawn, _, again), (images, labels) = made, real
        mistaken = F.cross_entropy(self.scores(self.reading(images)), labels)
        taken = F.softplus(self._log_odds(torch.cat([drawn, again]).detach())).mean()
        apart: Tensor = F.softplus(-self._log_odds(images)).mean() + taken + mistaken
        return apart

    def deceived(self, made: tuple[Tensor, Tensor, Tensor], real: tuple[Tensor, Tensor]) -> Tensor:
        (drawn, asked, again), (images, labels) = made, real
        means = (self.telling(images).mean(0).detach(), self.telling(drawn).mean(0))
        centres = (self._centres(images, labels).detach(), self._centres(drawn, asked))
        pairs = [(layers(images).detach(), layers(again)) for layers in (self.telling, self.reading)]
        matched = [F.mse_loss(*pair) for pair in (means, centres, *pairs)]
        agreed: Tensor = torch.stack(matched).sum()
        return agreed

    def _centres(self, row_BC: Tensor, label_B: Tensor) -> Tensor:
        """The mean features of each label [L, C], 0 for one that does not occur."""
        one_hot_BL = F.one_hot(label_B, self.labels).float()
        centres_LC: Tensor = one_hot_BL.T @ self.reading(row_BC) / one_hot_BL.sum(0).clamp(min=1)[:, None]
        return centres_LC
