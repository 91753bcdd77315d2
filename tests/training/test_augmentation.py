"""New views show the same picture: moved, mirrored, or with a part hidden."""

import pytest
import torch
from torch import Tensor

from training.data import fashion_mnist
from training.images.augmentation import Erase, mirrored, shifted


@pytest.fixture
def images() -> Tensor:
    """Sixty-four pictures of clothes inside a frame of four black pixels."""
    torch.manual_seed(1)
    return torch.nn.functional.pad(torch.from_numpy(fashion_mnist().train.pixels[:64]).float(), (4,) * 4)


def test_a_shifted_image_is_the_image_moved_by_whole_pixels_in_every_allowed_way(images: Tensor) -> None:
    views, seen = shifted(images, reach=1), set()
    for view, image in zip(views, images, strict=True):
        moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        fitting = [move for move in moves if torch.equal(view, image.roll(move, (0, 1)))]
        assert fitting
        seen |= set(fitting)
    assert len(seen) == 9


def test_no_reach_moves_nothing(images: Tensor) -> None:
    assert torch.equal(shifted(images, reach=0), images)


def test_about_half_of_the_images_are_mirrored_and_the_others_left_alone(images: Tensor) -> None:
    views = mirrored(images)
    turned = (views == images.flip(-1)).all(-1).all(-1)
    assert ((views == images).all(-1).all(-1) | turned).all()
    assert 16 < turned.sum() < 48


def test_erasing_hides_one_rectangle_of_the_allowed_area(images: Tensor) -> None:
    views = Erase(probability=1, area=(0.1, 0.3))(images)
    for hidden in views != images:
        rows, columns = torch.nonzero(hidden.any(1))[:, 0], torch.nonzero(hidden.any(0))[:, 0]
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert hidden.sum() == height * width
        assert 0.05 < height * width / hidden.numel() < 0.4
    assert 0 <= views.min() <= views.max() <= 255


def test_erasing_with_probability_zero_hides_nothing(images: Tensor) -> None:
    assert torch.equal(Erase(probability=0)(images), images)
