"""A convolutional autoencoder of CT slices, the plain way to take noise out of them, for comparison: it blurs.

Network: two convolutions, each followed by pooling that halves the resolution, and their mirror image; 0.05 M
parameters. Whatever does not fit through a quarter of the resolution is gone, so edges lose steepness, and a slice
without noise changes as much as one with: `ct-denoiser` is what to use.
Sources: Chollet, Building autoencoders in Keras, blog.keras.io, 2016 (the network); Nishio et al., Convolutional
auto-encoder for image denoising of ultra-low-dose CT, Heliyon 3(8), 2017 (its use).
Data, dose: those of `ct-denoiser`: one patient's chest and drawn anatomy under simulated noise; the second patient only
measures the result.
Training: by the mean square error in the window from -1024 to 1000 HU, as the sources do, while the learning rate falls
to nothing.
Expected: less than BM3D and non-local means, and harm in most cells of the grid; at a tenth of the normal dose PSNR on
the second patient may rise. Run time: 6 minutes on one core, and a quarter of an hour for the noise to learn from,
which `ct-denoiser` makes as well.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.data import chest_ct
from training.kinds import ct_learning, denoising
from training.kinds.ct_learning import Learning
from training.run import Run

# B batch, H height, W width

LOW, HIGH = -1024.0, 1000.0  # HU that the network sees; what lies beyond is left as it is


class CtAutoencoder(nn.Module):
    """float32 [B, H, W] in HU to the same without noise; H and W are any numbers."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, second, inner = widths
        self.encoder = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(second, inner, 3, padding=1),
            nn.ReLU(),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(inner, second, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(second, second, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(second, first, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(first, 1, 3, padding=1),
        )

    def forward(self, slice: Tensor) -> Tensor:
        seen_BHW = slice.clamp(LOW, HIGH)
        shown_B1HW = (seen_BHW[:, None] - LOW) / (HIGH - LOW)
        made_B1HW = self.decoder(self.encoder(shown_B1HW))[..., : slice.shape[-2], : slice.shape[-1]].float()
        denoised_BHW: Tensor = slice - seen_BHW + LOW + (HIGH - LOW) * made_B1HW[:, 0]
        return denoised_BHW


def cost(denoised: Tensor, clean: Tensor, lesions: Tensor, deviation: Tensor) -> Tensor:
    return F.mse_loss(denoised / (HIGH - LOW), clean / (HIGH - LOW))


def train(run: Run[Learning]) -> nn.Module:
    hyper = run.hyper
    volume = chest_ct()[0]
    learned, checks = ct_learning.training_pairs(run, volume), denoising.checks(volume, hyper)
    share = ct_learning.half_cosine(hyper, learned)
    torch.manual_seed(hyper.seed)
    return ct_learning.fit(run, CtAutoencoder(hyper.widths), learned, checks, share, cost)


RECIPE = denoising.recipe(
    description="A plain autoencoder of CT slices, for comparison with `ct-denoiser`: it takes noise, and sharpness.",
    caution="This model is there for comparison: it blurs edges, and changes slices that have no noise.",
    hyper=Learning(epochs=10, learning_rate=2e-3, early_epochs=0, edges=0.0, lesions=0.0, widths=(32, 32, 64)),
    train=train,
)
