"""Any bytes, any JSON: a decoder returns or raises an error of the service's own, an endpoint answers in form."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from load_tests.hostile.inside import TIGHT, Inside
from load_tests.hostile.mutations import mutated
from load_tests.hostile.seeds import FIELDS, INFER, seeds
from load_tests.hostile.verdict import objections
from service.codecs.arrays import numeric_array, parse_object, read_npy
from service.codecs.compression import coding_for, decompressed
from service.codecs.dicom import read_image
from service.codecs.forms import read_form
from service.codecs.pictures import read, read_base64
from service.errors import QuartetError
from service.http.tracing import Trace
from service.limits import Limits
from service.messages import Request, parse_media_type, preferred
from service.oip import grpc_form, rest
from service.oip.grpc_messages import ModelInferRequest
from service.task import Task
from service.tasks import TASKS

LIMITS = Limits(max_rows=16, max_pixels=2**16)
MESSAGE = ModelInferRequest(
    model_name="toy-tensors",
    inputs=[{"name": "k", "datatype": "INT64", "shape": [2], "contents": {"int64_contents": [1, 2]}}],
)
BODIES = [*(seed.body for seed in seeds()), MESSAGE.SerializeToString()]


def requests(**headers: str) -> Callable[[bytes], Request]:
    given_headers = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return lambda data: Request(data, given_headers)


FORM = requests(content_type="multipart/form-data; boundary=edge")


def reading(task: Task, media_type: str) -> Callable[[bytes], Any]:
    parameters = "; boundary=edge" if media_type.startswith("multipart/") else ""
    return lambda data: task.read(requests(content_type=media_type + parameters)(data), LIMITS)


def read_message(data: bytes) -> None:
    with suppress(DecodeError):  # what the gRPC library makes of that is its own affair
        grpc_form.decode(ModelInferRequest.FromString(data))


# Each reader once: tasks share them, and media types do.
READERS = {
    f"{reader.__module__}.{reader.__qualname__}": (task, media)
    for task in TASKS
    for media, reader in task.readers.items()
}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "npy": read_npy,
    "picture": lambda data: read(data, LIMITS).grey,
    "base64": lambda data: read_base64(data.decode("latin-1"), "image"),
    "DICOM": lambda data: read_image(data, LIMITS),
    "form": lambda data: read_form(FORM(data), "image", {"model", "version"}),
    "object": lambda data: parse_object(data, {"images", "slices"}, LIMITS),
    "array": lambda data: numeric_array(parse_object(b'{"a":' + data + b"}", {"a"}, LIMITS)["a"], "a"),
    "gzip": lambda data: decompressed(data, b"gzip", 2**16),
    "deflate": lambda data: decompressed(data, b"deflate", 2**16),
    "zstd": lambda data: decompressed(data, b"zstd", 2**16),
    **{name: reading(*told) for name, told in READERS.items()},
    "protocol": lambda data: rest.decode(requests()(data), LIMITS),
    "protocol, binary": lambda data: rest.decode(requests(inference_header_content_length="200")(data), LIMITS),
    "protocol, gRPC": read_message,
    "media type": parse_media_type,
    "accept": lambda data: preferred(data, ("image/png", "application/json")),
    "accept-encoding": lambda data: coding_for(data, "application/json", 2**20),
    "traceparent": Trace.follow,
    "query": lambda data: Request(b"", {}, data).query,
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    chance = draw(st.randoms(use_true_random=False))
    return mutated(draw(st.sampled_from(BODIES)), random.Random(chance.getrandbits(64)), BODIES)


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@settings(max_examples=100)
@given(data=st.one_of(st.binary(max_size=400), damaged()))
@example(data=b"")
@example(data=b"\x93NUMPY\x01\x00\xff\xff")
@example(data=b"[[1],[[2]]]")
@example(data=MESSAGE.SerializeToString())
def test_a_decoder_knows_every_error_of_its_own(decode: Callable[[bytes], Any], data: bytes) -> None:
    with suppress(QuartetError):
        decode(data)


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with Inside(tmp_path_factory.mktemp("inside"), **TIGHT) as service:
        yield service


NUMBERS = st.integers(-300, 300) | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(("x", "k")) | VALUES,
        "datatype": st.sampled_from(("FP32", "INT64", "BOOL", "FP16", "BYTES")) | VALUES,
        "shape": st.just([2, 3]) | st.just([2]) | st.lists(NUMBERS, max_size=3) | VALUES,
        "data": st.lists(NUMBERS, max_size=6) | st.lists(st.booleans(), max_size=6) | VALUES,
        "parameters": st.dictionaries(st.sampled_from(("binary_data_size", "classification")), VALUES) | VALUES,
    },
)


@pytest.mark.parametrize("path", FIELDS)
@settings(max_examples=200)
@given(data=st.data())
def test_any_document_is_answered_in_form(inside: Inside, path: str, data: st.DataObject) -> None:
    values = st.lists(TENSOR, max_size=3) | VALUES if path == INFER else VALUES
    names = st.sampled_from(FIELDS[path]) | st.text(max_size=3)
    document = data.draw(st.dictionaries(names, values, max_size=5) | VALUES)
    body = orjson.dumps(document)
    reply = inside.ask("POST", path, {b"content-type": b"application/json"}, body)
    assert list(objections(path, reply)) == [], body
