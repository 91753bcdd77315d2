"""Credit scoring: applicants -> probability of default and a decision. They are read as the rows of `tables`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import EXPLANATION, MAIN, Arrays, CreditScoring, Manifest
from service.errors import NotExplainable
from service.limits import Limits
from service.messages import JSON, Answer
from service.task import AnswerForm, Example, Option, Payload, Prepared, RowStream, Task
from service.tasks import reasons, rows, scored, tables
from service.tasks.rows import HEADERS, ON_ERROR, REFUSE, STREAM, OnError, RowError, Rows

EXPLAIN = Option("explain", "Add to each prediction its points, the reasons for it and what would change it.")


class ScoreRequest(BaseModel, extra="forbid"):
    """Applicants by attribute name; a category by its readable value or by its code."""

    applicants: list[dict[str, str | float]]
    model: str | None = None
    version: str | None = None
    explain: bool = Field(default=False, description="Say with each prediction why.")
    on_error: OnError = REFUSE
    stream: bool = Field(default=False, description="Of CSV, lines and Arrow, in the URL: false in a body.")


class Reason(BaseModel):
    attribute: str
    value: str | float
    points: float = Field(description="Below the reference, which is the mean of the training data.")
    text: str = Field(description="The attribute and its value in plain words.")


class Change(BaseModel):
    attribute: str
    was: str | float = Field(alias="from")
    to: str | float
    default_probability: float = Field(description="With this change alone.")


class Score(AnswerForm):
    """A prediction. What was not asked for is left out."""

    default_probability: float = Field(description="Probability that the credit is not paid back.")
    decision: str = Field(description='"approve", "decline", or "refer": a person decides.')
    interval: list[float] | None = Field(
        default=None, description="From and to, of the probability: by models of applicants drawn anew."
    )
    points: float | None = Field(default=None, description="The more, the likelier the credit is paid back.")
    reasons: list[Reason] | None = Field(default=None, description="Up to four, the weightiest first.")
    other_points: float | None = Field(default=None, description="With those of the reasons they make `points`.")
    change: Change | None = Field(
        default=None, description="The smallest change that an applicant can make for the loan to be approved."
    )
    unusual: list[str] | None = Field(default=None, description="Attributes outside what the model was trained on.")


class ScoreAnswer(AnswerForm):
    model: dict[str, str]
    predictions: list[Score]
    coverage: float | None = Field(default=None, description="How often intervals are to hold the true probability.")
    rows: list[int] | None = Field(default=None, description="With `on_error=skip`: those answered, counted from 1.")
    errors: list[RowError] | None = Field(default=None, description="What is wrong with the others.")


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Raises NotExplainable."""
    assert isinstance(manifest.task, CreditScoring)
    return prepare_rows(rows.read_rows(payload, "applicants", manifest.task), payload.options, manifest)


def prepare_rows(found: Rows, options: Mapping[str, Any], manifest: Manifest) -> Prepared:
    """Raises NotExplainable."""
    inputs = rows.inputs_of(found, manifest)
    if not options.get("explain", False):
        return Prepared(inputs, (found, False))
    if EXPLANATION not in manifest.graphs:
        raise NotExplainable(f"{manifest.name} cannot give reasons: ask another, or leave `explain` out.", "model")
    return Prepared(inputs, (found, True), (MAIN, EXPLANATION))


def write_json(outputs: Arrays, context: tuple[Rows, bool], manifest: Manifest) -> Answer:
    found, explained = context
    predictions = _predictions(outputs, context, manifest)
    assert isinstance(manifest.task, CreditScoring)
    body = {"model": manifest.identity, "predictions": predictions, **found.told()}
    if explained and manifest.task.coverage is not None:
        body["coverage"] = manifest.task.coverage
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), JSON, found.headers())


def write_table(outputs: Arrays, context: tuple[Rows, bool], manifest: Manifest, *, media_type: str) -> Answer:
    """The table that was sent, with columns for each score."""
    found, _ = context
    assert isinstance(manifest.task, CreditScoring)
    return scored.table(found, _columns(outputs, context, manifest), manifest.task, media_type)


