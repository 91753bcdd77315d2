"""Clip classification: animations, pictures in a row and numbers; some frames of each are shown to the model."""

import base64
import io
import struct
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.codecs.clips import MOST_FRAMES, animation, evenly
from service.codecs.picture_header import frames
from service.codecs.pictures import write_png
from service.errors import TooManyPixels
from service.limits import Limits
from service.messages import NPY
from tests import toys
from tests.conftest import Here, assert_refused, npy

PATH = "/v1/clips/classify?model=toy-clips"
CLIP = np.random.default_rng(7).integers(0, 256, (3, 8, 8), np.uint8)
KINDS = {"GIF": "image/gif", "WEBP": "image/webp", "PNG": "image/apng"}
LIMITS = Limits(max_rows=32, max_pixels=2**22)


def animated(shown: NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    """Frames [N, H, W] or, transparent, [N, H, W, 4]."""
    buffer, (first, *others) = io.BytesIO(), [Image.fromarray(frame) for frame in shown]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    first.save(buffer, kind, save_all=True, append_images=others, duration=50, **lossless, **options)
    return buffer.getvalue()


def probabilities(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.array([one["probabilities"] for one in response.json()["predictions"]])


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("form", [*KINDS, "npy", "numbers", "base64", "pictures", "part"])
def test_every_way_to_send_a_clip_gives_one_answer(lane: Here, form: str) -> None:
    gif = animated(CLIP, "GIF")
    requests: dict[str, dict[str, Any]] = {
        **{kind: {"content": animated(CLIP, kind), "headers": {"content-type": KINDS[kind]}} for kind in KINDS},
        "npy": {"content": npy(CLIP), "headers": {"content-type": NPY}},
        "numbers": {"json": {"clips": [CLIP.tolist()]}},
        "base64": {"json": {"clips": [text(gif)]}},
        "pictures": {"json": {"clips": [[text(write_png(frame)) for frame in CLIP]]}},
        "part": {"files": [("clip", ("thing.gif", gif))]},
    }
    response = lane("POST", PATH, **requests[form])
    np.testing.assert_allclose(probabilities(response), toys.lighter(CLIP[None].astype(np.float32)), atol=1e-5)
    (one,) = response.json()["predictions"]
    assert one["label"] == ("darker", "lighter")[int(np.argmax(one["probabilities"]))]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_are_chosen_evenly_from_the_first_on(lane: Here, kind: str) -> None:
    """Of eight frames the first, the third and the sixth."""
    greys = np.array([200, 0, 0, 0, 0, 40, 0, 0], np.uint8)
    clip = np.zeros((8, 8, 8), np.uint8) + greys[:, None, None]
    clip[:, 0, 0] = np.arange(8)  # writers leave out a frame that is like the one before
    assert evenly(3, 8) == [0, 2, 5]
    response = lane("POST", PATH, content=animated(clip, kind), headers={"content-type": KINDS[kind]})
    expected = toys.lighter(clip[None, [0, 2, 5]].astype(np.float32))
    np.testing.assert_allclose(probabilities(response), expected, atol=1e-5)


def test_what_is_transparent_lies_on_white_in_every_frame(lane: Here) -> None:
    """Also where it is light strokes on nothing, of which a single picture would be seen on black."""
    clip = np.zeros((3, 8, 8, 4), np.uint8)
    clip[:, 3, 3] = 240, 240, 240, 255
    clip[:, 0, 0] = np.array([[1], [2], [3]]) * [80, 80, 80, 0] + [0, 0, 0, 255]
    on_white = np.where(clip[..., 3] == 255, clip[..., 0], 255).astype(np.float32)
    for kind in ("WEBP", "PNG"):
        response = lane("POST", PATH, content=animated(clip, kind), headers={"content-type": KINDS[kind]})
        np.testing.assert_allclose(probabilities(response), toys.lighter(on_white[None]), atol=1e-5)
    pictures = [text(write_png(frame)) for frame in clip]
    response = lane("POST", PATH, json={"clips": [pictures]})
    np.testing.assert_allclose(probabilities(response), toys.lighter(on_white[None]), atol=1e-5)


def test_clips_are_resized(lane: Here) -> None:
    large = np.kron(CLIP, np.ones((1, 5, 4), np.uint8))
    small = np.stack([np.asarray(Image.fromarray(one).resize((8, 8), Image.Resampling.BICUBIC)) for one in large])
    response = lane("POST", PATH, content=animated(large, "WEBP"), headers={"content-type": "image/webp"})
    np.testing.assert_allclose(probabilities(response), toys.lighter(small[None].astype(np.float32)), atol=1e-5)


STILL = text(write_png(CLIP[0]))
SHORT = text(animated(CLIP[:2], "GIF"))
LONG = [CLIP.tolist()]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"clips": [STILL]}, 422, "invalid_value", "clips[0]"),
        ({"clips": [SHORT]}, 422, "invalid_shape", "clips[0]"),
        ({"clips": [[STILL, STILL]]}, 422, "invalid_shape", "clips[0]"),
        ({"clips": [[STILL, 7, STILL]]}, 422, "invalid_value", "clips[0][1]"),
        ({"clips": [SHORT, 7]}, 422, "invalid_value", "clips[1]"),
        ({"clips": [[STILL, SHORT, STILL]]}, 422, "invalid_value", "clips[0][1]"),
        ({"clips": ["AAAA"]}, 400, "malformed_body", "clips[0]"),
        ({"clips": [[]]}, 422, "invalid_shape", "clips"),
        ({"clips": []}, 422, "invalid_shape", "clips"),
        ({"clips": {}}, 422, "invalid_value", "clips"),
        ({"clips": [None]}, 422, "invalid_value", "clips[0]"),
        ({"clips": [{"frames": []}]}, 422, "invalid_value", "clips[0]"),
        ({"clips": [CLIP[:2].tolist()]}, 422, "invalid_shape", "clips"),
        ({"clips": [(CLIP + 300.0).tolist()]}, 422, "invalid_value", "clips"),
        ({"clips": LONG * 33}, 422, "too_many_rows", "clips"),
        ({}, 422, "invalid_value", "clips"),
        ({"images": LONG}, 422, "invalid_value", "images"),
    ],
)
def test_what_is_no_clip_is_refused(lane: Here, body: dict[str, Any], status: int, code: str, field: str) -> None:
    assert_refused(lane("POST", PATH, json=body), status, code, field)


