"""Handwritten digits, read by a small network that others taught, and refused where they are none.

Networks: convolutions without padding, batch normalisation, ReLU; the mean over what is left of the picture; one dense
layer (the form of An et al., An Ensemble of Simple Convolutional Neural Network Models for MNIST, arXiv:2008.10400,
2020, whose ensembles read 99.87 to 99.91 %; the best single small networks read about 99.7 %). Teachers see MNIST alone
and differ in kernels and depth. The student starts as the first of them and also sees digits corrupted, printed, drawn,
written in typefaces, scanned and photographed, and pictures of none: letters, signs, scribbles, noise, empty sheets.
The corruptions are the fifteen that it is measured under, of other digits; typefaces, pens and noise are others than
those that it is measured with. It learns from the labels and from the teachers' scores (Hinton et al., Distilling the
Knowledge in a Neural Network, arXiv:1503.02531, 2015). With `--from` it starts with the weights of a bundle, which is
its only teacher. An eleventh class, no digit, has the constant score 0, so that the logarithm of the sum of the
exponential scores says how familiar a picture is (Liu et al., Energy-based Out-of-distribution Detection, NeurIPS
2020). What the student is unsure of it looks at again, from thirteen views, as others average over crops of a
photograph (Krizhevsky et al., ImageNet Classification, NeurIPS 2012).
Letters and signs that nobody tells from a digit where they stand alone (O, l, Z, /) are neither refused on purpose nor
counted. The first 5,000 training digits choose temperature, threshold and second look, the 10,000 test digits only
measure.
Data: MNIST, 60,000 + 10,000 digits of 28x28, its authors state no licence; characters of URW's fonts and of nine
handwriting typefaces. Only measured with, never trained: Fashion-MNIST, characters of Matplotlib's fonts and of five
more handwriting typefaces, UCI's multiple features and 8x8 digits.
Expected: 99.7 % of the test digits. Run time: three hours on two cores; half an hour with `--from`.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import EXPLANATION, Arrays, Bundle, DigitClassification
from service.bundle import Tensor as Declared
from training.data import Images, mnist
from training.export.weights import load_weights, weights_in
from training.given.images import folder
from training.images.augmentation import Affine
from training.images.corruptions import CORRUPTIONS, corrupt
from training.images.drawings import drawn_digits
from training.images.fonts import HANDWRITING, OTHER_HANDWRITING, handwritten, printed
from training.images.outliers import outliers
from training.images.pages import photographs, scans
from training.kinds import classification
from training.kinds.distillation import Teachers
from training.measures import digit_reading
from training.measures.digit_reading import DIGITS
from training.measures.evaluation import Evaluation, Predict
from training.networks.blocks import MNIST, Standardise
from training.recipe import Recipe, SideGraph
from training.run import Run

# B batch, H height, W width, C channels, K classes, N pictures

Layers = tuple[tuple[int, int, int], ...]
"""Channels, kernel side and stride of each convolution."""

STUDENT: Layers = ((32, 3, 1), (64, 3, 2), (96, 3, 1), (128, 3, 1), (160, 3, 1), (192, 3, 1))
TEACHERS: tuple[Layers, ...] = (
    STUDENT,
    ((48, 5, 1), (96, 5, 2), (144, 5, 1), (192, 3, 1)),
    ((48, 7, 1), (96, 7, 2), (144, 5, 1), (192, 3, 1)),
)
NO_DIGIT = 10
SURE = 0.98  # probability below which a picture is looked at again
SCANNED = 16, 8  # pixels of a side
DECIDING = "drawn", "plain", "written", "scanned at 16", "photographed"  # kinds of digits that must be accepted


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 26
    batch: int = 128
    learning_rate: float = 1.5e-3
    teachers: int = 3
    teacher_epochs: int = 24
    teacher_learning_rate: float = 3e-3
    weight_decay: float = 0.02
    bfloat16: bool = True
    dropout: float = 0.2
    rotation: float = 10.0  # degrees, standard deviations from here on
    shift: float = 1.2  # pixels
    scale: float = 0.09
    shear: float = 0.12
    elastic: float = 0.8  # pixels
    corrupted: int = 400  # digits with each corruption
    outliers: int = 1000  # of each kind
    as_is: float = 0.35  # share of the pictures that are not augmented
    drawn: int = 400  # of each digit
    written: int = 20  # of each digit in each typeface
    scanned: int = 2000  # digits at each size
    photographed: int = 3000
    softness: float = 3.0  # temperature of the teachers' scores
    refused: float = 0.003  # share of the validation digits of each kind, at most


class Network(nn.Module):
    """float32 [B, 28, 28], 0 black to 255 white, to class scores [B, 10]: convolutions, their mean, one dense layer."""

    def __init__(self, layers: Layers, dropout: float) -> None:
        super().__init__()
        self.standardise = Standardise(*MNIST)
        before = 1
        self.convolutions = nn.ModuleList()
        for channels, kernel, stride in layers:
            convolution = nn.Conv2d(before, channels, kernel, stride, bias=False)
            self.convolutions.append(nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU()))
            before = channels
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, 10)

    def layers(self, image_BHW: Tensor) -> list[Tensor]:
        """What every convolution gives, [B, C, H, W] each."""
        activations, rows = [], self.standardise(image_BHW)
        for convolution in self.convolutions:
            rows = convolution(rows)
            activations.append(rows)
        return activations

    def forward(self, image_BHW: Tensor) -> Tensor:
        features_BC = self.layers(image_BHW)[-1].mean((2, 3))
        scores_BK: Tensor = self.head(self.dropout(features_BC))
        return scores_BK


def views(hyper: Hyper) -> Affine:
    return Affine(
        rotation=hyper.rotation, shift=hyper.shift, scale=hyper.scale, shear=hyper.shear, elastic=hyper.elastic
    )


def teacher(run: Run[Hyper], index: int) -> nn.Module:
    """One of the ensemble, trained on MNIST alone."""
    hyper = run.hyper
    part = run.part(
        f"teacher-{index}",
        seed=10 * hyper.seed + index,
        epochs=hyper.teacher_epochs,
        learning_rate=hyper.teacher_learning_rate,
    )
    network = Network(TEACHERS[index], hyper.dropout)
    return classification.fit(part, network, *classification.grey(mnist().train), augment=views(hyper)).network


def lessons(hyper: Hyper) -> tuple[Tensor, Tensor]:
    """Pictures [N, 28, 28] and labels [N] for the student: MNIST first, then digits as they come, then no digits."""
    digits = mnist().train
    seen = slice(hyper.validation, None)
    pixels, labels = digits.pixels[seen], digits.labels[seen]
    parts = [digits]
    generator = np.random.default_rng(hyper.seed)
    for name in CORRUPTIONS:
        some = generator.permutation(len(pixels))[: hyper.corrupted]
        parts.append(Images(corrupt(name, pixels[some], hyper.seed), labels[some]))
    parts.append(printed("postscript-fonts", DIGITS))
    parts += [*as_they_come(Images(pixels, labels), hyper, generator).values()]
    others = outliers("postscript-fonts", pixels, hyper.seed, hyper.outliers)
    parts.append(Images(others, np.full(len(others), NO_DIGIT)))
    joined = Images(np.concatenate([p.pixels for p in parts]), np.concatenate([p.labels for p in parts]))
    return classification.grey(joined)


def as_they_come(digits: Images, hyper: Hyper, generator: np.random.Generator) -> dict[str, Images]:
    """Digits as people draw, write, scan and photograph them, some of them made of `digits`."""
    some = generator.permutation(len(digits))
    scanned = Images(digits.pixels[some[: hyper.scanned]], digits.labels[some[: hyper.scanned]])
    taken = Images(digits.pixels[some[-hyper.photographed :]], digits.labels[some[-hyper.photographed :]])
    return {
        "drawn": drawn_digits(hyper.drawn, generator),
        "plain": drawn_digits(2 * hyper.drawn, generator, "01"),
        "written": handwritten(HANDWRITING, DIGITS, hyper.written, generator),
        **{f"scanned at {side}": scans(scanned, side) for side in SCANNED},
        "photographed": photographs(taken, generator),
    }


class Distillation:
    """Cross-entropy of ten digits and none, plus what the teachers add about the digits that they read rightly."""

    def __init__(self, teachers: Teachers) -> None:
        self.teachers = teachers

    def __call__(self, image_BHW: Tensor, scores_BK: Tensor, label_B: Tensor) -> Tensor:
        hard = F.cross_entropy(F.pad(scores_BK, (0, 1)), label_B)
        digit = label_B != NO_DIGIT
        taught = self.teachers(image_BHW[digit])
        right = taught.argmax(1) == label_B[digit]
        return hard + (self.teachers.divergence(taught, scores_BK[digit]) * right).sum() / len(label_B)


class Reader(nn.Module):
    """Pictures to probabilities [B, K] and familiarity [B], which is 0 where a picture is only just accepted.

    A second look sees what the teachers learned from, by one standard deviation either way in one parameter at a time.
    """

    boundary: Tensor

    def __init__(self, served: classification.Served, boundary: Tensor, view: Affine) -> None:
        super().__init__()
        either_way_6V = torch.cat([torch.zeros(6, 1), torch.eye(6), -torch.eye(6)], 1)
        self.look = classification.Viewed(served, view.grid(either_way_6V, 28, 28))
        self.register_buffer("boundary", boundary)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.look.network(image)
        return F.softmax(scores / self.look.temperature, 1), torch.logsumexp(scores, 1) - self.boundary


class Explanation(nn.Module):
    """Pictures to where each digit was seen, [B, K, H, W], and what every layer made of them.

    Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        assert isinstance(reader, Reader)
        assert isinstance(reader.look.network, Network)
        self.network = reader.look.network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        activations = self.network.layers(image)
        weight_KC11 = self.network.head.weight[:, :, None, None]
        return F.conv2d(activations[-1], weight_KC11), *activations


