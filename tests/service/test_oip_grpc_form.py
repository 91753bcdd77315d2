"""Messages of the protocol over gRPC: what they hold, what is wrong with them, and that they are everybody's."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.grpc import service_pb2

from service.errors import ClientError
from service.oip.grpc_form import CONTENTS, decode
from service.oip.grpc_messages import COMPILED, ModelInferRequest, files
from tests.bundle_writer import DTYPES
from tests.service.conftest import BY_DTYPE


@given(st.data())
def test_typed_contents_and_raw_bytes_are_the_same(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    array = data.draw(hnp.arrays(np.dtype(dtype), hnp.array_shapes(max_dims=3)))
    head = {"name": "t", "datatype": BY_DTYPE[dtype], "shape": array.shape}
    contents = {CONTENTS[BY_DTYPE[dtype]][0]: array.ravel().tolist()}
    typed = decode(ModelInferRequest(inputs=[head | {"contents": contents}])).inputs["t"]
    raw = decode(ModelInferRequest(inputs=[head], raw_input_contents=[array.tobytes()])).inputs["t"]
    assert raw.tobytes() == array.tobytes()
    assert np.array_equal(typed.astype(dtype), array, equal_nan=array.dtype.kind == "f")


@given(st.binary(max_size=200))
def test_whatever_bytes_come_they_are_a_request_or_refused(body: bytes) -> None:
    try:
        request = ModelInferRequest.FromString(body)
    except Exception:
        return  # gRPC answers this itself
    with suppress(ClientError):
        decode(request)


@pytest.mark.parametrize(
    ("inputs", "raw", "says"),
    [
        ([{"name": "x"}] * 2, [b""], "raw_input_contents: Holds 1 tensors, there are 2 inputs."),
        ([{"name": "x", "datatype": "BF16", "shape": [1]}], [b""], "inputs.x: The datatype must be one of"),
        ([{"name": "x", "datatype": "FP32", "shape": [-1]}], [b""], "inputs.x: The shape must be"),
        ([{"name": "x", "datatype": "FP32", "shape": [2]}], [b"1234"], "inputs.x: FP32 of the shape [2] takes 8 bytes"),
        ([{"name": "x", "datatype": "FP32", "shape": [2]}], [], "inputs.x: The shape [2] takes 2 elements, got 0."),
        ([{"name": "x", "datatype": "FP16", "shape": [2]}], [], "inputs.x: FP16 has no field in contents"),
        ([{"name": "x", "datatype": "BOOL", "shape": [1]}], [b"\2"], "inputs.x: The bytes of a BOOL must be 0 or 1."),
        (
            [{"name": "x", "datatype": "INT8", "shape": [1], "contents": {"int_contents": [200]}}],
            [],
            "inputs.x: Every element must be a INT8.",
        ),
        (
            [{"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [1]}}],
            [b"1234"],
            "inputs.x: Has both contents and raw_input_contents.",
        ),
        ([{"name": "x", "datatype": "FP32", "shape": [1]}] * 2, [b"1234"] * 2, "inputs.x: Given twice."),
        (
            [{"name": "x", "parameters": {"shared_memory_region": {"string_param": "r"}}}],
            [],
            "inputs.x: Shared memory is not supported",
        ),
    ],
)
def test_what_is_wrong_with_a_request_is_said(inputs: list[dict[str, Any]], raw: list[bytes], says: str) -> None:
    with pytest.raises(ClientError) as caught:
        decode(ModelInferRequest(inputs=inputs, raw_input_contents=raw))
    assert f"{caught.value.field}: {caught.value.detail}".startswith(says)


def test_an_output_is_named_once() -> None:
    with pytest.raises(ClientError, match=r"Given twice\.") as caught:
        decode(ModelInferRequest(outputs=[{"name": "y"}] * 2))
    assert caught.value.field == "outputs.y"


def test_the_compiled_protocols_are_those_of_the_proto_files(tmp_path: Path) -> None:
    target = tmp_path / COMPILED.name
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={COMPILED.parent}", *files]
    subprocess.run([*command, f"--descriptor_set_out={target}"], check=True, timeout=60)
    assert FileDescriptorSet.FromString(target.read_bytes()) == FileDescriptorSet.FromString(COMPILED.read_bytes())


def fields(messages: Iterator[DescriptorProto], prefix: str = "") -> Iterator[tuple[str, int, int, int]]:
    for message in messages:
        for field in message.field:
            yield f"{prefix}{message.name}.{field.name}", field.number, field.type, field.label
        yield from fields(message.nested_type, f"{prefix}{message.name}.")


def test_the_messages_are_those_of_tritons_client_on_the_wire() -> None:
    theirs = FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(theirs)
    ours = files["inference.proto"]
    assert set(fields(ours.message_type)) <= set(fields(theirs.message_type))
    assert {method.name for method in ours.service[0].method} <= {method.name for method in theirs.service[0].method}
