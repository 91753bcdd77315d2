"""The parts of the bench: who is measured against whom, on which bodies, and what the right answer is."""

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from load_tests.bench.contender import Contender, Part, close
from load_tests.bench.raw import RawModel
from load_tests.bench.rivals import rivals
from load_tests.bench.work import threads, work
from load_tests.bodies import SLICE_MM, Body, applicants, as_json, as_npy, digit, digits_json, slice_hu
from load_tests.servers import Server
from service.bundle import Bundle, CreditScoring
from service.tasks.rows import encode, inputs_of

SEVEN = 7


class Servers(NamedTuple):
    """Base URLs, and the competitors by product. `single` is the service in one process, `logging` with a whole log."""

    ours: str
    echo: str
    single: str = ""
    logging: str = ""
    plain: str = ""
    competitors: Mapping[str, Server] = {}


def digits(servers: Servers, bundle: Bundle) -> Part:
    raw = RawModel(bundle, {"image": digit(SEVEN)[None].astype(np.float32)}, threads=1)
    expected = raw.outputs()["probabilities"]
    in_json, in_npy = digits_json(SEVEN), as_npy(digit(SEVEN))

    def ours(answer: bytes) -> bool:
        (prediction,) = json.loads(answer)["predictions"]
        return prediction["digit"] == SEVEN and close([prediction["probabilities"]], expected)

    def plain(answer: bytes) -> bool:
        return close(json.loads(answer), expected)

    def classify(service: str, form: str, body: Body, processes: str = "") -> Contender:
        url, counted = f"{service}/v1/digits/classify?model={raw.name}", partial(work, service, raw.name)
        return Contender("ours", form + processes, url, body, ours, f"echo, {form}", counted)

    contenders = (
        classify(servers.ours, "JSON", in_json),
        classify(servers.ours, "npy", in_npy),
        classify(servers.single, "JSON", in_json, ", 1 process"),
        classify(servers.single, "npy", in_npy, ", 1 process"),
        classify(servers.logging, "JSON", in_json, ", logging"),
        classify(servers.logging, "npy", in_npy, ", logging"),
        Contender("plain", "JSON", servers.plain + "/classify", in_json, plain, "echo, JSON"),
        *rivals(servers.competitors, digit(SEVEN)[None], expected),
        Contender("echo", "JSON", servers.echo, in_json, in_json.content.__eq__),
        Contender("echo", "npy", servers.echo, in_npy, in_npy.content.__eq__),
    )
    return Part("Digits: one picture", contenders, raw, (1, 16, 64, 256), (1, 16, 64))


def credit_scores(servers: Servers, bundle: Bundle) -> Part:
    applicant, task = applicants()[:1], bundle.manifest.task
    assert isinstance(task, CreditScoring)
    raw = RawModel(bundle, inputs_of(encode(applicant, task, "applicants"), bundle.manifest), threads=1)
    body, expected = as_json({"applicants": applicant}), raw.outputs()["default_probability"]
    counted = partial(work, servers.ours, raw.name)

    def ours(answer: bytes) -> bool:
        return close([one["default_probability"] for one in json.loads(answer)["predictions"]], expected)

    contenders = (
        Contender(
            "ours",
            "JSON",
            servers.ours + "/v1/credit/score?model=credit-logistic",
            body,
            ours,
            "echo, JSON",
            work=counted,
        ),
        Contender("echo", "JSON", servers.echo, body, body.content.__eq__),
    )
    return Part("Credit: one applicant", contenders, raw, (1, 64), (1, 16, 64))


def reasons(servers: Servers, bundle: Bundle, count: int) -> Part:
    """Scores with and without their reasons."""
    task = bundle.manifest.task
    assert isinstance(task, CreditScoring)
    asking = (applicants() * count)[:count]
    raw = RawModel(bundle, inputs_of(encode(asking, task, "applicants"), bundle.manifest), threads=1)
    body, expected = as_json({"applicants": asking}), raw.outputs()["default_probability"]
    counted = partial(work, servers.ours, raw.name)

    def ours(answer: bytes) -> bool:
        return close([one["default_probability"] for one in json.loads(answer)["predictions"]], expected)

    address = f"{servers.ours}/v1/credit/score?model={raw.name}"
    contenders = (
        Contender("ours", "JSON", address, body, ours, work=counted),
        Contender("ours", "JSON, reasons", f"{address}&explain=true", body, ours, work=counted),
    )
    named = "one applicant" if count == 1 else f"{count} applicants"
    return Part(f"Reasons: {named}", contenders, raw, (1, 16), (1,), unit="applicants", rows=count)


def ct(servers: Servers, bundle: Bundle) -> Part:
    """A slice of 128x128 pixels mirrored to the size of a clinical one, in four orientations."""
    hu = np.pad(slice_hu(), (0, 512 - 128), mode="symmetric")
    slices = np.stack([hu, hu[::-1], hu[:, ::-1], hu[::-1, ::-1]])
    inputs = {bundle.manifest.inputs[0].name: slices.astype(np.float32)}
    raw = RawModel(bundle, inputs, threads(servers.ours, bundle.manifest.name).each)
    counted = partial(work, servers.ours, raw.name)
    expected = raw.outputs()[bundle.manifest.outputs[0].name]

    def ours(answer: bytes) -> bool:
        return close(np.load(io.BytesIO(answer), allow_pickle=False), expected, atol=0.5)

    address = f"{servers.ours}/v1/ct/denoise?spacing_mm={SLICE_MM}"
    contender = Contender("ours", "npy", address, as_npy(slices), ours, work=counted)
    return Part(
        "CT: four slices of 512x512", (contender,), raw, (2, 4), (1, 4), unit="slices", rows=len(slices), stretch=5
    )


PARTS: Mapping[str, tuple[str, Callable[[Servers, Bundle], Part]]] = {
    "digits": ("convnet", digits),
    "credit": ("credit-logistic", credit_scores),
    "reasons": ("credit", partial(reasons, count=1)),
    "reasons-256": ("credit", partial(reasons, count=256)),
    "ct": ("ct-denoiser", ct),
}
