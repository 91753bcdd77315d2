"""The OpenAPI document, made from the tasks and the manifests of the models that are served."""

import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

import service
from service import openapi_releases as releases
from service.bundle import Bundle, BundleError, Manifest, Metric
from service.drift import DriftReport
from service.http.keys import is_open
from service.messages import CSV, FORM, JSON, PNG, TEXT
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
        "errors": {
            "type": "array",
            "description": "Of rows of a table: everything that is wrong, the first hundred. Rows count from 1.",
            "items": {"$ref": "#/components/schemas/RowError"},
        },
        "error_count": {"type": "integer", "description": "How many there are, beyond a hundred, too."},
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
MODELS, OPERATION = "models", "operation"  # groups of operations, beside those of the products
LONGEST_EXAMPLE = 4096  # bytes
MODEL_HEADERS = {
    "x-model": {"description": "Which model made an answer that is no JSON.", "schema": {"type": "string"}},
    "x-model-version": {"description": "Its version.", "schema": {"type": "string"}},
}
BINARY = {"type": "string", "format": "binary"}
KEY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
KEY_ERRORS = {
    "401": "No valid API key.",
    "429": "Too much is waiting, or the key is good for fewer requests per second: try again.",
}


DEFAULT = "Whether it answers where a request of its kind names no model."
PRECISION = "What its products are computed in: fp32, tf32 or fp16."
LOADED = "Whether the process that answers has it in memory; else it is loaded when somebody asks it."


class ModelSummary(BaseModel):
    name: str
    version: str
    family: str
    kind: str
    default: bool = Field(description=DEFAULT)
    description: str
    provider: str
    precision: str = Field(description=PRECISION)
    loaded: bool = Field(description=LOADED)
    metrics: list[Metric]


class ModelList(BaseModel):
    models: list[ModelSummary]


class ModelDescription(Manifest):
    """The manifest of the bundle, the signature of its main graph, and what is known of the model that is served."""

    kind: str
    default: bool = Field(description=DEFAULT)
    provider: str
    precision: str = Field(description=PRECISION)
    loaded: bool = Field(description=LOADED)
    card: str


class Readiness(BaseModel):
    status: Literal["ready"]


def document(
    manifests: list[Manifest], keyed: bool, defaults: Mapping[str, str], examples: Mapping[str, Any]
) -> dict[str, Any]:
    """`keyed`: whether the operator has set API keys. `defaults`: models by kind. `examples`: JSON bodies by task."""
    forms = [form for one in TASKS for form in (one.request_form, one.answer_form)]
    forms += [*(page.form for page in PAGES.values() if page.form), *releases.FORMS]
    _, definitions = models_json_schema(
        [(form, "validation") for form in forms], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = {"Problem": PROBLEM, **protocol.SCHEMAS, **definitions["$defs"]}
    signature = {side: schemas["Graph"]["properties"][side] for side in ("inputs", "outputs")}
    schemas["ModelDescription"]["properties"] |= signature  # of the main graph
    for task in TASKS:
        if task.describe is not None:
            task.describe(schemas, manifests)
    _tidy(schemas)
    paths: dict[str, Any] = {one.path: {"post": _operation(one, manifests, defaults, examples)} for one in TASKS}
    paths |= {path: {"get": _page(path, page)} for path, page in PAGES.items()}
    paths |= releases.paths() | protocol.paths()
    components: dict[str, Any] = {"schemas": schemas}
    if keyed:
        components["securitySchemes"] = KEY_SCHEMES
        paths = {path: item if is_open(path) else _locked(path, item) for path, item in paths.items()}
    tags = [{"name": name, "description": words} for name, words in _tags().items()]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Quartet",
            "version": service.__version__,
            "description": service.__doc__,
            "contact": {"name": "the operator of this service"},
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": tags,
        "security": [],  # but where an operation says so
        "paths": paths,
        "components": components,
    }


def _tags() -> dict[str, str]:
    """What each group of operations is for: a group for each product, named by the word behind `/v1/`."""
    products: dict[str, str] = {}
    for task in sorted(TASKS, key=lambda one: one.path):
        if task.kind is not None:
            tag = _tag(task.path)
            products[tag] = f"{products[tag]} {task.summary}." if tag in products else f"{task.summary}."
    beside = {releases.TAG: releases.PURPOSE, protocol.TAG: protocol.PURPOSE}
    return products | {MODELS: "Every model by its name.", OPERATION: "For operators."} | beside


def _tag(path: str) -> str:
    return path.split("/")[2]


def _tidy(part: Any) -> None:
    """Say what pydantic leaves out: the items of a list of fixed length, and that a constant is always there."""
    if isinstance(part, dict):
        if part.get("prefixItems") and all(one == part["prefixItems"][0] for one in part["prefixItems"]):
            part["items"] = part.pop("prefixItems")[0]
        properties = part.get("properties", {})
        if "const" in properties.get("kind", {}) and "kind" not in part.get("required", []):
            part["required"] = [*part.get("required", []), "kind"]
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            _tidy(one)


