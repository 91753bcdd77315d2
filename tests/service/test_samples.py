"""Sample generation: a sample is a function of model, seed and index, and of nothing else."""

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from scipy.stats import norm

from service.bundle import Bundle, Manifest, SampleGeneration
from service.codecs.pictures import read, sheet
from service.engine.repository import Repository
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Request
from service.tasks import codes, encodings, samples
from tests import toys
from tests.conftest import Here, assert_refused

PATH = "/v1/samples/generate?model=toy-samples"
LIMITS = Limits(max_rows=32, max_pixels=2**20)


def generate(lane: Here, accept: str = NPY, **wanted: Any) -> Any:
    response = lane("POST", PATH, json=wanted, headers={"accept": accept})
    assert response.status_code == 200, response.text
    return response


def images(lane: Here, **wanted: Any) -> np.ndarray:
    return np.load(io.BytesIO(generate(lane, **wanted).content))


def inputs(manifest: Manifest, body: bytes) -> dict[str, np.ndarray]:
    payload = samples.TASK.read(Request(body, {b"content-type": JSON.encode()}), LIMITS)
    return samples.prepare(payload, manifest, LIMITS).inputs


@given(seed=st.integers(0, samples.MAX_SEED), few=st.integers(1, 16), many=st.integers(1, 32))
def test_a_sample_does_not_depend_on_how_many_are_asked_for(
    repository: Repository, seed: int, few: int, many: int
) -> None:
    manifest = repository.models["toy-samples"].manifest
    some = inputs(manifest, b'{"seed": %d, "count": %d}' % (seed, few))
    more = inputs(manifest, b'{"seed": %d, "count": %d}' % (seed, many))
    for name in ("latent", "label"):
        np.testing.assert_array_equal(some[name][: min(few, many)], more[name][: min(few, many)])


def test_another_seed_gives_other_samples_and_the_noise_is_standard_normal(repository: Repository) -> None:
    manifest = repository.models["toy-samples"].manifest
    noise = np.stack([inputs(manifest, b'{"seed": %d, "count": 32}' % seed)["latent"] for seed in range(200)])
    assert len(np.unique(noise.reshape(-1, 4), axis=0)) == 200 * 32
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1, abs=0.03)


def test_the_noise_of_a_seed_is_what_it_has_always_been(repository: Repository) -> None:
    noise = inputs(repository.models["toy-samples"].manifest, b'{"seed": 1}')["latent"]
    stream = np.random.Generator(np.random.Philox(key=[1, 0]))
    np.testing.assert_array_equal(noise[0], stream.standard_normal(4, np.float32))


def test_without_a_seed_the_samples_are_new_each_time_and_the_answer_says_of_which_seed(lane: Here) -> None:
    first, second = generate(lane, JSON).json(), generate(lane, JSON, seed=None).json()
    assert first["seed"] != second["seed"]
    again = generate(lane, JSON, seed=first["seed"]).json()
    assert again["samples"] == first["samples"]
    for accept in (NPY, PNG, JSON):
        assert generate(lane, accept, seed=5).headers["x-seed"] == "5"


def test_the_label_reaches_the_graph(lane: Here) -> None:
    zeros, sevens = images(lane, seed=3, count=4, label=0), images(lane, seed=3, count=4, label="7")
    inside = (zeros > 0) & (sevens < 255)
    assert (np.abs(sevens.astype(int) - zeros - 70)[inside] <= 1).all()


def test_labels_are_one_per_sample(lane: Here) -> None:
    each = images(lane, seed=3, labels=[0, "1", 2])
    np.testing.assert_array_equal(each[1], images(lane, seed=3, count=2, label=1)[1])


def test_latents_replace_the_noise(lane: Here) -> None:
    latents = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, -1.0]]
    expected = toys.painted(np.array(latents, np.float32), np.array([4, 4]))
    np.testing.assert_array_equal(images(lane, latents=latents, label=4), np.rint(np.clip(expected, 0, 255)))