def _columns(outputs: Arrays, context: tuple[Rows, bool], manifest: Manifest) -> scored.Columns:
    _, explained = context
    assert isinstance(manifest.task, CreditScoring)
    predictions = _predictions(outputs, context, manifest)
    columns: dict[str, NDArray[np.floating] | list[str]] = {
        "default_probability": outputs["default_probability"],
        "decision": [one["decision"] for one in predictions],
    }
    if explained:
        columns |= {
            "points": np.array([one["points"] for one in predictions], np.float64),
            "reasons": ["; ".join(map(_reason, one["reasons"])) for one in predictions],
            "change": [_change(one.get("change")) for one in predictions],
            "unusual": ["; ".join(one.get("unusual") or ()) for one in predictions],
        }
    if explained and manifest.task.coverage is not None:
        low, high = outputs["interval"].T
        columns |= {"default_probability_low": low, "default_probability_high": high}
    return columns


def _reason(why: dict[str, Any]) -> str:
    return f"{why['text']} ({-why['points']:+.1f})"


def _change(change: dict[str, Any] | None) -> str:
    return f"{change['attribute']}: {change['from']} -> {change['to']}" if change else ""


def _predictions(outputs: Arrays, context: tuple[Rows, bool], manifest: Manifest) -> list[dict[str, Any]]:
    found, explained = context
    spec = manifest.task
    assert isinstance(spec, CreditScoring)
    low, high = spec.refer or (spec.decision_threshold, spec.decision_threshold)
    predictions: list[dict[str, Any]] = [
        {"default_probability": p, "decision": "approve" if p < low else "refer" if p < high else "decline"}
        for p in outputs["default_probability"]
    ]
    if explained:
        for one, why in zip(predictions, reasons.explained(spec, found.encoded, outputs), strict=True):
            one |= why
    return predictions


def describe(schemas: dict[str, Any], manifests: Sequence[Manifest]) -> None:
    """Spell out the attributes of an applicant."""
    specs = [one.task for one in manifests if isinstance(one.task, CreditScoring)]
    if specs:
        schemas["ScoreRequest"]["properties"]["applicants"]["items"] = tables.row_schema(specs[0])


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    task, golden = manifest.task, outputs["default_probability"]
    assert isinstance(task, CreditScoring)
    bound = task.refer[0] if task.refer else task.decision_threshold

    def check(answer: bytes) -> None:
        predictions = orjson.loads(answer)["predictions"]
        given = [one["default_probability"] for one in predictions]
        if len(given) != len(golden) or not np.allclose(given, golden, atol=1e-3):
            raise ValueError(f"{given} are not the golden probabilities {golden.tolist()}")
        for one in predictions:
            if (one["decision"] == "approve") != (one["default_probability"] < bound):
                raise ValueError(f"{one} is no decision by the threshold {bound}")

    def told(answer: bytes) -> None:
        check(answer)
        for one in orjson.loads(answer)["predictions"]:
            if abs(sum(why["points"] for why in one["reasons"]) + one["other_points"] - one["points"]) > 1e-6:
                raise ValueError(f"the points of {one} do not add up")
            low, high = one.get("interval", (0, 1))
            if not low - 1e-6 <= one["default_probability"] <= high + 1e-6:
                raise ValueError(f"the interval of {one} does not hold its probability")

    found = list(tables.examples_of(task, "applicants", inputs[manifest.inputs[0].name], check))
    yield from found
    if EXPLANATION in manifest.graphs:
        yield found[0]._replace(name="JSON, explained", check=told, query="explain=true")


TASK = Task(
    name="score_credit",
    path="/v1/credit/score",
    summary="Score credit applicants",
    kind="credit-scoring",
    readers=tables.readers("applicants"),
    writers={JSON: write_json, **tables.table_writers(write_table)},
    headers=HEADERS,
    request_form=ScoreRequest,
    answer_form=ScoreAnswer,
    prepare=prepare,
    examples=examples,
    options=(EXPLAIN, ON_ERROR, STREAM),
    stream=RowStream("applicants", prepare_rows, _columns, _predictions),
    describe=describe,
    body_limit=2**20,
)