def train(run: Run[Hyper]) -> nn.Module:
    """The student starts with the weights of the first teacher, which is built alike.

    Where it starts with those of a bundle, these teach alone, from what they have been taught.
    """
    hyper = run.hyper
    teachers = [started(run)] if run.start else [teacher(run, index) for index in range(hyper.teachers)]
    network, loss = copy.deepcopy(teachers[0]), Distillation(Teachers(teachers, hyper.softness))
    inputs, labels = lessons(hyper)
    served = classification.fit(run, network, inputs, labels, augment=mostly(views(hyper), hyper.as_is), loss=loss)
    return Reader(served, boundary(served.network, hyper, run.device), views(hyper))


def restore(found: Bundle) -> nn.Module:
    """The reader with the weights of a bundle."""
    hyper, constants = Hyper(), weights_in(found.graph)
    network = Network(STUDENT, hyper.dropout)
    load_weights(network, found.graph, "look.network.")
    served = classification.Served(network, float(constants["look.temperature"]))
    return Reader(served, constants["boundary"], views(hyper))


def mostly(augment: classification.Augment, as_is: float) -> classification.Augment:
    """Augment all but a share of the pictures: to move one is to blur it, and no sharp line or speck would be left."""

    def seen(image_BHW: Tensor) -> Tensor:
        same_B = torch.rand(len(image_BHW)).to(image_BHW.device) < as_is
        return torch.where(same_B[:, None, None], image_BHW, augment(image_BHW))

    return seen


