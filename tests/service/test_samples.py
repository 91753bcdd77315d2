"""Sample generation: a sample is a function of model, seed and index, and of nothing else."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.bundle import Bundle, Manifest, SampleGeneration
from service.codecs.pictures import read, sheet
from service.engine.repository import Repository
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Request
from service.tasks import samples
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


def test_a_sheet_is_the_form_of_choice(lane: Here) -> None:
    assert generate(lane, "*/*").headers["content-type"] == PNG


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"count": 0}, "invalid_value", "count"),
        ({"count": 1.5}, "invalid_value", "count"),
        ({"count": True}, "invalid_value", "count"),
        ({"count": 1e30}, "invalid_value", "count"),
        ({"count": 33}, "too_many_rows", "count"),
        ({"seed": -1}, "invalid_value", "seed"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"seed": "1"}, "invalid_value", "seed"),
        ({"label": 10}, "invalid_value", "label"),
        ({"label": "seven"}, "invalid_value", "label"),
        ({"label": True}, "invalid_value", "label"),
        ({"label": [1]}, "invalid_value", "label"),
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
