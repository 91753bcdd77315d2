"""Clothes named by a network that learned from photographs: transfer learning, in its two forms.

Network: the stem and the first 11 of 16 blocks of EfficientNet-Lite0 with the weights of ImageNet, the picture
enlarged to 64x64 and grey in all three colours; mean over the image, then a new head: 112 numbers standardised, dense
10. `frozen_probabilities`: the features stay as they are, only the head is trained. `probabilities`: from there
everything is trained, the learning rate 30 % smaller for every block that is older. The newest blocks are left out:
their maps would be 2x2, and on the features of all sixteen a linear head was right about fewer validation pictures.
Weights are stored as float16 and used as float32.
Source: Yosinski et al., How transferable are features in deep neural networks?, NIPS 2014; Howard and Ruder, ULMFiT,
ACL 2018, for the learning rates; Kumar et al., ICLR 2022, for beginning with the trained head.
Trained on 2,000 pictures, 200 of each class; the first 1,000 of the training set validate choices, the 10,000 test
pictures only measure the result.
Data: Fashion-MNIST, 28x28 grey (Xiao, Rasul, Vollgraf, 2017), MIT licence; weights of EfficientNet-Lite0 (Tan and Le,
ICML 2019), Apache-2.0.
Expected: 88.4 % of the test pictures, 83.7 % with frozen features; the source states no figure. Run time: half an hour
on one core.
"""

import copy
import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from service.bundle import Arrays, ImageClassification
from service.bundle import Tensor as Declared
from training.data import CLOTHES, Images, fashion_mnist
from training.given.images import folder
from training.images.augmentation import mirrored, shifted
from training.kinds import classification
from training.measures.evaluation import Evaluation, Predict, proportion
from training.networks import efficientnet
from training.networks.blocks import store_half
from training.recipe import Recipe
from training.run import Run

# B batch, H height, W width, K classes

SIDE, LAYERS, FEATURES = 64, 12, 112


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 32
    batch: int = 64
    learning_rate: float = 2e-3  # of the head; every older layer has less
    older: float = 0.7  # times the learning rate of the block that follows
    weight_decay: float = 0.05
    average_decay: float = 0.98
    validation: int = 1000
    per_class: int = 200
    head_epochs: int = 25
    head_rate: float = 5e-3


class TunedAndFrozen(nn.Module):
    """Images to the probabilities [B, K] of the tuned and of the frozen network."""

    def __init__(self, tuned: nn.Module, frozen: nn.Module) -> None:
        super().__init__()
        self.tuned, self.frozen = tuned, frozen

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.tuned(image), self.frozen(image)


def extractor() -> nn.Sequential:
    """Images [B, H, W] to features [B, 112], as ImageNet taught them."""
    layers = efficientnet.pretrained().children()
    oldest = itertools.islice(layers, LAYERS)
    return nn.Sequential(efficientnet.AsPhotograph(SIDE), *oldest, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def subset(train: Images, hyper: Hyper) -> Images:
    """The validation images, then the first `per_class` of every class among the others."""
    held = np.arange(hyper.validation)
    others = np.arange(hyper.validation, len(train))
    chosen = [others[train.labels[others] == label][: hyper.per_class] for label in range(len(CLOTHES))]
    rows = np.concatenate([held, *chosen])
    return Images(train.pixels[rows], train.labels[rows])


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    images, labels = (tensor.to(run.device) for tensor in classification.grey(subset(fashion_mnist().train, hyper)))
    features = extractor().to(run.device)
    head = nn.Sequential(nn.BatchNorm1d(FEATURES, affine=False), nn.Linear(FEATURES, len(CLOTHES)))
    part = run.part("frozen", epochs=hyper.head_epochs, learning_rate=hyper.head_rate)
    frozen = classification.fit(part, head, classification.scores_of(features, images), labels)
    network = nn.Sequential(copy.deepcopy(features), copy.deepcopy(frozen.network))
    tuned = classification.fit(
        run, network, images, labels, augment=lambda image: mirrored(shifted(image)), groups=by_age(network, hyper)
    )
    return store_half(TunedAndFrozen(tuned, nn.Sequential(features, frozen)))


def by_age(network: nn.Sequential, hyper: Hyper) -> list[dict[str, Any]]:
    """Parameter groups from the head to the stem, each with a smaller learning rate than the one before."""
    features, head = network.children()
    trained = [layer for layer in (*features.children(), head) if list(layer.parameters())]
    return [
        {"params": list(layer.parameters()), "lr": hyper.learning_rate * hyper.older**age}
        for age, layer in enumerate(reversed(trained))
    ]


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    """As of any classifier, and how often the frozen features are right."""
    data = fashion_mnist()
    answer = predict({"image": data.test.pixels.astype(np.float32)})
    found = classification.evaluate(lambda _: answer, replace(data, train=subset(data.train, hyper)), CLOTHES)
    frozen = answer["frozen_probabilities"].argmax(1)
    right = int((frozen == data.test.labels).sum())
    details = {"description": "test images that the new head on frozen features classifies correctly"}
    metric = proportion("accuracy with frozen features", right, len(frozen), **details)
    return replace(found, metrics=(found.metrics[0], metric, *found.metrics[1:]))


def examples() -> Arrays:
    """The first four training pictures: an ankle boot, two t-shirts and a dress."""
    return classification.first(fashion_mnist().train)


RECIPE = Recipe(
    description="Names pieces of clothing with features that learned from photographs, tuned on 2,000 pictures.",
    task=ImageClassification(labels=CLOTHES),
    hyper=Hyper(),
    sources=("fashion-mnist", "efficientnet-lite0"),
    inputs=(classification.image(description="a piece of clothing, light on black"),),
    outputs=(
        classification.probabilities(),
        Declared(
            name="frozen_probabilities",
            dtype="float32",
            shape=("batch", len(CLOTHES)),
            range=(0, 1),
            description="the same of a new head on features as ImageNet taught them",
        ),
    ),
    given=folder(fashion_mnist),
    train=train,
    evaluate=evaluate,
    examples=examples,
    training_outputs=classification.training_outputs(fashion_mnist),
    trial={"validation": 100, "per_class": 16},
    spot_check=classification.spot_check(fashion_mnist),
    rows=classification.rows(fashion_mnist, CLOTHES),
    max_batch=4,  # a row takes a millisecond in any batch; 64 of them took 200 MB
)
