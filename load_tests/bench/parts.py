"""The parts of the bench: who is measured against whom, on which bodies, and what the right answer is."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from load_tests.bench import slices
from load_tests.bench.contender import Contender, Part, close
from load_tests.bench.raw import RawModel
from load_tests.bench.rivals import rivals
from load_tests.bench.work import threads, work
from load_tests.bodies import Body, applicants, as_json, as_npy, digit, digits_json
from load_tests.servers import Server
from service.bundle import Bundle, CreditScoring
from service.tasks.rows import encode, inputs_of

SEVEN = 7


class Servers(NamedTuple):
    """Base URLs, and the competitors by product. `single` is the service in one process, `logging` with a whole log.

    `slices` is FastAPI over the CT denoiser, where it is installed.
    """

    ours: str
    echo: str
    single: str = ""
    logging: str = ""
    plain: str = ""
    competitors: Mapping[str, Server] = {}
    slices: Server | None = None


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
    most = 16 if count == 1 else 4  # connections, whose rows must fit into the queue of a worker
    return Part(f"Reasons: {named}", contenders, raw, (1, most), (1,), unit="applicants", rows=count)


def ct(servers: Servers, bundle: Bundle, count: int) -> Part:
    hu = slices.slices(count)
    inputs = {bundle.manifest.inputs[0].name: hu.astype(np.float32)}
    raw = RawModel(bundle, inputs, threads(servers.ours, bundle.manifest.name).each)
    contenders = slices.contenders(servers.ours, servers.echo, servers.slices, raw, hu)
    title = f"CT: {'one slice' if count == 1 else f'{count} slices'} of {slices.SIDE}x{slices.SIDE}"
    return Part(title, tuple(contenders), raw, (1, 2), (1,), unit="slices", rows=count, stretch=5)


PARTS: Mapping[str, tuple[str, Callable[[Servers, Bundle], Part]]] = {
    "digits": ("convnet", digits),
    "credit": ("credit-logistic", credit_scores),
    "reasons": ("credit", partial(reasons, count=1)),
    "reasons-256": ("credit", partial(reasons, count=256)),
    "ct": ("ct-denoiser", partial(ct, count=1)),
    "ct-8": ("ct-denoiser", partial(ct, count=8)),
}