def test_the_forms_of_an_answer_hold_the_same_pictures(lane: Here) -> None:
    grid = images(lane, seed=5, count=6)
    png = generate(lane, PNG, seed=5, count=6)
    assert png.headers["content-type"] == PNG
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png.content))), sheet(grid))
    answer = generate(lane, JSON, seed=5, count=6).json()
    np.testing.assert_array_equal([read(base64.b64decode(one), LIMITS).grey for one in answer["samples"]], grid)
    assert answer["seed"] == 5
    assert len(answer["labels"]) == 6
    assert set(answer["labels"]) <= set("0123456789")


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_an_animation_shows_one_sample_after_the_other(lane: Here, kind: str) -> None:
    grid = images(lane, seed=5, count=6)
    answer = generate(lane, f"image/{kind}", seed=5, count=6)
    assert (answer.headers["content-type"], answer.headers["x-seed"]) == (f"image/{kind}", "5")
    with Image.open(io.BytesIO(answer.content)) as animation:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(animation)]
    np.testing.assert_array_equal(frames, grid)


def test_a_zip_holds_a_png_file_of_each_sample_with_its_label(lane: Here) -> None:
    answer = generate(lane, "application/zip", seed=5, label=[3, 7])
    assert answer.content == generate(lane, "application/zip", seed=5, labels=[3, 7]).content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["0000-3.png", "0001-7.png"]
        pixels = [read(archive.read(name), LIMITS).grey for name in archive.namelist()]
    np.testing.assert_array_equal(pixels, images(lane, seed=5, labels=[3, 7]))


def test_four_times_as_many_may_be_drawn_as_sent(lane: Here) -> None:
    assert len(images(lane, seed=5, count=128)) == 128
    np.testing.assert_array_equal(images(lane, seed=5, count=128)[:4], images(lane, seed=5, count=4))


def test_a_way_between_two_seeds_begins_and_ends_with_their_samples(lane: Here) -> None:
    way = images(lane, interpolate=[1, 2], count=9, label=3)
    for place, seed in ((0, 1), (-1, 2)):
        np.testing.assert_array_equal(way[place], images(lane, seed=seed, label=3)[0])
    ends = np.stack([codes.stream(seed, 0).standard_normal(4, np.float32) for seed in (1, 2)])
    np.testing.assert_array_equal(way, images(lane, interpolate=ends.tolist(), count=9, label=3))
    assert len(images(lane, interpolate=[1, 2])) == 16
    assert len(set(generate(lane, JSON, interpolate=[1, 2], seed=4).json()["labels"])) == 1


def test_a_way_keeps_the_distance_from_the_middle_and_takes_equal_steps() -> None:
    first, last = np.array([3, 0, 0], np.float32), np.array([0, 3, 0], np.float32)
    way = codes.between(first, last, 7)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 3, rtol=1e-6)
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
    np.testing.assert_allclose(codes.between(first, -first, 3), [first, 0 * first, -first], atol=1e-6)
    np.testing.assert_allclose(codes.between(0 * first, last, 3), [0 * last, last / 2, last])


def test_truncation_draws_codes_in(repository: Repository) -> None:
    manifest = repository.models["toy-samples"].manifest
    whole, half = (inputs(manifest, b'{"seed": 1, "truncation": %s}' % share)["latent"] for share in (b"1", b"0.5"))
    np.testing.assert_array_equal(half, whole / 2)


def test_a_grid_covers_a_plane_of_codes_evenly(tmp_path: Path) -> None:
    manifest = Bundle(toys.samples(tmp_path)).manifest
    plane = manifest.model_copy(update={"task": SampleGeneration(latent_size=2, labels=("a", "b"))})
    found = inputs(plane, b'{"grid": 4, "seed": 1}')
    assert found["latent"].shape == (16, 2)
    assert len(set(found["label"].tolist())) == 1
    below = norm.cdf(found["latent"].reshape(4, 4, 2))
    np.testing.assert_allclose(below[0, :, 0], [0.125, 0.375, 0.625, 0.875], atol=1e-6)
    np.testing.assert_allclose(below[:, 0, 1], [0.125, 0.375, 0.625, 0.875], atol=1e-6)
    with pytest.raises(InvalidShape):
        inputs(plane, b'{"grid": 4, "count": 15}')


