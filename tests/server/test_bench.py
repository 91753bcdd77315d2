"""The bench asks its competitors about the same pixels, and compares like with like."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from load_tests.bench import slices
from load_tests.bench.ablation.turns import Variant, compare
from load_tests.bench.competitors import COMPETITORS, Competitor
from load_tests.bench.contender import Contender, close
from load_tests.bench.figures import multiples
from load_tests.bench.rivals import FORMS, INFER, binary, flat, read_binary, read_flat
from load_tests.bench.rounds import Measured, Sample
from load_tests.bench.wrk import Load
from load_tests.bodies import as_json, as_npy, digit
from service.codecs.related import write_related

PIXELS = digit(7)[None]
PROBABILITIES = np.arange(10, dtype=np.float32)[None]


def test_the_protocol_in_json_carries_the_pixels() -> None:
    (tensor,) = json.loads(flat(PIXELS).body.content)["inputs"]
    assert np.array_equal(np.reshape(tensor["data"], tensor["shape"]), PIXELS)


def test_the_protocol_in_binary_carries_the_pixels() -> None:
    body, headers = binary(PIXELS)
    length = int(headers["inference-header-content-length"])
    (tensor,) = json.loads(body.content[:length])["inputs"]
    raw = body.content[length:]
    assert tensor["parameters"]["binary_data_size"] == len(raw)
    assert np.array_equal(np.frombuffer(raw, "<f4").reshape(tensor["shape"]), PIXELS)


def test_answers_of_the_protocol_are_read_in_both_forms() -> None:
    document = {"outputs": [{"name": "p", "shape": [1, 10], "data": PROBABILITIES.ravel().tolist()}]}
    assert close(read_flat(json.dumps(document).encode()), PROBABILITIES)
    assert close(read_binary(b'{"outputs":[]}' + PROBABILITIES.tobytes()), PROBABILITIES)


def test_a_part_of_an_answer_is_not_the_answer() -> None:
    assert not close(PROBABILITIES[:, :9], PROBABILITIES)
    assert not close(PROBABILITIES + 1e-2, PROBABILITIES)


@pytest.mark.parametrize("count", [1, 2])
def test_slices_in_dicom_are_those_of_the_array_and_another_answer_is_wrong(count: int) -> None:
    hu = slices.slices(count)
    files = [slices.as_dicom(one) for one in hu]
    answer = files[0] if count == 1 else write_related(files, slices.DICOM)[0]
    assert slices.are_objects(answer, hu.astype(np.float32))
    assert slices.is_array(as_npy(hu).content, hu.astype(np.float32))
    assert not slices.are_objects(answer, hu + np.float32(2))
    assert not slices.is_array(as_npy(hu).content, hu + np.float32(2))


@pytest.mark.parametrize("competitor", COMPETITORS, ids=lambda competitor: competitor.module)
def test_a_competitor_is_pinned_to_the_last_package_and_needs_no_torch(competitor: Competitor) -> None:
    pinned = dict(line.split("==") for line in competitor.requirements.read_text().splitlines())
    assert {"onnxruntime", "numpy"} <= pinned.keys()
    assert "torch" not in pinned
    assert competitor.requirements.with_suffix(".py").exists()
    assert competitor.product in FORMS


def contender(name: str, form: str) -> Contender:
    return Contender(name, form, INFER, as_json([]) if form == "JSON" else as_npy(PIXELS), bool)


def test_json_is_compared_with_json_and_binary_with_binary_where_there_is_one() -> None:
    rates = {
        ("ours", "JSON"): 6000,
        ("ours", "npy"): 8000,
        ("Both", "JSON"): 3000,
        ("Both", "binary"): 2000,
        ("Neither", "JSON"): 1000,
        ("echo", "JSON"): 9000,
    }
    contenders = [contender(*names) for names in rates]
    samples = {(64, f"{name}, {form}"): [Sample(Load(rate, 1, 2), 1e6 / rate)] for (name, form), rate in rates.items()}
    assert list(multiples(contenders, Measured(samples, {}))) == [
        {"connections": 64, "ours": "JSON", "x Both": 2, "x Neither": 6},
        {"connections": 64, "ours": "npy", "x Both": 4, "x Neither": 8},
    ]


def test_an_ablation_tells_how_many_times_the_processor_time_is_without_it() -> None:
    slow = False

    @contextmanager
    def without() -> Iterator[None]:
        nonlocal slow
        slow = True
        yield
        slow = False

    def run() -> int:
        sum(range(400_000 if slow else 100_000))
        return 10

    found = compare(Variant(run), Variant(run, without), 9)
    assert 2 < found["ratio"] < 8
    assert found["from"] <= found["ratio"] <= found["to"]
    assert found["without µs"] > found["with µs"]
