"""The part of the OpenAPI document on releases, and on the feedback that says how good they are."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from service.bundle import Metric
from service.feedback.routes import LONGEST, LONGEST_KEY, MOST
from service.messages import CSV, JSON
from service.release.verdict import Check
from service.releases import Order, Promotion

TAG, PURPOSE = "releases", "Which versions are served and tried, and what turned out of their answers."
PROBLEM_JSON = "application/problem+json"
NEEDS_TOKEN = "Needs the admin token, as `authorization: Bearer TOKEN`."
ERRORS = {
    "400": "The body cannot be read.",
    "401": "The admin token is missing or wrong.",
    "403": "The operator has not turned this on.",
    "404": "No such model.",
    "408": "The body did not arrive in time.",
    "409": "It cannot be done: the detail says why.",
    "413": "Too large.",
    "415": "Unsupported media type.",
    "422": "A value is wrong.",
    "429": "Too much is waiting: try again.",
    "503": "Not ready, or draining: try again.",
}
BODY = ("400", "408", "413", "415", "422", "429", "503")


class ReleaseSummary(BaseModel):
    name: str
    served: str | None
    trying: str | None = Field(description="What is tried on live traffic, in a line.")
    versions: list[str]


class ReleaseList(BaseModel):
    releases: list[ReleaseSummary]


class ReleaseVersion(BaseModel):
    version: str
    metrics: list[Metric]
    gate: list[Check] | None = Field(description="The checks of its gate; null where there is no verdict.")
    objection: str = Field(description="What speaks against a promotion; empty where nothing does.")
    live: dict[str, float | None] | None = Field(description="What turned out of its answers.")


class ReleaseDescription(BaseModel):
    name: str
    served: str | None
    way_back: str | None = Field(description="What a roll back would serve.")
    versions: list[ReleaseVersion]
    rollout: dict[str, Any] | None = Field(description="The last one, with its state and what has been compared.")
    history: list[str]


class Done(BaseModel):
    done: str = Field(description="What was done, in a line.")


class TrueOutcome(BaseModel, extra="forbid"):
    id: str = Field(min_length=1, max_length=LONGEST_KEY, description="Of the request, or the key that it came with.")
    row: int = Field(default=0, ge=0, lt=2**31, description="Of the request, counted from 0.")
    outcome: bool | float | str = Field(description=f"The true label or number, of up to {LONGEST} characters.")


class TrueOutcomes(BaseModel):
    outcomes: list[TrueOutcome] = Field(min_length=1, max_length=MOST)


class Received(BaseModel):
    received: int
    matched: int = Field(description="How many belong to a row that is known.")


class Forgotten(BaseModel):
    forgotten: str


class Operation(NamedTuple):
    method: str
    path: str
    operation_id: str
    summary: str
    description: str
    answer: type[BaseModel]
    failures: tuple[str, ...]
    takes: Mapping[str, Any] | None = None  # schemas by media type


def _reference(form: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{form.__name__}"}


FORMS = (Order, Promotion, ReleaseList, ReleaseDescription, Done, TrueOutcome, TrueOutcomes, Received, Forgotten)
OUTCOMES = {JSON: {"anyOf": [_reference(TrueOutcome), _reference(TrueOutcomes)]}, CSV: {"type": "string"}}
COMMANDS = {
    "start": "Try a version on live traffic",
    "promote": "Serve a version",
    "rollback": "End what is tried, else serve what was served before",
    "prune": "Remove old versions",
}
OPERATIONS = (
    Operation(
        "post", "/v1/feedback", "give_feedback", "Tell what turned out", "One outcome or many.", Received,
        (*BODY, "403"), OUTCOMES,
    ),
    Operation(
        "delete", "/v1/feedback/{key}", "forget_feedback", "Forget all that is kept of a key", NEEDS_TOKEN, Forgotten,
        ("401", "403", "503"),
    ),
    Operation(
        "get", "/v1/releases", "list_releases", "List what is served", "And what is tried.", ReleaseList, ("408",)
    ),
    Operation(
        "get", "/v1/releases/{name}", "show_release", "Show the versions of a model",
        "With figures, verdicts, what is tried and the history.", ReleaseDescription, ("404", "409"),
    ),
    *(
        Operation(
            "post", f"/v1/releases/{{name}}/{verb}", f"{verb}_release", summary, NEEDS_TOKEN, Done,
            (*BODY, "401", "403", "404", "409"), {JSON: _reference(Order)},
        )
        for verb, summary in COMMANDS.items()
    ),
)  # fmt: skip


def paths() -> dict[str, Any]:
    return {one.path: {one.method: _described(one)} for one in OPERATIONS}


def _described(one: Operation) -> dict[str, Any]:
    answer = {"description": "OK", "content": {JSON: {"schema": _reference(one.answer)}}}
    problem = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    failures = {status: {"description": ERRORS[status], "content": problem} for status in sorted(one.failures)}
    described: dict[str, Any] = {
        "operationId": one.operation_id,
        "summary": one.summary,
        "description": one.description,
        "tags": [TAG],
        "responses": {"200": answer} | failures,
    }
    named = re.findall(r"\{(\w+)\}", one.path)
    if named:
        schema = {"type": "string"}
        described["parameters"] = [{"name": name, "in": "path", "required": True, "schema": schema} for name in named]
    if one.takes:
        content = {media: {"schema": schema} for media, schema in one.takes.items()}
        described["requestBody"] = {"required": one.path == "/v1/feedback", "content": content}
    return described
