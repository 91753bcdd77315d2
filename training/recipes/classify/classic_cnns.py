"""AlexNet, VGG-16, Inception v3 and ResNet-18, narrow and for small pictures, and their common opinion.

Network: the four architectures of `training/networks/architectures.py`, which have the published sizes for ImageNet,
here for 28x28 grey pictures with 0.15 to 0.2 M parameters each: a share of the maps in every layer, dense layers of
128, batch normalisation in the two that are older than it, no auxiliary head. `by_architecture` has the answers of each
in this order, `probabilities` is their mean, its logarithm divided by the temperature that fits the validation images
best (Guo et al., ICML 2017): the mean of several is less confident than they are.
Source: Krizhevsky, 2014; Simonyan and Zisserman, ICLR 2015; Szegedy et al., CVPR 2016; He et al., CVPR 2016. Trained
together, which for each is the same as alone, on shifted and mirrored pictures, one cycle of the learning rate,
averaged weights; the curve's training loss is the sum of the four, its validation is that of their mean.
1,000 training pictures are set aside to validate choices; the 10,000 test pictures only measure the result.
Data: Fashion-MNIST, 60,000 + 10,000 pictures of 28x28 (Xiao, Rasul, Vollgraf, 2017), MIT licence.
Expected: 92.8 % of the test pictures; alone from 88.6 % (Inception v3) to 92.4 % (VGG-16); the source states no figure.
Run time: an hour and a quarter on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Arrays, ImageClassification
from service.bundle import Tensor as Declared
from training.data import CLOTHES, fashion_mnist
from training.given.images import folder
from training.images.augmentation import mirrored, shifted
from training.kinds import classification
from training.measures.evaluation import Evaluation, Predict, proportion
from training.networks.architectures import AlexNet, Form, InceptionV3, ResNet18, Vgg16
from training.networks.blocks import FASHION_MNIST, Standardise
from training.recipe import Recipe
from training.run import Run

# B batch, H height, W width, K classes, N networks

NETWORKS: dict[str, tuple[Callable[[Form], nn.Module], float]] = {
    "AlexNet": (AlexNet, 1 / 4),
    "VGG-16": (Vgg16, 7 / 64),
    "Inception v3": (InceptionV3, 1 / 12),
    "ResNet-18": (ResNet18, 1 / 8),
}
"""The architectures by name, each with the share of its maps that is left."""


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 16
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    average_decay: float = 0.995
    validation: int = 1000
    bfloat16: bool = True
    dense: int = 128
    dropout: float = 0.2


class Committee(nn.Module):
    """Grey levels [B, 28, 28] to the scores of all networks [B, K, N]; in use to those of their mean probabilities."""

    def __init__(self, hyper: Hyper) -> None:
        super().__init__()
        self.standardise = Standardise(*FASHION_MNIST)
        form = Form(
            channels=1, classes=len(CLOTHES), dense=hyper.dense, dropout=hyper.dropout, normalised=True, small=True
        )
        self.networks = nn.ModuleList(build(replace(form, width=width)) for build, width in NETWORKS.values())

    def scores(self, image_BHW: Tensor) -> Tensor:
        standardised_B1HW = self.standardise(image_BHW)
        return torch.stack([network(standardised_B1HW) for network in self.networks], 2)

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores_BKN = self.scores(image_BHW)
        return scores_BKN if self.training else common(scores_BKN)


class CommitteeAndMembers(nn.Module):
    """Images to the mean probabilities [B, K] at the temperature and to those of every network [B, N, K]."""

    temperature: Tensor

    def __init__(self, committee: Committee, temperature: Tensor) -> None:
        super().__init__()
        self.committee = committee
        self.register_buffer("temperature", temperature)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores_BKN = self.committee.scores(image)
        return F.softmax(common(scores_BKN) / self.temperature, 1), F.softmax(scores_BKN, 1).mT


def common(scores_BKN: Tensor) -> Tensor:
    """Scores [B, K] whose soft-max is the mean of the networks' probabilities."""
    return F.log_softmax(scores_BKN, 1).logsumexp(2)


def alone(_: Tensor, scores_BKN: Tensor, label_B: Tensor) -> Tensor:
    """The sum of every network's own cross-entropy: none gets a gradient from another."""
    # Not cross_entropy of all at once, which on a GPU has no deterministic form.
    return torch.stack([F.cross_entropy(scores_BK, label_B) for scores_BK in scores_BKN.unbind(2)]).sum()


def train(run: Run[Hyper]) -> nn.Module:
    images, labels = classification.grey(fashion_mnist().train)
    committee = Committee(run.hyper)
    fitted = classification.fit(
        run, committee, images, labels, augment=lambda image: mirrored(shifted(image)), loss=alone
    )
    assert isinstance(fitted.network, Committee)
    return CommitteeAndMembers(fitted.network, fitted.temperature)


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    """As of any classifier, and the accuracy of every architecture."""
    data = fashion_mnist()
    answer = predict({"image": data.test.pixels.astype(np.float32)})
    found = classification.evaluate(lambda _: answer, data, CLOTHES)
    right_N = (answer["by_architecture"].argmax(2) == data.test.labels[:, None]).sum(0)
    each = [
        proportion(f"accuracy of {name}", int(right), len(data.test), description="alone")
        for name, right in zip(NETWORKS, right_N, strict=True)
    ]
    return replace(found, metrics=(found.metrics[0], *each, *found.metrics[1:]))


def examples() -> Arrays:
    """The first four training pictures: an ankle boot, two t-shirts and a dress."""
    return classification.first(fashion_mnist().train)


RECIPE = Recipe(
    description="Names pieces of clothing by the common opinion of narrow AlexNet, VGG-16, Inception v3 and ResNet-18.",
    task=ImageClassification(labels=CLOTHES),
    hyper=Hyper(),
    sources=("fashion-mnist",),
    inputs=(classification.image(description="a piece of clothing, light on black"),),
    outputs=(
        classification.probabilities(description="the mean of all architectures at a temperature, summing to 1"),
        Declared(
            name="by_architecture",
            dtype="float32",
            shape=("batch", len(NETWORKS), len(CLOTHES)),
            range=(0, 1),
            description=f"one per label, in their order, of {', '.join(NETWORKS)}",
        ),
    ),
    given=folder(fashion_mnist),
    train=train,
    evaluate=evaluate,
    examples=examples,
    training_outputs=classification.training_outputs(fashion_mnist),
    trial={"validation": 100},
    spot_check=classification.spot_check(fashion_mnist),
    rows=classification.rows(fashion_mnist, CLOTHES),
)
