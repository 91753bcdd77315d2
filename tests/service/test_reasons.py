"""Reasons of a credit score: they add up, what they advise is true, and models that have none say so."""

from typing import Any

import numpy as np
import pytest

from service.bundle import Arrays, Bundle, CreditScoring
from service.tasks import credit
from service.tasks.reasons import explained
from service.tasks.rows import Rows
from tests.conftest import Here, assert_refused
from tests.service.test_credit import PATH, typed
from training.data.german import applicants as everyone
from training.export.parity import Predictor
from training.export.store import committed
from training.recipes.classify.credit import ATTRIBUTES

ROWS = everyone().attributes


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return committed("credit")


def outputs_of(bundle: Bundle, rows: np.ndarray) -> Arrays:
    answered = Predictor(bundle.graph)({"applicant": rows})
    return answered | Predictor(bundle.path / bundle.manifest.graphs["explanation"].file)({"applicant": rows})


@pytest.fixture(scope="module")
def told(bundle: Bundle) -> list[dict[str, Any]]:
    spec = bundle.manifest.task
    assert isinstance(spec, CreditScoring)
    return explained(spec, ROWS, outputs_of(bundle, ROWS))


def test_contributions_make_the_log_odds_of_every_applicant(bundle: Bundle) -> None:
    outputs = outputs_of(bundle, ROWS)
    risk = outputs["default_probability"].astype(float)
    rest = np.log(risk / (1 - risk)) - outputs["contributions"].sum(1)
    np.testing.assert_allclose(rest, rest.mean(), atol=1e-4)


def test_reasons_and_the_rest_make_the_points_of_every_applicant(bundle: Bundle, told: list[dict[str, Any]]) -> None:
    risk = outputs_of(bundle, ROWS)["default_probability"].astype(float)
    for one, p in zip(told, risk, strict=True):
        points = [reason["points"] for reason in one["reasons"]]
        assert len(points) <= 4
        assert all(point < 0 for point in points)
        assert points == sorted(points)
        assert sum(points) + one["other_points"] == pytest.approx(one["points"], abs=1e-6)
        assert one["points"] == pytest.approx(600 + 20 * np.log2((1 - p) / p / 50), abs=1e-6)


def test_the_change_has_the_loan_approved_by_the_graph(bundle: Bundle, told: list[dict[str, Any]]) -> None:
    spec, position = bundle.manifest.task, {one.name: i for i, one in enumerate(ATTRIBUTES)}
    assert isinstance(spec, CreditScoring)
    risk = outputs_of(bundle, ROWS)["default_probability"]
    approved = risk < spec.decision_threshold
    assert all(one["change"] is None for one in np.array(told)[approved])
    advised = [row for row, one in enumerate(told) if one["change"]]
    assert len(advised) > 100
    changed = ROWS[advised].copy()
    for row, index in zip(changed, advised, strict=True):
        change = told[index]["change"]
        one = ATTRIBUTES[position[change["attribute"]]]
        assert one.changeable
        row[position[one.name]] = one.values.index(change["to"]) if one.values else change["to"]
    again = outputs_of(bundle, changed)["default_probability"]
    assert (again < spec.decision_threshold).all()
    np.testing.assert_allclose(again, [told[row]["change"]["default_probability"] for row in advised], atol=1e-5)


def test_what_training_did_not_see_is_named_and_nothing_else(bundle: Bundle, told: list[dict[str, Any]]) -> None:
    assert all(one["unusual"] == [] for one in told)
    names = [one.name for one in ATTRIBUTES]
    row = ROWS[:1].copy()
    row[0, [names.index("age_years"), names.index("credit_amount")]] = 90, 50_000
    row[0, names.index("purpose")] = ATTRIBUTES[names.index("purpose")].values.index("education")
    spec = bundle.manifest.task
    assert isinstance(spec, CreditScoring)
    assert explained(spec, row, outputs_of(bundle, row))[0]["unusual"] == ["purpose", "credit_amount", "age_years"]


def test_the_answer_holds_the_reasons_beside_the_short_one(bundle: Bundle) -> None:
    outputs, rows = outputs_of(bundle, ROWS[:3]), ROWS[:3]
    contexts = (Rows(rows, []), True), (Rows(rows, []), False)
    long, short = (credit.write_json(outputs, context, bundle.manifest) for context in contexts)
    assert b"reasons" in long.body
    assert b"reasons" not in short.body


def test_a_model_without_contributions_refuses_to_explain(lane: Here, applicants: list[dict[str, str]]) -> None:
    body = {"applicants": [typed(applicants[0])]}
    assert lane("POST", f"{PATH}&explain=false", json=body).status_code == 200
    assert_refused(lane("POST", f"{PATH}&explain=true", json=body), 422, "not_explainable", "model")


def test_a_bundle_with_a_coverage_has_an_interval(bundle: Bundle) -> None:
    spec, outputs = bundle.manifest.task, outputs_of(bundle, ROWS[:3])
    assert isinstance(spec, CreditScoring)
    interval = outputs["default_probability"][:, None] + np.array([-0.01, 0.01], np.float32)
    found = explained(spec.model_copy(update={"coverage": 0.9}), ROWS[:3], outputs | {"interval": interval})
    assert [one["interval"] for one in found] == interval.tolist()
    assert all(
        "interval" not in one for one in explained(spec.model_copy(update={"coverage": None}), ROWS[:3], outputs)
    )
