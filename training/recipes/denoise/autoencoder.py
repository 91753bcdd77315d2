"""An autoencoder of handwritten digits that takes noise out of them, and keeps each in 32 numbers.

Network: two convolutions that halve the resolution and a dense layer to the code, mirrored; 0.11 M parameters. What was
learned from digits fits nothing else: pictures of other things come back as strokes.
Source: Vincent, Larochelle, Bengio and Manzagol, Extracting and composing robust features with denoising autoencoders,
ICML 2008; Chollet, Building autoencoders in Keras, blog.keras.io, 2016 (convolutions, the noise).
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence. 5,000 training digits are set aside to
validate. Noise: normal, clipped to black and white, drawn anew for every digit in every epoch, of 0 to 160 levels.
Figures are of test digits under noise of 128 levels, half of white, and of those without noise, which show what the
code loses. `convnet` says how many can still be read.
Expected: PSNR rises by 9 dB, and convnet reads 95 % of the digits. Run time: 2 minutes on one core.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import GRAPH, Arrays, ImageTransformation, Metric, Tolerance
from service.bundle import Tensor as Declared
from training.data import mnist
from training.export.parity import Predictor
from training.export.store import committed
from training.given.images import folder
from training.measures.evaluation import Evaluation, Predict, bootstrapped, histogram, proportion
from training.measures.image_quality import psnr
from training.measures.outputs import some
from training.measures.paired import Scores
from training.recipe import Recipe
from training.report import pictures
from training.run import Run
from training.schedule import one_cycle

# B batch, H height, W width, L numbers of the code

WHITE = 255.0
NOISE = 128.0  # levels, of the figures
SLIGHT = 0.06  # dB, two deviations of three seeds


@dataclass(frozen=True, kw_only=True)
class Hyper:
    seed: int = 1
    epochs: int = 7
    batch: int = 128
    learning_rate: float = 3e-3
    code: int = 32
    widths: tuple[int, int] = (16, 32)
    most_noise: float = 160.0  # levels
    validation: int = 5000


class Autoencoder(nn.Module):
    """float32 [B, 28, 28] in grey levels to the same without noise."""

    def __init__(self, hyper: Hyper) -> None:
        super().__init__()
        first, second = hyper.widths
        self.encoder = nn.Sequential(
            nn.Conv2d(1, first, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * 49, hyper.code),
        )
        self.decoder = nn.Sequential(
            nn.Linear(hyper.code, second * 49),
            nn.ReLU(),
            nn.Unflatten(1, (second, 7, 7)),
            nn.ConvTranspose2d(second, first, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(first, 1, 4, stride=2, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return WHITE * torch.sigmoid(self.odds(image))

    def odds(self, image_BHW: Tensor) -> Tensor:
        """The log-odds of white [B, 28, 28]."""
        code_BL = self.encoder(image_BHW[:, None] / WHITE)
        odds_BHW: Tensor = self.decoder(code_BL)[:, 0]
        return odds_BHW


def noisy(image_BHW: Tensor, most: float) -> Tensor:
    """With noise of a strength of its own for each image, from none to `most` levels."""
    strength_B11 = most * torch.rand(len(image_BHW), 1, 1, device=image_BHW.device)
    return (image_BHW + strength_B11 * torch.randn_like(image_BHW)).clamp(0, WHITE)


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    images = torch.from_numpy(mnist().train.pixels).to(run.device, torch.float32)
    held, learned = images[: hyper.validation], images[hyper.validation :]
    network = Autoencoder(hyper).to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=len(learned), batch=hyper.batch)
    for _ in run.epochs(network=network, optimizer=optimizer, scheduler=scheduler):
        losses = []
        for (image,) in run.batches(learned, size=hyper.batch):
            loss = F.binary_cross_entropy_with_logits(network.odds(noisy(image, hyper.most_noise)), image / WHITE)
            run.step(loss, optimizer)
            scheduler.step()
            losses.append(loss.detach())
        with torch.no_grad():
            odds = network.odds(noisy(held, hyper.most_noise))
        validation = F.binary_cross_entropy_with_logits(odds, held / WHITE)
        run.log(train_cross_entropy=float(torch.stack(losses).mean()), validation_cross_entropy=float(validation))
    return network


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    digits = mnist()
    clean = digits.test.pixels.astype(np.float32)
    shown = with_noise(clean, hyper.seed)
    denoised, kept = (predict({"image": images})["denoised"] for images in (shown, clean))
    reader = committed("convnet")
    read = Predictor.of(reader)
    told = f"by convnet {reader.manifest.version}, sha256 {reader.manifest.sha256[GRAPH]}"

    def readable(name: str, images: NDArray[np.float32]) -> Metric:
        right = read({"image": images})["probabilities"].argmax(1) == digits.test.labels
        return proportion(name, int(right.sum()), len(right), description=told)

    def average(name: str, values: NDArray[np.float64], description: str) -> Metric:
        return bootstrapped(name, np.mean, values, unit="dB", description=description)

    before, after, without = (psnr(images, clean, (0, WHITE)) for images in (shown, denoised, kept))
    return Evaluation(
        metrics=(
            average("PSNR gain", after - before, f"noise of {NOISE:g} levels"),
            average("PSNR before", before, f"noise of {NOISE:g} levels"),
            average("PSNR after", after, f"noise of {NOISE:g} levels"),
            average("PSNR without noise", without, f"what {hyper.code} numbers keep of a digit"),
            readable("noisy digits read", shown),
            readable("denoised digits read", denoised),
            readable("digits read without noise", kept),
        ),
        pictures={"noisy-denoised-clean": _sheet(shown, denoised, clean)},
        reference=(histogram("mean grey", digits.train.pixels.mean((1, 2)), np.linspace(0, 128, 33)),),
    )


def scores(predict: Predict, hyper: Hyper) -> Scores:
    """What PSNR gains with each digit, and with those of each label."""
    test = mnist().test
    clean = test.pixels.astype(np.float32)
    shown = with_noise(clean, hyper.seed)
    gain = psnr(predict({"image": shown})["denoised"], clean, (0, WHITE)) - psnr(shown, clean, (0, WHITE))
    slices = {f"digit {digit}": test.labels == digit for digit in range(10)}
    return Scores(
        statistic=lambda gains: float(gains.mean()), given=(gain,), items="digits", slices=slices, slight=SLIGHT
    )


def with_noise(clean: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """In whole levels."""
    drawn = np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)
    return np.rint(clean + NOISE * drawn).clip(0, WHITE).astype(np.float32)


def _sheet(*rows: NDArray[np.float32]) -> bytes:
    images = np.concatenate([images[:10] for images in rows])
    return pictures.image_sheet(images, columns=10, row_names=("noisy", "denoised", "clean"))


def examples() -> Arrays:
    """Four digits that do not train the network."""
    return {"image": with_noise(mnist().train.pixels[:4].astype(np.float32), 2)}


RECIPE = Recipe(
    description="Takes the noise out of handwritten digits: a convolutional autoencoder trained on MNIST.",
    task=ImageTransformation(),
    hyper=Hyper(),
    sources=("mnist",),
    inputs=(
        Declared(
            name="image",
            dtype="float32",
            shape=("batch", 28, 28),
            unit="grey level",
            range=(0, WHITE),
            description="a white digit on black",
        ),
    ),
    outputs=(
        Declared(
            name="denoised",
            dtype="float32",
            shape=("batch", 28, 28),
            unit="grey level",
            range=(0, WHITE),
            description="the digit without its noise",
        ),
    ),
    given=folder(mnist, tuple(range(10))),
    train=train,
    evaluate=evaluate,
    scores=scores,
    examples=examples,
    training_outputs=lambda predict: predict({"image": with_noise(some(mnist().train.pixels).astype(np.float32), 0)}),
    tolerance=Tolerance(atol=1e-2, rtol=1e-4),
    trial={"validation": 64},
)
