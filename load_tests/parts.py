"""The parts of the bench: who is measured against whom, on which bodies, and what the right answer is."""

import io
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import ArrayLike
from prometheus_client.parser import text_string_to_metric_families

from load_tests.bodies import Body, applicants, as_json, as_npy, digit, digits_json, slice_hu
from load_tests.raw import RawModel
from service.bundle import Bundle
from service.limits import Limits
from service.messages import Payload
from service.tasks import credit

SEVEN = 7

Right = Callable[[bytes], bool]


class Servers(NamedTuple):
    """Base URLs."""

    ours: str
    plain: str
    echo: str


class Work(NamedTuple):
    """What a model has done since it was loaded."""

    batches: float
    rows: float


class Contender(NamedTuple):
    """Who answers which body. `echo` and `plain` name the contenders it is compared with.

    `work` counts the batches behind the service's own endpoints.
    """

    name: str
    url: str
    body: Body
    right: Right
    echo: str = ""
    plain: str = ""
    work: Callable[[], Work] | None = None

    def check(self) -> None:
        """Raises WrongAnswer."""
        request = Request(self.url, self.body.content, {"content-type": self.body.media_type})
        with urlopen(request, timeout=60) as response:
            answer = response.read()
        if not self.right(answer):
            raise WrongAnswer(f"{self.name} at {self.url} gave a wrong answer: {answer[:300]!r}")


class WrongAnswer(Exception):
    """A contender that is fast and wrong."""


class Part(NamedTuple):
    """Each request holds `rows` rows, called `unit`. Its runs take `stretch` times as long as others."""

    title: str
    contenders: tuple[Contender, ...]
    raw: RawModel
    connections: tuple[int, ...]
    batches: tuple[int, ...]
    unit: str = "requests"
    rows: int = 1
    stretch: int = 1


def digits(servers: Servers, bundle: Bundle) -> Part:
    raw = RawModel(bundle, {"image": digit(SEVEN)[None].astype(np.float32)}, threads=1)
    expected = raw.outputs()["probabilities"]
    in_json, in_npy = digits_json(SEVEN), as_npy(digit(SEVEN))

    def ours(answer: bytes) -> bool:
        (prediction,) = json.loads(answer)["predictions"]
        return prediction["digit"] == SEVEN and close([prediction["probabilities"]], expected)

    def plain(answer: bytes) -> bool:
        probabilities = json.loads(answer)
        return int(np.argmax(probabilities)) == SEVEN and close(probabilities, expected)

    url, counted = servers.ours + "/v1/digits/classify", partial(work, servers.ours, raw.name)
    contenders = (
        Contender("ours, JSON", url, in_json, ours, "echo, JSON", "plain, JSON", counted),
        Contender("ours, npy", url, in_npy, ours, "echo, npy", "plain, JSON", counted),
        Contender("plain, JSON", servers.plain + "/classify", in_json, plain, "echo, JSON"),
        Contender("echo, JSON", servers.echo, in_json, in_json.content.__eq__),
        Contender("echo, npy", servers.echo, in_npy, in_npy.content.__eq__),
    )
    return Part("Digits: one picture", contenders, raw, (1, 16, 64, 256), (1, 16, 64))


def credit_scores(servers: Servers, bundle: Bundle) -> Part:
    applicant = applicants()[:1]
    raw = RawModel(bundle, credit.prepare(Payload(applicant), bundle.manifest, Limits(1, 1)), threads=1)
    body, expected = as_json({"applicants": applicant}), raw.outputs()["default_probability"]
    counted = partial(work, servers.ours, raw.name)

    def ours(answer: bytes) -> bool:
        return close([one["default_probability"] for one in json.loads(answer)["predictions"]], expected)

    contenders = (
        Contender("ours, JSON", servers.ours + "/v1/credit/score", body, ours, "echo, JSON", work=counted),
        Contender("echo, JSON", servers.echo, body, body.content.__eq__),
    )
    return Part("Credit: one applicant", contenders, raw, (1, 64), (1, 16, 64))


def ct(servers: Servers, bundle: Bundle) -> Part:
    """A slice of 128x128 pixels mirrored to the size of a clinical one, in four orientations."""
    hu = np.pad(slice_hu(), (0, 512 - 128), mode="symmetric")
    slices = np.stack([hu, hu[::-1], hu[:, ::-1], hu[::-1, ::-1]])
    raw = RawModel(
        bundle, {bundle.manifest.inputs[0].name: slices.astype(np.float32)}, threads(servers.ours, bundle.manifest.name)
    )
    counted = partial(work, servers.ours, raw.name)
    expected = raw.outputs()[bundle.manifest.outputs[0].name]

    def ours(answer: bytes) -> bool:
        return close(np.load(io.BytesIO(answer), allow_pickle=False), expected, atol=0.5)

    contender = Contender("ours, npy", servers.ours + "/v1/ct/denoise", as_npy(slices), ours, work=counted)
    return Part(
        "CT: four slices of 512x512", (contender,), raw, (2, 4), (1, 4), unit="slices", rows=len(slices), stretch=5
    )


PARTS: Mapping[str, tuple[str, Callable[[Servers, Bundle], Part]]] = {
    "digits": ("convnet", digits),
    "credit": ("credit-logistic", credit_scores),
    "ct": ("ct-denoiser", ct),
}


def close(answer: ArrayLike, expected: ArrayLike, atol: float = 1e-4) -> bool:
    return np.shape(answer) == np.shape(expected) and np.allclose(answer, expected, atol=atol)


def work(service: str, model: str) -> Work:
    samples = scrape(service, model)
    return Work(samples["quartet_batch_rows_count"], samples["quartet_batch_rows_sum"])


def threads(service: str, model: str) -> int:
    """Threads of one inference."""
    return int(scrape(service, model)["quartet_session_threads"])


def scrape(service: str, model: str) -> dict[str, float]:
    """The samples of /metrics that belong to `model`, by name, over all its versions."""
    with urlopen(service + "/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    total: dict[str, float] = defaultdict(float)
    for sample in (sample for family in families for sample in family.samples):
        if sample.labels.get("model") == model:
            total[sample.name] += sample.value
    return total
