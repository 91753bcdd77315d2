"""The OpenAPI document, made from the tasks and the manifests of the models that are served."""

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import service
from service.bundle import Manifest, Metric
from service.http.keys import is_open
from service.messages import CSV, FORM, JSON
from service.oip import openapi_paths as protocol
from service.task import Option, Task
from service.tasks import TASKS

PROBLEM_JSON = "application/problem+json"
PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable name of the error."},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "Path of the offending part of the request."},
        "request_id": {"type": "string"},
        "trace_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "code", "detail", "request_id"],
}
ERRORS = {
    "400": "The body cannot be read.",
    "404": "No such model or version.",
    "406": "The answer has no form that `accept` allows.",
    "408": "The body did not arrive in time.",
    "413": "Too large.",
    "415": "Unsupported media type.",
    "422": "A value or a shape is wrong.",
    "429": "Too much is waiting: try again.",
    "503": "Not ready, or draining: try again.",
    "504": "The time-out passed before the turn of this request.",
}
SELECTION = [
    {"name": "model", "in": "query", "schema": {"type": "string"}, "description": "Another model of the same task."},
    {"name": "version", "in": "query", "schema": {"type": "string"}, "description": "A version of the model."},
    {"name": "x-model-version", "in": "header", "schema": {"type": "string"}, "description": "The same in a header."},
    {
        "name": "x-timeout-ms",
        "in": "header",
        "schema": {"type": "integer", "minimum": 1},
        "description": "Drop the request when its turn has not come by then.",
    },
    {
        "name": "x-priority",
        "in": "header",
        "schema": {"type": "string", "enum": ["urgent", "patient"]},
        "description": "Patient requests let urgent ones, the default, go first.",
    },
]
BINARY = {"type": "string", "format": "binary"}
KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
KEY_ERRORS = {
    "401": "No valid API key.",
    "429": "Too much is waiting, or the key is good for fewer requests per second: try again.",
}


class ModelSummary(BaseModel):
    name: str
    version: str
    family: str
    kind: str
    description: str
    provider: str
    metrics: list[Metric]


class ModelList(BaseModel):
    models: list[ModelSummary]


class ModelDescription(Manifest):
    """The manifest of the bundle, the signature of its main graph, and what is known of the model that is served."""

    kind: str
    provider: str
    card: str


class Readiness(BaseModel):
    status: Literal["ready"]


def document(manifests: list[Manifest], keyed: bool) -> dict[str, Any]:
    """`keyed`: whether the operator has set API keys."""
    forms = [form for one in TASKS for form in (one.request_form, one.answer_form)]
    forms += [form for *_, form in PAGES.values() if form]
    _, definitions = models_json_schema(
        [(form, "validation") for form in forms], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = {"Problem": PROBLEM, **protocol.SCHEMAS, **definitions["$defs"]}
    signature = {side: schemas["Graph"]["properties"][side] for side in ("inputs", "outputs")}
    schemas["ModelDescription"]["properties"] |= signature  # of the main graph
    for task in TASKS:
        if task.describe is not None:
            task.describe(schemas, manifests)
    paths: dict[str, Any] = {one.path: {"post": _operation(one, manifests)} for one in TASKS}
    paths |= {path: {"get": _page(*words)} for path, words in PAGES.items()} | protocol.paths()
    components: dict[str, Any] = {"schemas": schemas}
    if keyed:
        components["securitySchemes"] = KEY_SCHEMES
        paths = {path: item if is_open(path) else _locked(path, item) for path, item in paths.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quartet", "version": service.__version__, "description": service.__doc__},
        "paths": paths,
        "components": components,
    }


def _locked(path: str, item: dict[str, Any]) -> dict[str, Any]:
    """The operations of a path that wants a key."""
    either: list[dict[str, list[str]]] = [{name: []} for name in KEY_SCHEMES]
    media, form = (JSON, protocol.ERROR) if path.startswith("/v2") else (PROBLEM_JSON, "Problem")
    content = {media: {"schema": _reference(form)}}
    refusals = {status: {"description": words, "content": content} for status, words in KEY_ERRORS.items()}
    return {
        method: operation | {"security": either, "responses": operation["responses"] | refusals}
        for method, operation in item.items()
    }


PAGES: dict[str, tuple[str, str, str, type[BaseModel] | None]] = {
    "/v1/models": ("list_models", "Models that are served", JSON, ModelList),
    "/v1/models/{name}": ("show_model", "One model: signature, figures, provenance, card", JSON, ModelDescription),
    "/livez": ("livez", "The process is alive", "text/plain", None),
    "/readyz": ("readyz", "Every declared model is loaded, checked and warm", JSON, Readiness),
    "/metrics": ("metrics", "Prometheus metrics", "text/plain", None),
}


def _page(operation_id: str, summary: str, media: str, form: type[BaseModel] | None) -> dict[str, Any]:
    content = {media: {"schema": _reference(form.__name__)} if form else {}}
    page: dict[str, Any] = {
        "operationId": operation_id,
        "summary": summary,
        "responses": {"200": {"description": "OK", "content": content}} | _errors("404", "503"),
    }
    return page | ({"parameters": [_name_parameter()]} if operation_id == "show_model" else {})


def _operation(task: Task, manifests: list[Manifest]) -> dict[str, Any]:
    served = [one.name for one in manifests if task.kind in (None, one.task.kind)]
    selection = SELECTION if task.kind else [_name_parameter(), *SELECTION[1:]]
    return {
        "operationId": task.name,
        "summary": task.summary,
        "description": f"Served by: {', '.join(served) or 'no model at present'}.",
        "parameters": [*selection, *map(_option, task.options)],
        "requestBody": {"required": True, "content": _request_content(task)},
        "responses": {"200": _answered(task)} | _errors(*ERRORS),
    }


def _name_parameter() -> dict[str, Any]:
    return {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}


def _option(option: Option) -> dict[str, Any]:
    return {"name": option.name, "in": "query", "schema": option.schema, "description": option.description}


def _request_content(task: Task) -> dict[str, Any]:
    form = {"type": "object", "required": [task.part], "properties": {task.part: {"type": "array", "items": BINARY}}}
    special = {JSON: _reference(task.request_form.__name__), FORM: form, CSV: {"type": "string"}}
    return {media: {"schema": special.get(media, BINARY)} for media in task.readers}


def _answered(task: Task) -> dict[str, Any]:
    json = _reference(task.answer_form.__name__)
    content = {media: {"schema": json if media == JSON else BINARY} for media in task.writers}
    answer: dict[str, Any] = {"description": "OK", "content": content}
    return answer | ({"headers": task.headers} if task.headers else {})


def _errors(*statuses: str) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": _reference("Problem")}}
    return {status: {"description": ERRORS[status], "content": content} for status in statuses}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
