"""Locust users for every endpoint, with real payloads. A wrong answer counts as a failure, whatever its status.

locust --locustfile load_tests/locustfile.py --host http://127.0.0.1:3000
"""

import io
import itertools
import json
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from locust import FastHttpUser, between, task
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from load_tests.bodies import (
    DICOM,
    JSON,
    NPY,
    PNG,
    SLICE_MM,
    THINGS,
    Body,
    applicants,
    as_json,
    as_npy,
    digit,
    digit_png,
    digits_json,
    slice_dicom,
    slice_hu,
    thing,
    thing_png,
    things_json,
)

Check = Callable[[bytes], None]


class ApiUser(FastHttpUser):
    """Sends one body and looks at the answer."""

    abstract = True
    wait_time = between(0.05, 0.2)

    def send(self, path: str, form: str, body: Body, check: Check, accept: str = "*/*") -> None:
        """`check` raises when the answer is wrong. `form` tells requests to one path apart in the statistics."""
        headers = {"content-type": body.media_type, "accept": accept}
        with self.client.post(
            path, data=body.content, headers=headers, name=f"{path} {form}", catch_response=True
        ) as response:
            if response.status_code != 200:
                response.failure(f"{response.status_code}: {response.text[:200]}")
                return
            try:
                check(response.content)
            except Exception as error:
                response.failure(f"{type(error).__name__}: {error}")


