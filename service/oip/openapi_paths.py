"""The protocol's part of the OpenAPI document."""

from typing import Any

from service.oip.datatypes import DTYPES

ERROR = "ProtocolError"
TAG, PURPOSE = "Open Inference Protocol", "Version 2, for clients of Triton, KServe and MLServer."
DESCRIPTION = "As the Open Inference Protocol says; errors have one field, `error`."
STATUSES = {
    "400": "The body cannot be read.",
    "401": "The admin token is missing or wrong.",
    "403": "There is no admin token, so nobody may.",
    "404": "No such model or version.",
    "408": "The request did not arrive in time.",
    "409": "The version that is named may not be promoted.",
    "413": "Too large.",
    "415": "The content encoding is unknown.",
    "422": "A value or a shape is wrong.",
    "429": "Too much is waiting: try again.",
    "503": "Not ready, or draining: try again.",
    "504": "The time-out passed before the turn of this request.",
}
OBJECT: dict[str, Any] = {"type": "object"}
LIST: dict[str, Any] = {"type": "array", "items": OBJECT}
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}}
MODEL = "/v2/models/{name}"
VERSIONED = "/v2/models/{name}/versions/{version}"

_parameters = {"type": "object", "description": "Options of the protocol and its extensions."}
_tensor = {
    "name": {"type": "string"},
    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
    "datatype": {"type": "string", "enum": list(DTYPES)},
    "parameters": _parameters,
    "data": {"type": "array", "description": "Numbers, flat or nested in the shape.", "items": {}},
}

SCHEMAS: dict[str, Any] = {
    ERROR: {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "IndexRequest": {
        "type": "object",
        "properties": {"ready": {"type": "boolean", "description": "Only what is ready."}},
    },
    "LoadRequest": {
        "type": "object",
        "properties": {
            "parameters": {
                "description": "The version that is promoted first; without them what is served is loaded.",
                "allOf": [{"$ref": "#/components/schemas/Promotion"}],
            }
        },
    },
    "InferRequest": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": _parameters,
            "inputs": {
                "type": "array",
                "items": {"type": "object", "required": ["name", "shape", "datatype"], "properties": _tensor},
            },
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "parameters": _parameters},
                },
            },
        },
    },
    "InferResponse": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": {"type": "object", "required": ["name", "shape", "datatype"], "properties": _tensor},
            },
        },
    },
}


def paths() -> dict[str, Any]:
    """Every route of docs/protocol.md over HTTP."""
    found = {
        "/v2": {"get": _operation("v2_server", "Name, version and extensions of the server", "408")},
        "/v2/health/live": {"get": _operation("v2_live", "The process is alive", "408")},
        "/v2/health/ready": {"get": _operation("v2_ready", "Every declared model is ready", "408", "503")},
        "/v2/repository/index": {
            "post": _operation("v2_index", "Every bundle, served or not", "400", "422", form=LIST)
            | _body("IndexRequest", required=False)
        },
    }
    refused = ("400", "401", "403", "404", "422", "503")
    for verb, summary, failures in (
        ("load", "Load a model, or the version that its parameters name", (*refused, "409")),
        ("unload", "Stop serving a model", refused),
    ):
        operation = _operation(f"v2_{verb}", f"{summary}; needs the admin token", *failures)
        operation |= _body("LoadRequest", required=False) if verb == "load" else {}
        found[f"/v2/repository/models/{{name}}/{verb}"] = {"post": operation | {"parameters": [NAME]}}
    for path, prefix, parameters in ((MODEL, "v2_model", [NAME]), (VERSIONED, "v2_version", [NAME, VERSION])):
        metadata = _operation(f"{prefix}_metadata", "Inputs and outputs of a model", "404", "503")
        ready = _operation(f"{prefix}_ready", "The model is ready", "404", "503")
        found[path] = {"get": metadata | {"parameters": parameters}}
        found[f"{path}/ready"] = {"get": ready | {"parameters": parameters}}
        found[f"{path}/infer"] = {"post": _inference(f"{prefix}_infer") | {"parameters": parameters}}
    return found


def _inference(operation_id: str) -> dict[str, Any]:
    failures = ("400", "404", "408", "413", "415", "422", "429", "503", "504")
    summary = "Inference; tensors as JSON, or as raw bytes behind it"
    operation = _operation(operation_id, summary, *failures, form=_reference("InferResponse"))
    return operation | _body("InferRequest", required=True)


def _body(form: str, *, required: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(form)}}
    return {"requestBody": {"required": required, "content": content}}


def _operation(operation_id: str, summary: str, *failures: str, form: dict[str, Any] = OBJECT) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(ERROR)}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "description": DESCRIPTION,
        "tags": [TAG],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": form}}}}
        | {status: {"description": STATUSES[status], "content": content} for status in failures},
    }


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