def examples_of(models: Path, manifests: list[Manifest], preferred: Set[str]) -> dict[str, Any]:
    """By task the smallest JSON body among the examples of one bundle, a preferred one where there is any."""
    found: dict[str, Any] = {}
    for manifest in sorted(manifests, key=lambda one: one.name not in preferred):
        wanted = [one for one in TASKS if one.kind in (None, manifest.task.kind) and one.name not in found]
        if not wanted:
            continue
        try:
            arrays = Bundle(models / manifest.name / manifest.version).golden()
        except BundleError:  # replaced on disk since it was loaded
            continue
        for task in wanted:
            bodies = [one.body for one in task.examples(manifest, *arrays) if one.media_type == JSON]
            if bodies and len(smallest := min(bodies, key=len)) <= LONGEST_EXAMPLE:
                found[task.name] = orjson.loads(smallest)
    return found


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


class Page(NamedTuple):
    operation_id: str
    summary: str
    description: str
    media: str
    form: type[BaseModel] | None = None
    tag: str = OPERATION
    others: tuple[str, ...] = ()  # media types that `accept` may ask for


PAGES = {
    "/v1/models": Page(
        "list_models", "List the models", "Those that are served, with their headline figures.", JSON, ModelList, MODELS
    ),
    "/v1/models/{name}": Page(
        "show_model", "Show a model", "Its signature, figures, provenance and card.", JSON, ModelDescription, MODELS
    ),
    "/v1/models/{name}/drift": Page(
        "show_drift",
        "Show how far from its training data a model is asked",
        "Of each feature and output that the bundle has a histogram of, over all workers.",
        JSON,
        DriftReport,
        MODELS,
        (PNG,),
    ),
    "/v1/models/{name}/card/{picture}": Page(
        "show_card_picture", "Show a picture of a model's card", "By the name that the card has it.", PNG, tag=MODELS
    ),
    "/livez": Page("livez", "Ask whether the process is alive", "A restart helps where it does not answer.", TEXT),
    "/readyz": Page(
        "readyz",
        "Ask whether requests may come",
        "Every model that is always there is loaded, checked and warm.",
        JSON,
        Readiness,
    ),
    "/metrics": Page("metrics", "Show the metrics", "In the text format of Prometheus.", TEXT),
}


def _page(path: str, page: Page) -> dict[str, Any]:
    plain = {"type": "string"} if page.media == TEXT else BINARY
    content = {page.media: {"schema": _reference(page.form.__name__) if page.form else plain}}
    content |= {media: {"schema": BINARY} for media in page.others}
    failures = ("404", "406", "503") if page.others else ("404", "503")
    described: dict[str, Any] = {
        "operationId": page.operation_id,
        "summary": page.summary,
        "description": page.description,
        "tags": [page.tag],
        "responses": {"200": {"description": "OK", "content": content}} | _errors(*failures),
    }
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", path)]
    return described | ({"parameters": parameters} if parameters else {})


def _operation(
    task: Task, manifests: list[Manifest], defaults: Mapping[str, str], examples: Mapping[str, Any]
) -> dict[str, Any]:
    served = [one.name for one in manifests if task.answers_by(one)]
    selection = SELECTION if task.kind else [_path_parameter("name"), *SELECTION[1:]]
    default = defaults.get(task.kind or "")
    answering = f" `{default}` answers where none is named." if default in served else ""
    return {
        "operationId": task.name,
        "summary": task.summary,
        "description": f"Served by: {', '.join(served) or 'no model at present'}.{answering}",
        "tags": [_tag(task.path)],
        "parameters": [*selection, *map(_option, task.options)],
        "requestBody": {"required": True, "content": _request_content(task, examples.get(task.name))},
        "responses": {"200": _answered(task)} | _errors(*ERRORS),
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _option(option: Option) -> dict[str, Any]:
    return {"name": option.name, "in": "query", "schema": option.schema, "description": option.description}


def _request_content(task: Task, example: Any) -> dict[str, Any]:
    form = {"type": "object", "required": [task.part], "properties": {task.part: {"type": "array", "items": BINARY}}}
    special = {JSON: _reference(task.request_form.__name__), FORM: form, CSV: {"type": "string"}}
    content = {media: {"schema": special.get(media, BINARY)} for media in task.readers}
    if example is not None:
        content[JSON]["example"] = example
    return content


def _answered(task: Task) -> dict[str, Any]:
    json = _reference(task.answer_form.__name__)
    content = {media: {"schema": json if media == JSON else BINARY} for media in task.writers}
    answer: dict[str, Any] = {"description": "OK", "content": content}
    named = MODEL_HEADERS if task.writers.keys() - {JSON} else {}
    return answer | ({"headers": {**named, **task.headers}} if named or task.headers else {})


def _errors(*statuses: str) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": _reference("Problem")}}
    return {status: {"description": ERRORS[status], "content": content} for status in statuses}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