def expect(condition: object, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def read_npy(answer: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(answer), allow_pickle=False)
    return array


class DigitUser(ApiUser):
    weight = 6
    path = "/v1/digits/classify"
    labels = itertools.cycle(range(10))

    @task(4)
    def classify_png(self) -> None:
        label = next(self.labels)
        self.send(self.path, "png", digit_png(label), saying(label))

    @task(4)
    def classify_json(self) -> None:
        label = next(self.labels)
        self.send(self.path, "json", digits_json(label), saying(label))

    @task(4)
    def classify_npy(self) -> None:
        label = next(self.labels)
        self.send(self.path, "npy", as_npy(digit(label)), saying(label))

    @task(1)
    def classify_all_digits(self) -> None:
        self.send(self.path, "json x 10", digits_json(*range(10)), saying(*range(10)))


class ThingUser(ApiUser):
    weight = 3
    path = "/v1/images/classify"
    labels = itertools.cycle(THINGS)

    @task(4)
    def classify_png(self) -> None:
        label = next(self.labels)
        self.send(self.path, "png", thing_png(label), saying(label, key="label"))

    @task(2)
    def classify_npy(self) -> None:
        label = next(self.labels)
        self.send(self.path, "npy", as_npy(thing(label)), saying(label, key="label"))

    @task(1)
    def classify_all_things(self) -> None:
        self.send(self.path, "json x 10", things_json(*THINGS), saying(*THINGS, key="label"))


def saying(*labels: int | str, key: str = "digit") -> Check:
    def check(answer: bytes) -> None:
        predictions = json.loads(answer)["predictions"]
        found = [prediction[key] for prediction in predictions]
        expect(found == list(labels), f"sent {list(labels)}, answered {found}")
        for prediction in predictions:
            total = sum(prediction["probabilities"])
            expect(len(prediction["probabilities"]) == 10 and abs(total - 1) < 1e-3, f"probabilities sum to {total}")
            expect(prediction["confidence"] == max(prediction["probabilities"]), "confidence is not the largest")

    return check


class CreditUser(ApiUser):
    weight = 3
    path = "/v1/credit/score"
    rows = itertools.cycle(applicants())

    @task(4)
    def score_one(self) -> None:
        self.send(self.path, "json", as_json({"applicants": [next(self.rows)]}), scores(1))

    @task(1)
    def score_many(self) -> None:
        self.send(self.path, "json x 8", as_json({"applicants": applicants()}), scores(8))


def scores(count: int) -> Check:
    def check(answer: bytes) -> None:
        predictions = json.loads(answer)["predictions"]
        expect(len(predictions) == count, f"sent {count} applicants, answered {len(predictions)}")
        for prediction in predictions:
            expect(0 < prediction["default_probability"] < 1, f"probability {prediction['default_probability']}")
            expect(prediction["decision"] in ("approve", "decline"), f"decision {prediction['decision']!r}")

    return check


class CtUser(ApiUser):
    weight = 1
    path = "/v1/ct/denoise"
    wait_time = between(0.5, 1.5)

    @task(3)
    def denoise_dicom(self) -> None:
        self.send(self.path, "dicom", slice_dicom(), derived_dicom, accept=DICOM)

    @task(2)
    def denoise_npy(self) -> None:
        self.send(f"{self.path}?spacing_mm={SLICE_MM}", "npy", as_npy(slice_hu()), denoised_array, accept=NPY)

    @task(1)
    def preview(self) -> None:
        self.send(self.path, "dicom to png", slice_dicom(), preview_picture, accept=PNG)


def derived_dicom(answer: bytes) -> None:
    source, derived = dcmread(io.BytesIO(slice_dicom().content)), dcmread(io.BytesIO(answer))
    expect(derived.ImageType[0] == "DERIVED", f"image type {derived.ImageType}")
    expect(derived.SOPInstanceUID != source.SOPInstanceUID, "the derived image has the UID of its source")
    resembles_source(derived.pixel_array * float(derived.RescaleSlope) + float(derived.RescaleIntercept))


def denoised_array(answer: bytes) -> None:
    resembles_source(read_npy(answer))


def resembles_source(hu: NDArray[Any]) -> None:
    """Noise goes, the patient stays: the same size, and on average within 100 HU of what was sent."""
    source = slice_hu()
    expect(hu.shape == source.shape, f"shape {hu.shape}, sent {source.shape}")
    distance = float(np.abs(hu - source).mean())
    expect(distance < 100, f"the answer differs by {distance:.0f} HU on average")


def preview_picture(answer: bytes) -> None:
    picture = Image.open(io.BytesIO(answer))
    shape = (picture.height, picture.width)
    expect(picture.format == "PNG" and shape == slice_hu().shape, f"{picture.format} of {shape}")


class SampleUser(ApiUser):
    """Few seeds, so that each comes back: its samples must then be those of the first time, whatever else is served."""

    weight = 2
    path = "/v1/samples/generate"
    wishes = itertools.cycle([{"seed": seed, "label": seed % 10, "count": 4} for seed in range(50)])
    drawn: ClassVar[dict[int, NDArray[np.uint8]]] = {}

    @task(2)
    def generate_npy(self) -> None:
        wish = next(self.wishes)

        def check(answer: bytes) -> None:
            samples = read_npy(answer)
            expect(samples.shape == (wish["count"], 28, 28), f"shape {samples.shape}")
            first = self.drawn.setdefault(wish["seed"], samples)
            # A batch of another size may round the last bit the other way.
            expect(
                np.abs(samples.astype(int) - first).max() <= 1, f"seed {wish['seed']} gave other samples than before"
            )

        self.send(self.path, "npy", as_json(wish), check, accept=NPY)

    @task(2)
    def generate_sheet(self) -> None:
        def check(answer: bytes) -> None:
            picture = Image.open(io.BytesIO(answer))
            expect(picture.size == (118, 118), f"a sheet of 4x4 samples has {picture.size} pixels")

        self.send(self.path, "png", as_json(next(self.wishes) | {"count": 16}), check, accept=PNG)

    @task(1)
    def generate_json(self) -> None:
        wish = next(self.wishes)

        def check(answer: bytes) -> None:
            document = json.loads(answer)
            expect(len(document["samples"]) == wish["count"], f"{len(document['samples'])} samples")
            expect(document["labels"] == [str(wish["label"])] * wish["count"], f"labels {document['labels']}")

        self.send(self.path, "json", as_json(wish), check, accept=JSON)