def test_a_sheet_is_the_form_of_choice(lane: Here) -> None:
    assert generate(lane, "*/*").headers["content-type"] == PNG


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"count": 0}, "invalid_value", "count"),
        ({"count": 1.5}, "invalid_value", "count"),
        ({"count": True}, "invalid_value", "count"),
        ({"count": 1e30}, "invalid_value", "count"),
        ({"count": 129}, "too_many_rows", "count"),
        ({"seed": -1}, "invalid_value", "seed"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"seed": "1"}, "invalid_value", "seed"),
        ({"label": 10}, "invalid_value", "label"),
        ({"label": "seven"}, "invalid_value", "label"),
        ({"label": True}, "invalid_value", "label"),
        ({"label": [1, 11]}, "invalid_value", "labels[1]"),
        ({"label": [1], "labels": [1]}, "invalid_value", "labels"),
        ({"labels": [1, 11]}, "invalid_value", "labels[1]"),
        ({"labels": "77"}, "invalid_value", "labels"),
        ({"labels": []}, "invalid_shape", "labels"),
        ({"labels": [1, 2], "count": 3}, "invalid_shape", "labels"),
        ({"label": 1, "labels": [1]}, "invalid_value", "labels"),
        ({"latents": [[0, 0, 0]]}, "invalid_shape", "latents"),
        ({"latents": [[0, 0, 0, 0]], "count": 2}, "invalid_shape", "latents"),
        ({"latents": [[0, 0], [0]]}, "invalid_shape", "latents"),
        ({"latents": [["a", "b", "c", "d"]]}, "invalid_value", "latents"),
        ({"latents": [[1e300, 0, 0, 0]]}, "invalid_value", "latents"),
        ({"latents": [[20.5, 0, 0, 0]]}, "invalid_value", "latents"),
        ({"latents": [[None, 0, 0, 0]]}, "invalid_value", "latents"),
        ({"latents": 1}, "invalid_value", "latents"),
        ({"steps": 3}, "invalid_value", "steps"),
        ({"truncation": 0}, "invalid_value", "truncation"),
        ({"truncation": 1.1}, "invalid_value", "truncation"),
        ({"truncation": "1"}, "invalid_value", "truncation"),
        ({"interpolate": 1}, "invalid_value", "interpolate"),
        ({"interpolate": [1]}, "invalid_value", "interpolate"),
        ({"interpolate": [1, "2"]}, "invalid_value", "interpolate[1]"),
        ({"interpolate": [-1, 2]}, "invalid_value", "interpolate[0]"),
        ({"interpolate": [1, [0, 0, 0]]}, "invalid_shape", "interpolate[1]"),
        ({"interpolate": [[0, 0, 0, 21], 1]}, "invalid_value", "interpolate[0]"),
        ({"interpolate": [1, 2], "latents": [[0, 0, 0, 0]]}, "invalid_value", "interpolate"),
        ({"interpolate": [1, 2], "grid": 3}, "invalid_value", "grid"),
        ({"grid": 3}, "invalid_value", "grid"),
        ({"grid": 0}, "invalid_value", "grid"),
        ({"grid": 1000}, "too_many_rows", "count"),
        ({"model": 3}, "invalid_value", "model"),
        ([], "invalid_value", None),
    ],
)
def test_a_wrong_wish_is_refused_at_its_field(lane: Here, wanted: Any, code: str, field: str | None) -> None:
    assert_refused(lane("POST", PATH, json=wanted), 422, code, field)


