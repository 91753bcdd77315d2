"""Credit scoring: applicants -> probability of default and a decision. They are read as the rows of `tables`."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from service.bundle import Arrays, CreditScoring, Manifest
from service.limits import Limits
from service.messages import JSON, Answer
from service.task import Example, Payload, Prepared, Task
from service.tasks import tables


class ScoreRequest(BaseModel, extra="forbid"):
    """Applicants by attribute name; a category by its readable value or by its code."""

    applicants: list[dict[str, str | float]]
    model: str | None = None
    version: str | None = None


class Score(BaseModel):
    default_probability: float = Field(description="Probability that the credit is not paid back.")
    decision: str = Field(description='"approve" or "decline".')


class ScoreAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[Score]


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    assert isinstance(manifest.task, CreditScoring)
    return Prepared(tables.prepare_rows(payload.samples, "applicants", manifest, manifest.task))


def write_json(outputs: Arrays, _: None, manifest: Manifest) -> Answer:
    assert isinstance(manifest.task, CreditScoring)
    threshold = manifest.task.decision_threshold
    predictions: list[dict[str, Any]] = [
        {"default_probability": probability, "decision": "approve" if probability < threshold else "decline"}
        for probability in outputs["default_probability"]
    ]
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def describe(schemas: dict[str, Any], manifests: Sequence[Manifest]) -> None:
    """Spell out the attributes of an applicant."""
    specs = [one.task for one in manifests if isinstance(one.task, CreditScoring)]
    if specs:
        schemas["ScoreRequest"]["properties"]["applicants"]["items"] = tables.row_schema(specs[0])


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    task, golden = manifest.task, outputs["default_probability"]
    assert isinstance(task, CreditScoring)

    def check(answer: bytes) -> None:
        predictions = orjson.loads(answer)["predictions"]
        given = [one["default_probability"] for one in predictions]
        if len(given) != len(golden) or not np.allclose(given, golden, atol=1e-3):
            raise ValueError(f"{given} are not the golden probabilities {golden.tolist()}")
        for one in predictions:
            if (one["decision"] == "approve") != (one["default_probability"] < task.decision_threshold):
                raise ValueError(f"{one} is no decision by the threshold {task.decision_threshold}")

    yield from tables.examples_of(task, "applicants", inputs[manifest.inputs[0].name], check)


TASK = Task(
    name="score_credit",
    path="/v1/credit/score",
    summary="Score credit applicants",
    kind="credit-scoring",
    readers=tables.readers("applicants"),
    writers={JSON: write_json},
    request_form=ScoreRequest,
    answer_form=ScoreAnswer,
    prepare=prepare,
    examples=examples,
    describe=describe,
)
