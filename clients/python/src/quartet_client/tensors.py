"""Arrays by the Open Inference Protocol's binary extension, or nested lists as JSON."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

from quartet_client.call import Call, Options, call

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    **{f"{sign}int{bits}": f"{sign}int{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
JSON_LENGTH = "inference-header-content-length"


def predict(name: str, inputs: Mapping[str, Any], options: Options, parameters: Mapping[str, Any]) -> Call[Any]:
    """Arrays are answered as arrays, lists as lists."""
    if all(hasattr(value, "__array__") for value in inputs.values()):
        return _binary(name, inputs, options, parameters)
    path = f"/v1/models/{name}/predict"
    return call(
        path, lambda response: response.json()["outputs"], options, parameters=parameters, json={"inputs": inputs}
    )


def zeros(description: Mapping[str, Any], name: str, beside: Mapping[str, Any]) -> Any:
    """A tensor of zeros, as the model declares it, for as many rows as the others have: an array where these are."""
    (tensor,) = (one for one in description["inputs"] if one["name"] == name)
    first = next(iter(beside.values()))
    shape = len(first), *tensor["shape"][1:]
    if hasattr(first, "__array__"):
        import numpy

        return numpy.zeros(shape, tensor["dtype"])
    return _nested(shape)


def _nested(shape: tuple[int, ...]) -> Any:
    return [_nested(shape[1:]) for _ in range(shape[0])] if shape else 0.0


def _binary(name: str, inputs: Mapping[str, Any], options: Options, parameters: Mapping[str, Any]) -> Call[Any]:
    import numpy

    arrays = {key: numpy.ascontiguousarray(value) for key, value in inputs.items()}
    head = {
        "inputs": [
            {
                "name": key,
                "datatype": _datatype(value),
                "shape": value.shape,
                "parameters": {"binary_data_size": value.nbytes},
            }
            for key, value in arrays.items()
        ],
        "parameters": {"binary_data_output": True, **{k: v for k, v in parameters.items() if v is not None}},
    }
    text = json.dumps(head).encode()
    little = (value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes() for value in arrays.values())
    headers = {JSON_LENGTH: str(len(text)), "content-type": "application/octet-stream"}
    version = f"/versions/{options['version']}" if "version" in options else ""
    rest: Options = {key: value for key, value in options.items() if key not in ("model", "version")}  # type: ignore[assignment]
    content = b"".join([text, *little])
    return call(f"/v2/models/{name}{version}/infer", _arrays, rest, accept="*/*", content=content, headers=headers)


def _datatype(array: Any) -> str:
    try:
        return DATATYPES[array.dtype.name]
    except KeyError:
        raise TypeError(f"No tensor has the dtype {array.dtype}; send texts as lists.") from None


def _arrays(response: httpx.Response) -> "dict[str, NDArray[Any]]":
    import numpy

    length = int(response.headers.get(JSON_LENGTH, len(response.content)))
    outputs, at = {}, length
    for tensor in json.loads(response.content[:length])["outputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is None:
            data = numpy.array(tensor["data"], DTYPES.get(tensor["datatype"]))
        else:
            data = numpy.frombuffer(response.content[at : at + size], DTYPES[tensor["datatype"]])
            at += size
        outputs[tensor["name"]] = data.reshape(tensor["shape"])
    return outputs
