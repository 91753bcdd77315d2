"""Digits of one collection made to look like another's, both ways, with no pairs to learn from.

The second collection, 2,000 Dutch digits averaged over 3 by 2 pixels and stretched to their frame, is enlarged to 20x20
and framed as MNIST's are; every fifth is set aside for the figures. Network: two translators of 12, 24 and 48 channels
with residual blocks at 7x7, and two discriminators of patches. What they enlarge is resized and then convolved, for
transposed convolutions leave a checkerboard: `python -m training study checkerboard` compares the two. The weights
served are a running average.
Source: Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017.
Data: MNIST, 60,000 + 10,000 digits of 28x28; multiple features, 2,000 digits of 16x15; the first's authors state no
licence, the second is CC BY 4.0.
Expected: three of four digits are read the same afterwards, by a judge that reads 85 % of the Dutch ones as they are.
Run time: 5 minutes on one core.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Arrays, Metric, SampleTranslation, Tolerance
from service.bundle import Tensor as Declared
from training.data import Images, mnist, multifeature_digits
from training.export.parity import Predictor
from training.export.store import committed
from training.given.images import folder
from training.kinds import adversarial, cycle
from training.kinds.cycle import Served, Translation
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, bootstrapped, proportion
from training.measures.paired import Rows
from training.networks.cycle import Both, Cycle, Patches, Translator, Upsampling
from training.recipe import Recipe, SideGraph
from training.report import pictures
from training.run import Run

DOMAINS = "mnist", "dutch"
FRAME, HELD = 4, 5  # black pixels on each side; of every so many digits one is set aside
COLUMNS = 12  # of a sheet
JUDGE = "convnet"  # which saw none of the second collection, and no translation
Levels = NDArray[np.float32]
"""Grey levels [N, 28, 28]."""


@dataclass(frozen=True, kw_only=True)
class Hyper(cycle.Hyper):
    """`shown` digits of the first collection take part."""

    epochs: int = 4
    batch: int = 16
    rate: float = 1e-3
    adversary_rate: float = 5e-4
    average_decay: float = 0.995
    shown: int = 2400
    width: int = 12
    depth: int = 2
    upsampling: Upsampling = "resize"


def framed(images: Images) -> Levels:
    """Digits of any size, enlarged to 20x20 in the middle of 28x28."""
    levels = torch.from_numpy(images.pixels).float()[:, None] * (255 / images.white)
    larger = F.interpolate(levels, size=(20, 20), mode="bilinear", align_corners=False)
    return F.pad(larger, [FRAME] * 4)[:, 0].numpy()


def dutch() -> tuple[tuple[Levels, NDArray[np.int64]], tuple[Levels, NDArray[np.int64]]]:
    """Digits and labels to train with, and those that are set aside."""
    found = multifeature_digits()
    levels, held = framed(found), np.arange(len(found)) % HELD == 0
    return (levels[~held], found.labels[~held]), (levels[held], found.labels[held])


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    translators = (Translator(hyper.width, hyper.depth, hyper.upsampling) for _ in range(2))
    adversary = Both(Patches(hyper.width), Patches(hyper.width))
    digits = torch.from_numpy(mnist().train.pixels[: hyper.shown]).float() / 255
    move = cycle.of_domains(torch.from_numpy(dutch()[0][0]) / 255, hyper)
    return Served(adversarial.fit(run, Cycle(*translators), adversary, move, [digits]))


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    """Whether a digit stays what it is, and whether it looks like the other collection's."""
    assert isinstance(predict, Predictor)
    back, (theirs, labels) = predict.beside("back"), dutch()[1]
    ours, digits = some_of_test()
    made, made_back = to(predict, ours), to(back, theirs)
    again, again_back = to(back, made), to(predict, made_back)
    told = _told_apart()
    panels = {
        "from-mnist": (("real_A", "fake_B", "rec_A", "idt_A"), (ours, made, again, to(back, ours))),
        "from-dutch": (("real_B", "fake_A", "rec_B", "idt_B"), (theirs, made_back, again_back, to(predict, theirs))),
    }
    return Evaluation(
        metrics=(
            _still_read("mnist read the same as dutch", made, digits),
            _still_read("dutch read the same as mnist", made_back, labels),
            _still_read("dutch read without translation", theirs, labels),
            _taken_for("made of mnist, taken for dutch", told(made)),
            _taken_for("made of dutch, taken for mnist", ~told(made_back)),
            _taken_for("mnist taken for dutch", told(ours)),
            _checkerboard("checkerboard of dutch", made, theirs),
            _checkerboard("checkerboard of mnist", made_back, ours),
            _lost("lost there and back from mnist", ours, again),
            _lost("lost there and back from dutch", theirs, again_back),
        ),
        pictures={
            name: pictures.image_sheet(np.concatenate([_spread(part) for part in parts]), COLUMNS, row_names=names)
            for name, (names, parts) in panels.items()
        },
    )


