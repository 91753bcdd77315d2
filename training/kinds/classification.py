"""Supervised image classifiers: the loop, the served form, the evaluation and the tensors that they share.

A recipe brings what makes it itself: network, augmentation, hyper-parameters. The loop is AdamW on one cycle of the
learning rate (Smith and Topin, 2018); what is served is the running average of the weights, with its scores divided by
the temperature that fits the validation images best (Guo et al., ICML 2017).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Arrays, Cascade, DigitClassification, ImageClassification, Metric
from service.bundle import Tensor as Declared
from training.data import Images, Split
from training.given.images import folder
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, calibration, histogram, proportion
from training.measures.paired import Rows, classes
from training.networks.blocks import Views
from training.recipe import Recipe, SideGraph
from training.report import pictures
from training.run import Run
from training.schedule import one_cycle, running_average

# B batch, V views, H height, W width, K classes

SECOND_LOOK = "second-look"  # the graph

Augment = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of images as the network saw them, its scores [B, K] and the labels [B]."""


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """What `fit` needs to know. `learning_rate` is the cycle's peak; the first `validation` images choose things.

    An `average_decay` of 0.998 wants several thousand optimiser steps: after fewer than about a thousand, the initial
    weights still count for much in what is served.
    """

    seed: int = 1
    epochs: int = 20
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    average_decay: float = 0.998
    label_smoothing: float = 0.0
    validation: int = 5000
    bfloat16: bool = False


WARM = {"epochs": 5, "learning_rate": 5e-4}  # of what begins with weights that have learned already


class Served(nn.Module):
    """Images to probabilities [B, K]: soft-max of the network's scores at the temperature."""

    temperature: Tensor

    def __init__(self, network: nn.Module, temperature: float = 1.0) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.tensor(temperature))

    def forward(self, image: Tensor) -> Tensor:
        return F.softmax(self.network(image) / self.temperature, dim=1)


class Viewed(Served):
    """Served, with the views [V] in which a second look sees an image, as a grid [V, H, W, 2] for `grid_sample`."""

    def __init__(self, served: Served, grid_VHW2: Tensor) -> None:
        super().__init__(served.network, float(served.temperature))
        self.views = Views(grid_VHW2)


class SecondLook(nn.Module):
    """Images to the mean of the probabilities [B, K] over their views."""

    def __init__(self, look: Viewed) -> None:
        super().__init__()
        self.look = look

    def forward(self, image: Tensor) -> Tensor:
        views_BVHW = self.look.views(image)
        answered: Tensor = self.look(views_BVHW.flatten(0, 1)).reshape(*views_BVHW.shape[:2], -1)
        return answered.mean(1)


def second_look(of: Callable[[Any], Viewed], sure: float) -> tuple[Cascade, SideGraph]:
    """For images whose likeliest class has less than `sure`, of what `of` finds in the served module.

    The views of an image make a batch by themselves: more images at once only make others wait.
    """
    graph = SideGraph(of=lambda served: SecondLook(of(served)), outputs=(probabilities(),), max_batch=4)
    return Cascade(graph=SECOND_LOOK, output="probabilities", below=sure), graph


def fit(
    run: Run[Any],
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    augment: Augment = lambda inputs: inputs,
    loss: Loss | None = None,
    groups: Iterable[dict[str, Any]] | None = None,
) -> Served:
    """Train `network` on `inputs` [N, ...] with `labels` [N], all but the first `validation` of them.

    `loss` replaces cross-entropy. `groups` are parameter groups with an `lr` each, the peak of their own cycle.
    """
    hyper: Hyper = run.hyper
    held, inputs, labels = hyper.validation, inputs.to(run.device), labels.to(run.device)
    network = network.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = running_average(network, hyper.average_decay)
    chosen: list[dict[str, Any]] = list(groups or [{"params": list(network.parameters()), "lr": hyper.learning_rate}])
    optimizer = torch.optim.AdamW(chosen, weight_decay=hyper.weight_decay)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=len(inputs) - held, batch=hyper.batch)
    for _ in run.epochs(network=network, average=average, optimizer=optimizer, scheduler=scheduler):
        network.train()
        losses = []
        for rows, label in run.batches(inputs[held:], labels[held:], size=hyper.batch):
            seen = augment(rows)
            with torch.autocast(run.device.type, torch.bfloat16, enabled=hyper.bfloat16):
                scores = network(seen)
            current = (loss or _smoothed(hyper))(seen, scores.float(), label)
            run.step(current, optimizer)
            scheduler.step()
            average.update_parameters(network)
            losses.append(current.detach())
        scores = scores_of(average, inputs[:held])
        run.log(
            train_loss=float(torch.stack(losses).mean()),
            validation_loss=float(F.cross_entropy(scores, labels[:held])),
            validation_error=float((scores.argmax(1) != labels[:held]).float().mean()),
        )
    return Served(average.module, _temperature(average, inputs, labels, held))


def _smoothed(hyper: Hyper) -> Loss:
    return lambda _, scores, label: F.cross_entropy(scores, label, label_smoothing=hyper.label_smoothing)