def started(run: Run[Hyper]) -> nn.Module:
    """A student with the weights of the bundle that the run starts with."""
    assert run.start
    network = Network(STUDENT, run.hyper.dropout)
    load_weights(network, run.start.graph, "look.network.")
    return network.to(run.device)


@torch.no_grad()
def boundary(network: nn.Module, hyper: Hyper, device: torch.device) -> Tensor:
    """The familiarity below which lie at most so many of the validation digits, as MNIST has them or as they come."""
    digits = mnist().train
    own = Images(digits.pixels[: hyper.validation], digits.labels[: hyper.validation])
    kinds = as_they_come(own, hyper, np.random.default_rng([hyper.seed, 1]))
    quantiles = []
    for images in (own, *(kinds[kind] for kind in DECIDING)):
        scores = classification.scores_of(network, classification.grey(images)[0].to(device))
        quantiles.append(torch.quantile(scores.logsumexp(1).cpu(), hyper.refused))
    return torch.stack(quantiles).min()


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    """MNIST's test digits; the same, corrupted; digits from elsewhere; and how well no digits are told from digits."""
    digits, generator = mnist(), np.random.default_rng(hyper.seed + 1000)
    read = classification.evaluate(predict, digits, range(10))
    refused, nearest = digit_reading.refusals(predict, digits.test, generator)
    elsewhere = digit_reading.elsewhere(predict, generator)
    corrupted, sheet = digit_reading.corrupted(predict, digits.test)
    return Evaluation(
        metrics=(*read.metrics, *refused, *elsewhere, *corrupted),
        pictures=read.pictures | {"corruptions": sheet, "most-familiar-non-digits": nearest},
        reference=read.reference,
    )