def test_a_damaged_animation_is_refused(lane: Here) -> None:
    for kind, media_type in KINDS.items():
        whole = animated(np.random.default_rng(1).integers(0, 256, (5, 64, 64), np.uint8), kind)
        answer = lane("POST", PATH, content=whole[: len(whole) // 2], headers={"content-type": media_type})
        assert answer.status_code in (400, 422), kind


def test_a_frame_of_a_gif_that_reaches_beyond_the_canvas_is_never_opened() -> None:
    """Pillow would enlarge the canvas for it."""
    whole = animated(CLIP, "GIF", disposal=2)
    assert frames(whole, 9) == 3
    last = whole.rindex(b"\x2c\0\0\0\0\x08\0\x08\0")
    wide = whole[: last + 5] + struct.pack("<HH", 60000, 60000) + whole[last + 9 :]
    assert frames(wide, 9) == 2


def test_a_clip_that_would_take_long_is_refused_by_its_header() -> None:
    step = np.arange(MOST_FRAMES + 1).astype(np.uint16)
    many = np.stack([step % 256, step // 256, step // 256, step % 256], 1).astype(np.uint8).reshape(-1, 2, 2)
    with pytest.raises(TooManyPixels, match="more than 1024 frames"):
        animation(animated(many, "GIF"), LIMITS.max_pixels)
    apng = animated(CLIP, "PNG")
    at = apng.index(b"IHDR") + 4
    large = apng[:at] + struct.pack(">II", 2**11, 2**11) + apng[at + 8 :]
    told = large.index(b"acTL") + 4
    with pytest.raises(TooManyPixels, match="smaller or shorter"):
        animation(large[:told] + struct.pack(">I", 1000) + large[told + 4 :], LIMITS.max_pixels)