def test_what_is_not_json_is_refused(lane: Here) -> None:
    assert_refused(lane("POST", PATH, content=b"{", headers={"content-type": JSON}), 400, "malformed_body")
    assert_refused(
        lane("POST", PATH, content=b"{}", headers={"content-type": PNG}), 415, "unsupported_media", "content-type"
    )


def test_a_form_that_cannot_be_had_is_refused(lane: Here) -> None:
    response = lane("POST", PATH, json={}, headers={"accept": "video/mp4, image/png;q=0"})
    assert_refused(response, 406, "not_acceptable", "accept")


@pytest.mark.parametrize("wish", [{"label": 1}, {"labels": [1]}])
def test_a_label_for_a_model_without_any_is_refused_where_it_stands(tmp_path: Path, wish: dict[str, Any]) -> None:
    manifest = Bundle(toys.samples(tmp_path)).manifest
    unlabelled = manifest.model_copy(update={"task": SampleGeneration(latent_size=4)})
    body = samples.TASK.read(Request(orjson.dumps(wish), {b"content-type": b"application/json"}), LIMITS)
    with pytest.raises(InvalidValue) as refused:
        samples.TASK.prepare(body, unlabelled, LIMITS)
    assert refused.value.field == next(iter(wish))


ENCODE, RECONSTRUCT = (f"/v1/samples/{verb}?model=toy-samples" for verb in ("encode", "reconstruct"))


def test_a_picture_is_encoded_and_its_code_draws_what_it_says(lane: Here) -> None:
    shown = np.full((2, 8, 8), 50)
    answer = lane("POST", ENCODE, json={"images": shown.tolist(), "label": 3})
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["latents"], np.full((2, 4), 0.5), rtol=1e-6)
    assert len(images(lane, latents=answer.json()["latents"], label=3)) == 2


@pytest.mark.parametrize("accept", [PNG, JSON, NPY])
def test_a_picture_is_drawn_again_in_every_form(lane: Here, accept: str) -> None:
    wish = {"images": np.full((1, 8, 8), 50).tolist(), "label": "3"}
    answer = lane("POST", RECONSTRUCT, json=wish, headers={"accept": accept})
    assert answer.status_code == 200, answer.text
    if accept == NPY:
        drawn = np.load(io.BytesIO(answer.content))[0]
    else:
        png = answer.content if accept == PNG else base64.b64decode(answer.json()["reconstructions"][0])
        drawn = read(png, LIMITS).grey
    code = np.full((1, 4), 0.5, np.float32)
    np.testing.assert_array_equal(drawn, np.rint(toys.painted(code, np.array([3]))[0].clip(0, 255)))


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({}, "invalid_value", "label"),
        ({"label": "ten"}, "invalid_value", "label"),
        ({"label": [1]}, "invalid_value", "label"),
        ({"label": 1, "images": [[[0, 0], [0, 0]]]}, "invalid_shape", "images"),
        ({"label": 1, "seed": 1}, "invalid_value", "seed"),
    ],
)
def test_a_picture_that_cannot_be_encoded_is_refused(lane: Here, wanted: Any, code: str, field: str) -> None:
    blank = {"images": np.full((1, 8, 8), 50).tolist()}
    assert_refused(lane("POST", ENCODE, json=blank | wanted), 422, code, field)


def test_what_encodes_wants_a_label_where_what_draws_does(tmp_path: Path) -> None:
    graphs = Bundle(toys.samples(tmp_path)).manifest.graphs
    with pytest.raises(ValueError, match="`label` where the main one does"):
        SampleGeneration(latent_size=4).check(graphs)


def test_a_model_that_cannot_encode_says_so(tmp_path: Path) -> None:
    manifest = Bundle(toys.samples(tmp_path)).manifest
    without = manifest.model_copy(update={"graphs": {"main": manifest.graphs["main"]}})
    body = encodings.TASK.read(Request(b'{"images": [[[1]]]}', {b"content-type": JSON.encode()}), LIMITS)
    with pytest.raises(InvalidValue) as refused:
        encodings.TASK.prepare(body, without, LIMITS)
    assert refused.value.field == "model"