def examples() -> Arrays:
    """The first four training digits, 5, 0, 4 and 1, and the 5 and the 0 in one picture."""
    return classification.first_and_doubtful(mnist().train)


CASCADE, SECOND_LOOK = classification.second_look(lambda reader: reader.look, SURE)

RECIPE = Recipe(
    description="Reads handwritten digits, and refuses pictures of anything else.",
    task=DigitClassification(labels=tuple(range(10)), acceptance_threshold=0.0),
    hyper=Hyper(),
    sources=(
        *("mnist", "postscript-fonts", *HANDWRITING, *OTHER_HANDWRITING),
        *("fashion-mnist", "matplotlib-fonts", "multifeature-digits", "small-digits"),
    ),
    inputs=(classification.image(),),
    outputs=(
        classification.probabilities(),
        Declared(
            name="familiarity",
            dtype="float32",
            shape=("batch",),
            unit="nats",
            description="higher for pictures that are more like digits; accepted from 0",
        ),
    ),
    cascade=CASCADE,
    graphs={
        CASCADE.graph: SECOND_LOOK,
        EXPLANATION: SideGraph(
            of=Explanation,
            outputs=(
                Declared(
                    name="class_maps",
                    dtype="float32",
                    shape=("batch", 10, 4, 4),
                    description="what speaks for each digit, where",
                ),
                *(
                    Declared(name=f"layer_{i}", dtype="float32", shape=("batch", channels, side, side))
                    for i, (channels, side) in enumerate(
                        ((32, 26), (64, 12), (96, 10), (128, 8), (160, 6), (192, 4)), 1
                    )
                ),
            ),
            max_batch=16,  # every inner activation of each picture is held
        ),
    },
    given=folder(mnist),
    train=train,
    restore=restore,
    evaluate=evaluate,
    examples=examples,
    training_outputs=classification.training_outputs(mnist),
    trial={
        "validation": 100,
        "corrupted": 2,
        "outliers": 8,
        "drawn": 1,
        "written": 1,
        "scanned": 10,
        "photographed": 10,
    },
    warm={"epochs": 6, "learning_rate": 4e-4},
    max_batch=16,  # larger ones leave the cache and take longer per picture
    spot_check=classification.spot_check(mnist),
    rows=classification.rows(mnist, range(10)),
    source_figure="99.91 % (an ensemble)",
)