@torch.no_grad()
def scores_of(network: nn.Module, inputs: Tensor, size: int = 1000) -> Tensor:
    """Class scores [N, K] in evaluation mode, in batches of `size`."""
    network.eval()
    return torch.cat([network(rows) for rows in torch.split(inputs, size)])


def _temperature(network: nn.Module, inputs: Tensor, labels: Tensor, held: int) -> float:
    """The temperature with the least cross-entropy on the validation images, among 0.5 to 4 in steps of 1 %."""
    scores = scores_of(network, inputs[:held])
    candidates = np.geomspace(0.5, 4, 210).tolist()
    return float(min(candidates, key=lambda candidate: float(F.cross_entropy(scores / candidate, labels[:held]))))


def grey(images: Images) -> tuple[Tensor, Tensor]:
    """Pixels as float32 [N, H, W] from 0 to the images' white, labels as int64 [N]."""
    return torch.from_numpy(images.pixels).float(), torch.from_numpy(images.labels)


def first(images: Images, count: int = 4) -> Arrays:
    """The first few images, as the graph takes them."""
    return {"image": images.pixels[:count].astype(np.float32)}


def first_and_doubtful(images: Images) -> Arrays:
    """The first four images, as the graph takes them, and a fifth to look at again: the first two on top of each other.

    Four plain ones would never come to the second graph.
    """
    plain = images.pixels[:4]
    return {"image": np.concatenate([plain, plain[:2].max(0, keepdims=True)]).astype(np.float32)}


def evaluate(predict: Predict, data: Split, labels: Sequence[object]) -> Evaluation:
    """Accuracy and calibration on the test images, the confusion matrix and the most confident mistakes."""
    test = data.test
    probabilities = predict({"image": test.pixels.astype(np.float32)})["probabilities"]
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    wrong = np.flatnonzero(predicted != test.labels)
    worst = wrong[np.argsort(-confidence[wrong])][:20]
    lines = "\n" if any(isinstance(label, str) for label in labels) else " "  # words need two
    captions = [f"{labels[test.labels[i]]}{lines}read as {labels[predicted[i]]}" for i in worst]
    sheet = pictures.image_sheet(test.pixels[worst], columns=10, captions=captions, limits=(0, test.white))
    ink = data.train.pixels.reshape(len(data.train), -1).mean(1)
    return Evaluation(
        metrics=(accuracy(predicted, test), calibration(confidence, predicted == test.labels)),
        pictures={
            "confusion-matrix": pictures.confusion_matrix(test.labels, predicted, labels),
            "worst-mistakes": sheet,
        },
        reference=(histogram("mean grey value", ink, np.linspace(0, test.white + 1, 33)),),
    )


def accuracy(predicted: NDArray[np.integer], test: Images) -> Metric:
    right = int((predicted == test.labels).sum())
    return proportion("accuracy", right, len(test), description="test images classified correctly")


def spot_check(data: Callable[[], Split], count: int = 2000) -> Callable[[Predict], Metric]:
    """The accuracy on about `count` test images, evenly from the first to the last."""

    def check(predict: Predict) -> Metric:
        test = data().test
        every = max(1, len(test) // count)
        some = Images(test.pixels[::every], test.labels[::every], test.white)
        return accuracy(predict({"image": some.pixels.astype(np.float32)})["probabilities"].argmax(1), some)

    return check


def training_outputs(data: Callable[[], Split]) -> Callable[[Predict], Arrays]:
    """Of some training images."""
    return outputs.of_rows("image", lambda: data().train.pixels)


def rows(data: Callable[[], Split], labels: Sequence[object], slight: float = 0.0) -> Callable[[Predict], Rows]:
    """Which test images are classified correctly, and how the classes fare."""

    def answered(predict: Predict) -> Rows:
        test = data().test
        answer = predict({"image": test.pixels.astype(np.float32)})["probabilities"].argmax(1)
        return classes(answer, test.labels, labels, slight)

    return answered


def recipe(data: Callable[[], Split], task: DigitClassification | ImageClassification, **fields: Any) -> Recipe[Any]:
    """The recipe of a classifier of `data`, with what all of them have; `fields` are Recipe's, and take precedence."""
    usual: dict[str, Any] = {
        "inputs": (image(),),
        "outputs": (probabilities(),),
        "evaluate": lambda predict, _: evaluate(predict, data(), task.labels),
        "examples": lambda: first(data().train),
        "spot_check": spot_check(data),
        "rows": rows(data, task.labels),
        "training_outputs": training_outputs(data),
        "trial": {"validation": 100},
        "given": folder(data),
    }
    return Recipe(task=task, **(usual | fields))


def image(side: int = 28, white: int = 255, description: str = "a white digit on black") -> Declared:
    """The input of a classifier of grey pictures."""
    return Declared(
        name="image",
        dtype="float32",
        shape=("batch", side, side),
        unit="grey level",
        range=(0, white),
        description=description,
    )


def probabilities(classes: int = 10, description: str = "one per label, in their order, summing to 1") -> Declared:
    """The output of a classifier."""
    return Declared(
        name="probabilities",
        dtype="float32",
        shape=("batch", classes),
        range=(0, 1),
        description=description,
    )
