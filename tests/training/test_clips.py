"""Clips of emoji: who is held out is nowhere else, and the service shows a model what training did."""

import io

import numpy as np
from PIL import Image

from service.codecs.clips import animation, evenly
from service.limits import Limits
from tests.conftest import PROJECT
from training.data import emoji_clips
from training.data.clips import FRAMES, SIDE, frames_of

EXAMPLE = PROJECT / "docs/examples/penguin.webp"


def test_no_clip_is_in_both_parts_and_both_have_animals_and_people() -> None:
    train, test = emoji_clips()
    assert train.frames.shape[1:] == test.frames.shape[1:] == (FRAMES, SIDE, SIDE)
    assert not {one.tobytes() for one in train.frames} & {one.tobytes() for one in test.frames}
    for part in (train, test):
        assert 0.4 < part.labels.mean() < 0.6
        assert len(part.labels) == len(part.frames)


def test_clips_move() -> None:
    train, _ = emoji_clips()
    moves = np.abs(np.diff(train.frames.astype(np.int16), axis=1)).mean((1, 2, 3))
    assert (moves > 0.5).mean() > 0.9


def test_the_service_makes_of_a_file_what_training_did() -> None:
    """Frames, their order, what lies behind them, grey and size."""
    data = EXAMPLE.read_bytes()
    clip = animation(data, 2**22)
    shown = clip.shown(evenly(FRAMES, clip.frames), Limits(max_rows=1, max_pixels=2**22))
    resized = [Image.fromarray(one.grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in shown]
    np.testing.assert_array_equal(resized, frames_of(Image.open(io.BytesIO(data)), FRAMES, (SIDE, SIDE)))
