"""What was written by hand, with and without it: is it worth its lines?

    python -m load_tests.bench.ablation [--rounds N]

Processor time of this process per request, two variants by turns in one run. The first row has no difference at all:
what it shows is noise. A ratio above 1 is what the hand-written part saves.
"""

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from unittest.mock import patch

from load_tests.bench.ablation import sharing, substitutes
from load_tests.bench.ablation.asking import Asking
from load_tests.bench.ablation.sockets import Behind
from load_tests.bench.ablation.turns import Variant, compare
from load_tests.bodies import JSON, applicants, as_json, as_npy, digit, digits_json
from load_tests.report import table
from service.http.keys import new_key
from service.http.throttling import Throttled
from service.tasks import images

CREDIT = "credit-logistic", "/v1/credit/score", as_json({"applicants": applicants()[:1]})
DIGITS = "convnet", "/v1/digits/classify", as_npy(digit(7))
IN_JSON = "convnet", "/v1/digits/classify", digits_json(7)
MANY = "convnet", "/v1/digits/classify", digits_json(*range(10), *range(10), *range(10), 0, 1)
PARENT = {b"traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}

Replaced = Callable[[], AbstractContextManager[Any]]


def in_process(rounds: int) -> Iterator[dict[str, Any]]:
    credit, picture, pictures = Asking(*CREDIT), Asking(*IN_JSON), Asking(*MANY)
    spells = _patched("service.codecs.arrays._spells", lambda *_: False)
    orjson = partial(patch.dict, images.READERS, {JSON: substitutes.read_images})
    for name, asking, replaced in (
        ("nothing", credit, nullcontext),
        ("read_plain: one applicant", credit, _patched("service.codecs.arrays.read_plain", lambda body: None)),
        ("simdjson: one picture", picture, orjson),
        ("simdjson: 32 pictures", pictures, orjson),
        ("_spells: one picture", picture, spells),
        ("_is_finite: one applicant", credit, _patched("service.pipeline._is_finite", substitutes.is_finite)),
        ("Trace.follow", Asking(*CREDIT, PARENT), _patched("service.http.tracing.Trace.follow", substitutes.follow)),
    ):
        yield row(name, Variant(asking.run), Variant(asking.run, replaced), rounds)
    for name, shared in (("Histogram: prometheus_client", False), ("Histogram: prometheus_client, multiprocess", True)):
        with substitutes.library_histograms(shared):
            theirs = Asking(*CREDIT)
        yield row(name, Variant(credit.run), Variant(theirs.run), rounds)
    page = credit.worker.metrics.page
    throttled, unthrottled = (Variant(partial(credit.fetch, one)) for one in (Throttled(page), page))
    yield row("Throttled: 16 scrapes of /metrics at once", throttled, unthrottled, max(3, rounds // 6))
    yield row("Allowance: a key's rate", *(Variant(_with_key(rate).run) for rate in (" 1000000", "")), rounds)


def _with_key(rate: str) -> Asking:
    key, line = new_key("ablation")
    with NamedTemporaryFile("w") as file:
        file.write(line + rate)
        file.flush()
        return Asking(*CREDIT, {b"x-api-key": key.encode()}, api_keys=Path(file.name))


def over_sockets(rounds: int) -> Iterator[dict[str, Any]]:
    for name, request in (("credit", CREDIT), ("digits, npy", DIGITS)):
        for connections in (1, 64):
            with Behind(*request, connections) as server:
                without = Variant(server.run, _patched("service.http.exchange.CoalescedWrites", nullcontext))
                yield row(f"CoalescedWrites: {name}, {connections} at once", Variant(server.run), without, rounds)


def _patched(name: str, substitute: object) -> Replaced:
    return lambda: patch(name, substitute)


def row(name: str, kept: Variant, without: Variant, rounds: int) -> dict[str, Any]:
    gc.collect()
    gc.freeze()
    return {"what": name, **compare(kept, without, rounds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=150, help="where one takes a second, a sixth of them")
    rounds = parser.parse_args().rounds
    print(table(list(in_process(rounds))), end="\n\n", flush=True)
    print(table(list(over_sockets(max(3, rounds // 6)))), end="\n\n", flush=True)
    print(table(list(sharing.rows(*DIGITS, max(3, rounds // 12)))))


if __name__ == "__main__":
    main()
