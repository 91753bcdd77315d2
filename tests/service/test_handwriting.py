"""Pictures of handwriting become digits as MNIST has them, whatever light, paper, pen and camera made of them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage

from service.codecs.handwriting import Box, read_digit, read_digits
from service.codecs.handwriting.pieces import label
from tests.service.sheets import SIDE, Pixels, likeness, outlined
from training.data import mnist
from training.data.images import Images
from training.images.scenes import KINDS, filling, scenes

PAPERS = {"white": (235, 232, 225), "yellow": (250, 240, 170), "pink": (240, 180, 180), "kraft": (200, 170, 130)}
PENS = {"black": (30, 30, 35), "blue": (25, 40, 120), "red": (150, 25, 30), "pencil": (95, 95, 100)}


@pytest.mark.parametrize("kind", KINDS)
def test_any_scene_gives_digits_or_none(digits: Images, kind: str) -> None:
    for scene in scenes(kind, digits, 3):
        assert all(digit.image.max() > 0 for digit in read_digits(scene.pixels, SIDE))
        read_digit(scene.pixels, SIDE)


@pytest.mark.parametrize("faint", [90, 120])
def test_a_broken_frame_around_what_is_too_faint_is_all_there_is(faint: int) -> None:
    picture = np.full((400, 400), 255, np.uint8)
    outlined(picture, 40, 40, 360, 360, 6)
    picture[:, 196:200] = picture[196:200] = 255
    picture[150:250, 190:200] = 255 - faint
    assert read_digit(picture, SIDE) is not None
    assert list(read_digits(picture, SIDE))


@pytest.mark.parametrize("inverted", [False, True])
def test_a_small_scan_that_its_digit_fills_keeps_its_strokes(digits: Images, inverted: bool) -> None:
    likest = []
    for one in digits.pixels[:60]:
        scan = filling(one)
        large = np.asarray(Image.fromarray(scan).resize((160, 160), Image.Resampling.BICUBIC))
        likest.append(likeness(seen(255 - scan if inverted else scan), seen(np.pad(large, 60))))
    assert np.quantile(likest, 0.1) > 0.93


def seen(picture: Pixels) -> NDArray[np.float32]:
    digit = read_digit(picture, SIDE)
    assert digit is not None
    assert digit.image.shape == SIDE
    assert digit.image.dtype == np.float32
    return digit.image


def page(digit: Pixels, scale: int = 8) -> Pixels:
    """Black on white in the upper part of a portrait page."""
    scan = np.full((400, 300), 255, np.uint8)
    scan[40 : 40 + 28 * scale, 10 : 10 + 28 * scale] = 255 - np.kron(digit, np.ones((scale, scale), np.uint8))
    return scan


def photograph(digit: Pixels, paper: str, pen: str, seed: int) -> Pixels:
    """A sheet of paper under a lamp, half in the shadow of the camera, turned a little, blurred, noisy, a JPEG."""
    rng = np.random.default_rng(seed)
    turned = Image.fromarray(page(digit, 6)).rotate(rng.uniform(-10, 10), Image.Resampling.BICUBIC, fillcolor=255)
    ink = 1 - np.asarray(turned.filter(ImageFilter.GaussianBlur(1)), np.float32)[..., None] / 255
    colours = np.array(PAPERS[paper]) * (1 - ink) + np.array(PENS[pen]) * ink
    down, across = np.mgrid[0:1:400j, 0:1:300j]
    lamp = 1 - rng.uniform(0.1, 0.4) * np.hypot(down - rng.random(), across - rng.random())
    shadow = 1 - 0.35 / (1 + np.exp(-(across + rng.uniform(-0.5, 0.5) * down - 0.5) * 300 / rng.uniform(4, 30)))
    light = (lamp * shadow)[..., None]
    noisy = colours * light + rng.normal(0, 4, colours.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=70)
    return np.asarray(Image.open(buffer).convert("RGB"))


def test_a_digit_of_mnist_is_taken_as_it_is(digits: Images) -> None:
    for picture in digits.pixels[:500]:
        np.testing.assert_array_equal(seen(picture), picture)


def test_a_scan_is_made_the_way_mnist_was(digits: Images) -> None:
    """Eight times as large, on white paper, in a corner: the test digit again."""
    assert np.quantile([likeness(seen(page(one)), one) for one in digits.pixels[:100]], 0.1) > 0.98


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("pen", PENS)
def test_a_photograph_shows_the_digit(digits: Images, paper: str, pen: str) -> None:
    """As well as it shows under a light that is even: turned and blurred it is anyway."""
    for seed in range(4):
        picture = digits.pixels[seed]
        likest = max(likeness(np.roll(seen(photograph(picture, paper, pen, seed)), shift, (0, 1)), picture)
                     for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)))  # fmt: skip
        assert likest > 0.7


def test_ink_as_bright_as_its_paper_is_seen_by_its_colour(digits: Images) -> None:
    red, green = np.array((200, 50, 50), np.uint8), np.array((20, 135, 40), np.uint8)
    drawn = page(digits.pixels[0])[..., None] < 128
    picture = np.where(drawn, red, green)
    assert np.ptp(np.asarray(Image.fromarray(picture).convert("L"))) < 10
    assert likeness(seen(picture), digits.pixels[0]) > 0.9


TONES = {
    "inverted": lambda x: 255 - x,
    "pale": lambda x: x // 6,
    "pale on white": lambda x: 255 - x // 6,
    "on grey": lambda x: 100 + x // 2,
    "dark on grey": lambda x: 150 - x // 2,
    "under a lamp": lambda x: np.linspace(0, 120, 28, dtype=np.uint8) + x // 2,
    "in half a shadow": lambda x: np.where(np.arange(28) < 13, 255 - x, (255 - x) // 2),
}


@pytest.mark.parametrize("tone", TONES)
def test_polarity_contrast_and_light_do_not_matter(digits: Images, tone: str) -> None:
    found = [likeness(seen(TONES[tone](one).astype(np.uint8)), one) for one in digits.pixels[:60]]
    assert np.median(found) > 0.95


@pytest.mark.parametrize("shape", [(28, 28), (140, 100), (60, 200)])
def test_where_a_digit_stands_does_not_matter(digits: Images, shape: tuple[int, int]) -> None:
    small = np.asarray(Image.fromarray(digits.pixels[0]).resize((20, 20), Image.Resampling.BOX))
    views = []
    for top, left in ((0, 0), (shape[0] - 20, 0), (shape[0] - 20, shape[1] - 20), (3, 5)):
        picture = np.zeros(shape, np.uint8)
        picture[top : top + 20, left : left + 20] = small
        views.append(seen(picture))
    for view in views[1:]:
        assert likeness(view, views[0]) > 0.99


def test_the_centre_of_mass_is_in_the_middle(digits: Images) -> None:
    for one in digits.pixels[:50]:
        image = seen(page(one))
        for axis in (0, 1):
            mass = image.sum(axis=axis)
            assert abs(mass @ np.arange(28) / mass.sum() - 14) <= 1
        rows, columns = np.nonzero(image)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20


def test_a_thin_pen_leaves_strokes_that_can_be_seen() -> None:
    """One pixel in two hundred would be a tenth of a grey pixel."""
    picture = np.full((300, 300), 255, np.uint8)
    picture[50:250, 149:151] = 0
    assert np.count_nonzero(seen(picture)[10] > 200) >= 1
    assert np.count_nonzero(seen(picture)[10]) <= 4


def test_a_rim_and_specks_are_not_part_of_the_digit(digits: Images) -> None:
    clean = page(digits.pixels[0])
    dirty = clean.copy()
    dirty[:, :8] = 30  # the table, beside the sheet
    dirty[350:353, 250:253] = 0
    assert likeness(seen(dirty), seen(clean)) > 0.99


@pytest.mark.parametrize("shade", [0.5, 0.6, 0.7])
def test_the_edges_of_a_sheet_on_a_desk_and_of_a_shadow_across_it_are_no_ink(digits: Images, shade: float) -> None:
    for picture in digits.pixels[:4]:
        sheet = np.pad(page(picture)[:300], 40, constant_values=255).astype(np.float64)
        desk = np.pad(sheet, 30, constant_values=60)
        desk[:, 170:] *= shade
        assert likeness(seen(np.rint(desk).astype(np.uint8)), picture) > 0.9


def on_a_desk(scan: Pixels) -> None:
    """A sheet that lies askew on a dark desk, which shows all around it."""
    corners = [(35, 30), (270, 38), (262, 370), (30, 362)]
    sheet = Image.new("L", scan.shape[::-1], 0)
    ImageDraw.Draw(sheet).polygon(corners, fill=255)
    np.copyto(scan, 45, where=np.asarray(sheet) == 0)


def slanting(scan: Pixels) -> None:
    ImageDraw.Draw(drawn := Image.fromarray(scan)).line((0, 320, 299, 340), fill=40, width=4)
    scan[...] = np.asarray(drawn)


SURROUNDINGS = {
    "a desk": on_a_desk,
    "a frame": lambda scan: outlined(scan, 5, 15, 290, 385),
    "a box": lambda scan: outlined(scan, 55, 75, 235, 255),
    "a margin line": lambda scan: np.copyto(scan[:, 270:273], 60),
    "a dash": lambda scan: np.copyto(scan[300:306, 10:290], 40),
    "a slanting line": slanting,
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_what_is_around_a_digit_is_not_part_of_it(digits: Images, surroundings: str) -> None:
    for one in digits.pixels[:30]:
        clean = np.roll(page(one, 6), (40, 50), (0, 1))
        marked = clean.copy()
        SURROUNDINGS[surroundings](marked)
        assert likeness(seen(marked), seen(clean)) > 0.98


@pytest.mark.parametrize("hole", [4, 12, 20])
def test_a_blot_in_a_nought_is_not_the_digit(hole: int) -> None:
    """In a round one, of 120 pixels; a box of a form has corners, and may hold anything."""
    drawn = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(drawn).ellipse((50, 40, 150, 160), outline=0, width=12)
    ImageDraw.Draw(drawn).ellipse((100, 100, 100 + hole, 100 + hole), fill=0)
    digit = read_digit(np.asarray(drawn), SIDE)
    assert digit is not None
    assert digit.box.height > 110


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (28, 28), (27, 31), (600, 400, 3)])
@pytest.mark.parametrize("grey", [0, 100, 255])
def test_an_empty_picture_has_no_digit(shape: tuple[int, ...], grey: int) -> None:
    picture = np.full(shape, grey, np.uint8)
    assert read_digit(picture, SIDE) is None
    assert list(read_digits(picture, SIDE)) == []


@pytest.mark.parametrize("noise", [1, 3, 5])
def test_grain_and_uneven_light_are_not_ink(noise: float) -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(150, 230, 300) + np.linspace(-20, 20, 200)[:, None]
    assert read_digit(np.clip(rng.normal(light, noise), 0, 255).astype(np.uint8), SIDE) is None


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))
    | hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)))
)
def test_any_picture_gives_digits_within_it_or_none(picture: Pixels) -> None:
    single = read_digit(picture, SIDE)
    for digit in [*read_digits(picture, SIDE), *([single] if single else [])]:
        assert digit.image.shape == SIDE
        assert np.isfinite(digit.image).all()
        assert digit.image.min() >= 0
        assert 254 < digit.image.max() <= 255 or digit is single
        left, top, width, height = digit.box
        assert left >= 0 <= top
        assert 1 <= width <= picture.shape[1] - left
        assert 1 <= height <= picture.shape[0] - top


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=25)))
def test_pieces_are_those_that_scipy_finds(mask: NDArray[np.bool_]) -> None:
    mask[0, 0] = True
    pieces = label(mask)
    expected, count = ndimage.label(mask, np.ones((3, 3)))
    assert len(pieces.number) == count
    pairs = set(zip(pieces.labels[mask].tolist(), expected[mask].tolist(), strict=True))
    assert len(pairs) == count
    bounds = {name: ndimage.find_objects(expected)[number - 1] for name, number in pairs}
    for name, (rows, columns) in bounds.items():
        assert (pieces.top[name], pieces.bottom[name]) == (rows.start, rows.stop)
        assert (pieces.left[name], pieces.right[name]) == (columns.start, columns.stop)
        assert pieces.area[name] == np.count_nonzero(pieces.labels == name)


@pytest.mark.parametrize(("height", "width"), [(20, 16), (56, 56), (14, 14)])
def test_graphs_of_other_sizes_get_their_size(digits: Images, height: int, width: int) -> None:
    digit = read_digit(page(digits.pixels[0]), (height, width))
    assert digit is not None
    assert digit.image.shape == (height, width)


def test_every_training_digit_has_the_form_that_is_taken_as_it_is() -> None:
    for picture in mnist().train.pixels[:5000]:
        digit = read_digit(picture, SIDE)
        assert digit is not None
        assert digit.image is not picture
        assert digit.box == Box(0, 0, 28, 28)


@pytest.mark.parametrize("height", [100, 200, 400])
@pytest.mark.parametrize("dark", [False, True])
def test_a_digit_that_was_cut_out_tightly_gets_a_margin(digits: Images, height: int, dark: bool) -> None:
    alike = []
    for digit in digits.pixels[:40]:
        rows, columns = (np.flatnonzero(digit.max(axis=axis) > 40) for axis in (1, 0))
        cut = Image.fromarray(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
        large = np.asarray(cut.resize((round(height * cut.width / cut.height), height), Image.Resampling.BICUBIC))
        alike.append(likeness(seen(255 - large if dark else large), digit))
    assert np.quantile(alike, 0.2) > 0.85


def test_squares_as_dark_as_ink_are_taken_off_the_digit(digits: Images) -> None:
    alike = []
    for digit in digits.pixels[:30]:
        large = page(digit).astype(float)
        squared = large.copy()
        squared[7::24] = squared[8::24] = np.minimum(large[7::24], 90)
        squared[:, 7::24] = squared[:, 8::24] = np.minimum(squared[:, 7::24], 90)
        alike.append(likeness(seen(squared.astype(np.uint8)), digit))
    assert np.median(alike) > 0.8


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("thick", [1, 3, 6])
def test_a_line_from_border_to_border_is_no_digit(digits: Images, across: bool, thick: int) -> None:
    """The fold of a sheet, the edge of a shadow or a rule: nothing where it is alone, no part of a digit beside it."""
    for lean in (0, 4, 12):
        sheet = Image.new("L", (400, 300), 235)
        ends = (0, 40, 400, 40 + lean) if across else (330, 0, 330 + lean, 300)
        ImageDraw.Draw(sheet).line(ends, 50, thick)
        picture = np.random.default_rng(lean).normal(np.asarray(sheet), 3).clip(0, 255).astype(np.uint8)
        assert read_digit(picture, SIDE) is None
        assert list(read_digits(picture, SIDE)) == []
        digit = np.kron(digits.pixels[3], np.ones((5, 5), np.uint8))
        picture[100:240, 100:240] = np.minimum(picture[100:240, 100:240], 255 - digit)
        assert likeness(seen(picture), digits.pixels[3]) > 0.9
