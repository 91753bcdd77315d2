"""Whether a short clip shows an animal or a person, by a convolutional LSTM that is trained in pieces.

Network: a convolution of stride 4 over each frame, an LSTM whose products are 3x3 convolutions, 24 maps of 8x8, and a
linear layer on their means in 4x4 places after the third frame. A step does not wait for the gradient of those behind
it: a small network guesses it from the state and the label, and learns from what the next step then finds (synthetic
gradients).
`python -m training repeat conv-lstm` compares that with plain back-propagation.
Source: Shi et al., Convolutional LSTM network, NeurIPS 2015; Jaderberg et al., Decoupled neural interfaces using
synthetic gradients, ICML 2017.
Data: animated emoji (Microsoft, MIT) of 67 animals and 61 people, three grey frames of each: a third of the characters
is held out, 15 clips of others validate.
Expected: 76 % of the held-out clips. The nearest training clip, pixel by pixel, has the right label for 90 % of them:
emoji of a family are drawn alike, and 62 clips are few to learn from. Run time: a minute on one core.
Limits: rendered emoji on white, and few of them; most is told by what stands in a frame, little by how it moves.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Arrays, ClipClassification, Metric
from service.bundle import Tensor as Declared
from training.data import emoji_clips
from training.given import images as given
from training.images.augmentation import Affine
from training.kinds import classification
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, calibration, proportion
from training.measures.paired import Rows, classes
from training.networks.blocks import Standardise
from training.networks.decoupled import decoupled_cost, silent
from training.recipe import Recipe
from training.report import pictures
from training.run import Run

# B batch, T frames, C maps, H height, W width, K classes

LABELS = "animal", "person"
WHITE = 255
VIEW = Affine(rotation=5, shift=1.5, scale=0.06)


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 200
    batch: int = 8
    learning_rate: float = 1e-2
    weight_decay: float = 1e-3
    average_decay: float = 0.99
    validation: int = 15
    width: int = 24
    dropout: float = 0.4
    synthetic: bool = True


class ConvLstm(nn.Module):
    """Clips [B, T, H, W], black 0 to white 255, to class scores [B, K]."""

    def __init__(self, hyper: Hyper) -> None:
        super().__init__()
        width = hyper.width
        self.standardise = Standardise(210, 70)
        self.seen = nn.Conv2d(1, width, 7, stride=4, padding=3)
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.last = nn.Sequential(
            nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(hyper.dropout), nn.Linear(width * 4 * 4, len(LABELS))
        )
        self.guess = silent(nn.Conv2d(2 * width + len(LABELS), 2 * width, 3, padding=1))

    def forward(self, clip: Tensor) -> Tensor:
        state_BCHW = self.begin(clip)
        for frame in range(clip.shape[1]):
            state_BCHW = self.step(clip[:, frame], state_BCHW)
        return self.scores(state_BCHW)

    def begin(self, clip: Tensor) -> Tensor:
        """Hidden state and memory, one behind the other."""
        return torch.zeros_like(self.seen(clip[:, :1])).repeat(1, 2, 1, 1)

    def step(self, frame_BHW: Tensor, state_BCHW: Tensor) -> Tensor:
        hidden, memory = state_BCHW.chunk(2, 1)
        seen = self.seen(self.standardise(frame_BHW)).relu()
        write, keep, show, new = self.gates(torch.cat([seen, hidden], 1)).chunk(4, 1)
        memory = (keep + 1).sigmoid() * memory + write.sigmoid() * new.tanh()
        return torch.cat([show.sigmoid() * memory.tanh(), memory], 1)

    def scores(self, state_BCHW: Tensor) -> Tensor:
        hidden, _ = state_BCHW.chunk(2, 1)
        scores_BK: Tensor = self.last(hidden)
        return scores_BK

    def in_pieces(self, clip: Tensor, label_B: Tensor) -> Tensor:
        """The cost, whose gradient at the end of each frame but the last is guessed."""
        state_BCHW = self.begin(clip).detach()
        label_BKHW = F.one_hot(label_B, len(LABELS)).float()[:, :, None, None].expand(-1, -1, *state_BCHW.shape[2:])
        steps = [lambda state, frame=frame: self.step(clip[:, frame], state) for frame in range(clip.shape[1])]
        return decoupled_cost(
            steps,
            [lambda state: self.guess(torch.cat([state, label_BKHW], 1))] * (len(steps) - 1),
            lambda state: F.cross_entropy(self.scores(state), label_B),
            state_BCHW,
            scale=state_BCHW[:, 0].numel(),  # a gradient is a share of so many places, and guesses are about 1
        )


def views(clip_BTHW: Tensor) -> Tensor:
    """A new view of every clip, the same of all its frames, half of them mirrored; what comes in is white."""
    grid_BHW2 = VIEW.grid(torch.randn(6, len(clip_BTHW), device=clip_BTHW.device), *clip_BTHW.shape[2:])
    seen_BTHW = WHITE - F.grid_sample(WHITE - clip_BTHW, grid_BHW2, align_corners=False)
    return torch.where(torch.rand_like(clip_BTHW[:, :1, :1, :1]) < 0.5, seen_BTHW.flip(3), seen_BTHW)


def train(run: Run[Hyper]) -> nn.Module:
    clips, _ = emoji_clips()
    network = ConvLstm(run.hyper)
    frames, labels = torch.from_numpy(clips.frames).float(), torch.from_numpy(clips.labels)
    in_pieces = (lambda seen, _, label: network.in_pieces(seen, label)) if run.hyper.synthetic else None
    return classification.fit(run, network, frames, labels, augment=views, loss=in_pieces)


def answered(predict: Predict, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    return predict({"clip": frames.astype(np.float32)})["probabilities"]


def evaluate(predict: Predict, _: Hyper) -> Evaluation:
    train, test = emoji_clips()
    probabilities, count = answered(predict, test.frames), len(test.labels)
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    still = answered(predict, test.frames[:, :1].repeat(3, 1)).argmax(1)
    away = [np.abs(train.frames.astype(np.int16) - clip).mean((1, 2, 3)) for clip in test.frames]
    nearest = train.labels[np.argmin(away, 1)]
    least = np.argsort(confidence)[:12]

    def right(name: str, answers: NDArray[np.int64], why: str) -> Metric:
        return proportion(name, int((answers == test.labels).sum()), count, description=why)

    return Evaluation(
        metrics=(
            right("accuracy", predicted, "held-out clips"),
            right("accuracy of the first frame three times", still, "the same network, shown no movement"),
            right("accuracy of the nearest training clip", nearest, "by the mean difference of pixels"),
            calibration(confidence, predicted == test.labels),
        ),
        pictures={
            "confusion-matrix": pictures.confusion_matrix(test.labels, predicted, LABELS),
            "the-least-sure": pictures.image_sheet(np.concatenate(test.frames[least]), columns=12),
        },
    )


def rows(predict: Predict) -> Rows:
    """Which held-out clips are classified correctly, and how the labels fare."""
    _, test = emoji_clips()
    return classes(answered(predict, test.frames).argmax(1), test.labels, LABELS)


def examples() -> Arrays:
    """Two training clips of each label."""
    train, _ = emoji_clips()
    chosen = [place for label in range(len(LABELS)) for place in np.flatnonzero(train.labels == label)[:2]]
    return {"clip": train.frames[chosen].astype(np.float32)}


RECIPE = Recipe(
    description="Tells animals from people in short clips with a convolutional LSTM, trained by synthetic gradients.",
    task=ClipClassification(labels=LABELS),
    hyper=Hyper(),
    sources=("emoji-clips",),
    inputs=(
        Declared(
            name="clip",
            dtype="float32",
            shape=("batch", 3, 32, 32),
            unit="grey level",
            range=(0, WHITE),
            description="three frames, evenly from the first on, on white",
        ),
    ),
    outputs=(classification.probabilities(len(LABELS)),),
    train=train,
    evaluate=evaluate,
    examples=examples,
    training_outputs=outputs.of_rows("clip", lambda: emoji_clips()[0].frames),
    given=given.clips(emoji_clips),
    rows=rows,
    variants={"synthetic gradients": {}, "plain back-propagation": {"synthetic": False}},
    source_figure="4 test clips",
)
