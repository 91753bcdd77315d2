"""Messages of `ModelInfer` over gRPC: tensors as raw bytes, or as numbers in the field of their type.

A request uses one form or the other for all of its tensors, and is answered in the form that it used.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Arrays, Manifest
from service.errors import InvalidValue
from service.oip.datatypes import (
    MAX_TENSORS,
    NAMES,
    checked_shape,
    dtype_of,
    from_bytes,
    from_numbers,
    texts_of,
    to_bytes,
)
from service.oip.grpc_messages import ModelInferResponse
from service.oip.requests import InferRequest, Parameters, refuse_repeated, refuse_unsupported

# datatype -> the field of InferTensorContents, and the dtype that holds all it can
CONTENTS = {
    "BOOL": ("bool_contents", np.bool_),
    **dict.fromkeys(("INT8", "INT16", "INT32"), ("int_contents", np.int32)),
    "INT64": ("int64_contents", np.int64),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), ("uint_contents", np.uint32)),
    "UINT64": ("uint64_contents", np.uint64),
    "FP32": ("fp32_contents", np.float32),
    "FP64": ("fp64_contents", np.float64),
    "BYTES": ("bytes_contents", np.object_),
}


def decode(request: Any) -> InferRequest:
    """What a ModelInferRequest asks for. Raises InvalidValue, InvalidShape."""
    if max(len(request.inputs), len(request.outputs)) > MAX_TENSORS:
        raise InvalidValue(f"More than {MAX_TENSORS} tensors.", "inputs")
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InvalidValue(f"Holds {len(raw)} tensors, there are {len(request.inputs)} inputs.", "raw_input_contents")
    parameters = Parameters.read({"binary_data_output": bool(raw)} | _values(request.parameters))
    inputs: Arrays = {}
    for tensor, data in zip(request.inputs, raw or [None] * len(request.inputs), strict=True):
        field = f"inputs.{tensor.name}"
        refuse_repeated(tensor.name, inputs, "inputs")
        inputs[tensor.name] = _tensor(tensor, data, field)
    outputs: dict[str, bool] = {}
    for output in request.outputs:
        refuse_unsupported(_values(output.parameters), f"outputs.{output.name}")
        refuse_repeated(output.name, outputs, "outputs")
        outputs[output.name] = parameters.binary
    return InferRequest(request.id, inputs, outputs or None, parameters)


def _tensor(tensor: Any, data: bytes | None, field: str) -> NDArray[Any]:
    refuse_unsupported(_values(tensor.parameters), field)
    dtype, shape = dtype_of(tensor.datatype, field), checked_shape(tensor.shape, field)
    if data is not None:
        if tensor.HasField("contents"):
            raise InvalidValue("Has both contents and raw_input_contents.", field)
        return from_bytes(data, dtype, shape, field)
    if tensor.datatype not in CONTENTS:
        raise InvalidValue(f"{tensor.datatype} has no field in contents: use raw_input_contents.", field)
    contents, widest = CONTENTS[tensor.datatype]
    values = getattr(tensor.contents, contents)
    return from_numbers(
        texts_of(values, field) if widest is np.object_ else np.array(values, widest), dtype, shape, field
    )


def _values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    chosen = ((name, parameter, parameter.WhichOneof("parameter_choice")) for name, parameter in parameters.items())
    return {name: getattr(parameter, choice) for name, parameter, choice in chosen if choice}


def present(outputs: Arrays, infer_request: InferRequest, manifest: Manifest) -> Any:
    """The ModelInferResponse."""
    answer = ModelInferResponse(model_name=manifest.name, model_version=manifest.version, id=infer_request.id)
    for name in infer_request.chosen(manifest):
        array = outputs[name]
        tensor = answer.outputs.add(name=name, datatype=NAMES[array.dtype], shape=array.shape)
        if infer_request.parameters.binary:
            answer.raw_output_contents.append(bytes(to_bytes(np.ascontiguousarray(array))))
        else:
            values = array.ravel().tolist()
            contents, widest = CONTENTS[tensor.datatype]
            getattr(tensor.contents, contents).extend(map(str.encode, values) if widest is np.object_ else values)
    return answer