def rows(predict: Predict) -> Rows:
    """Which digits of either collection are read the same once they look like the other's."""
    assert isinstance(predict, Predictor)
    ours, theirs = some_of_test(), dutch()[1]
    there, here = _same(to(predict, ours[0]), ours[1]), _same(to(predict.beside("back"), theirs[0]), theirs[1])
    of_ours = np.arange(len(there) + len(here)) < len(there)
    slices = {"mnist read the same": of_ours, "dutch read the same": ~of_ours}
    return Rows(right=np.concatenate([there, here]), slices=slices)


def some_of_test() -> tuple[Levels, NDArray[np.int64]]:
    test = mnist().test
    chosen = np.random.default_rng(1).permutation(len(test))[:2000]
    return test.pixels[chosen].astype(np.float32), test.labels[chosen]


def to(graph: Predict, shown: Levels) -> Levels:
    return graph({"image": shown})["translation"]


def _spread(levels: Levels) -> Levels:
    """A few of them, from the first to the last."""
    few: Levels = levels[np.linspace(0, len(levels) - 1, COLUMNS).astype(int)]
    return few


def _still_read(name: str, made: Levels, labels: NDArray[np.int64]) -> Metric:
    return proportion(name, int(_same(made, labels).sum()), len(labels), description=f"by {JUDGE}")


def _same(made: Levels, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    read = Predictor(committed(JUDGE).graph)({"image": np.rint(made)})["probabilities"].argmax(1)
    return np.asarray(read == labels)


def _told_apart() -> Callable[[Levels], NDArray[np.bool_]]:
    """Whether digits are Dutch, as a linear model of their pixels tells that was fitted to those of training."""
    theirs, _ = dutch()[0]
    ours = mnist().train.pixels[: len(theirs)]
    rows = np.concatenate([ours, theirs]).reshape(len(ours) + len(theirs), -1) / 255
    model = LogisticRegression(C=0.1, max_iter=200).fit(rows, np.arange(len(rows)) >= len(ours))

    def told(shown: Levels) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = model.predict(shown.reshape(len(shown), -1) / 255)
        return found

    return told


def _taken_for(name: str, taken: NDArray[np.bool_]) -> Metric:
    return proportion(name, int(taken.sum()), len(taken), description="by a linear model of pixels")


def _checkerboard(name: str, made: Levels, real: Levels) -> Metric:
    """The power of patterns that change with every pixel, beside that of real pictures: 1 has no more of them."""
    share = [finest(levels) / (levels**2).sum((1, 2)) for levels in (made, real)]
    count = min(map(len, share))
    return bootstrapped(
        name,
        lambda drawn, seen: float(drawn.mean() / seen.mean()),
        *(one[:count] for one in share),
        description="power at the finest frequency, beside that of real digits: no more is 1 or less",
    )


def finest(levels: Levels) -> NDArray[np.float64]:
    """The power [N] of what changes with every row, or with every column."""
    power = np.abs(np.fft.fft2(levels)) ** 2
    half = levels.shape[1] // 2
    finest: NDArray[np.float64] = power[:, half, :].sum(1) + power[:, :, half].sum(1)
    return finest


def _lost(name: str, before: Levels, after: Levels) -> Metric:
    lost = np.abs(after - before).mean((1, 2))
    return bootstrapped(
        name, lambda rows: float(rows.mean()), lost, unit="grey levels", description="mean of all pixels"
    )


def _image(name: str, description: str) -> Declared:
    return Declared(
        name=name, dtype="float32", shape=("batch", 28, 28), unit="grey level", range=(0, 255), description=description
    )


def _examples() -> Arrays:
    return {"image": mnist().test.pixels[:4].astype(np.float32)}


RECIPE = Recipe(
    description="Makes digits of MNIST look like those of a Dutch collection, and the reverse: a CycleGAN.",
    task=SampleTranslation(domains=DOMAINS),
    hyper=Hyper(),
    sources=("mnist", "multifeature-digits"),
    inputs=(_image("image", "a white digit on black"),),
    outputs=(_image("translation", "the same digit as the other collection has it"),),
    train=train,
    evaluate=evaluate,
    rows=rows,
    examples=_examples,
    training_outputs=outputs.of_rows("image", lambda: mnist().train.pixels),
    given=folder(mnist, tuple(range(10))),
    tolerance=Tolerance(atol=0.1, rtol=1e-4),
    trial={"width": 8, "depth": 1, "batch": 8},
    variants={"resize-convolution": {}, "transposed convolution": {"upsampling": "transposed"}},
    graphs={
        "back": SideGraph(
            of=lambda served: Translation(served.back),  # type: ignore[arg-type]
            outputs=(_image("translation", "the same digit as the first collection has it"),),
            examples=lambda: {"image": dutch()[1][0][::100]},
        )
    },
)
