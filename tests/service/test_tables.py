"""Rows of a table: values that are left out, labels that do not exclude each other, units and intervals."""

import json
from pathlib import Path

import numpy as np
import pytest

from service import bundle
from service.bundle import Attribute, Quantity, TabularPrediction
from service.tasks.tables import examples_of
from tests import toys
from tests.conftest import Here, assert_refused

RANGES, MARKS = "/v1/tables/predict?model=toy-ranges", "/v1/tables/predict?model=toy-marks"


def test_numbers_come_with_their_units_and_intervals(lane: Here) -> None:
    answer = lane("POST", RANGES, json={"rows": [{"rooms": 2, "kind": "house"}]}).json()
    prediction = {"values": {"price": 250}, "intervals": {"price": [243, 257]}}
    assert (answer["predictions"], answer["units"], answer["coverage"]) == ([prediction], {"price": "thousands"}, 0.9)


@pytest.mark.parametrize("row", [{"rooms": 2}, {"rooms": 2, "kind": None}, {"rooms": 2, "kind": ""}])
def test_an_attribute_that_may_be_left_out_is_what_the_model_says(lane: Here, row: dict[str, object]) -> None:
    answer = lane("POST", RANGES, json={"rows": [row]})
    assert answer.json()["predictions"][0]["values"] == {"price": 150}


@pytest.mark.parametrize("table", ["rooms\n2\n", "rooms,kind\n2,\n", "kind;rooms\n ;2\n"])
def test_a_csv_leaves_it_out_by_an_empty_cell_or_without_its_column(lane: Here, table: str) -> None:
    answer = lane("POST", RANGES, content=table, headers={"content-type": "text/csv"})
    assert answer.json()["predictions"][0]["values"] == {"price": 150}


def test_what_stands_for_a_missing_value_is_none_that_can_be_sent(lane: Here) -> None:
    refused = lane("POST", RANGES, json={"rows": [{"rooms": -1, "kind": "flat"}]})
    assert_refused(refused, 422, "invalid_value", "rows[0].rooms")


def test_an_attribute_that_is_needed_is_missed(lane: Here) -> None:
    refused = lane("POST", "/v1/tables/predict?model=toy-table", json={"rows": [{"rooms": None, "kind": "flat"}]})
    assert_refused(refused, 422, "invalid_value", "rows[0].rooms")
    refused = lane("POST", "/v1/tables/predict?model=toy-table", json={"rows": [{"kind": "flat"}]})
    assert_refused(refused, 422, "invalid_value", "rows[0].rooms")


def test_all_labels_apply_that_reach_their_threshold(lane: Here) -> None:
    rows = [{"light": light, "round": shape} for light, shape in ((0.3, 0.6), (0.2, 0.9), (0.2, 0.5))]
    answer = lane("POST", MARKS, json={"rows": rows}).json()
    assert [one["labels"] for one in answer["predictions"]] == [["lamp", "ball"], ["ball"], []]
    assert answer["predictions"][1]["probabilities"] == [0.2, 0.9]


def test_openapi_says_what_may_be_left_out(lane: Here) -> None:
    rows = lane("GET", "/openapi.json").json()["components"]["schemas"]["PredictRowsRequest"]["properties"]["rows"]
    schema = next(one for one in rows["items"]["anyOf"] if one["required"] == [])
    assert schema["properties"]["kind"]["enum"] == ["flat", "house", None, ""]


def test_a_missing_value_must_not_be_one_that_there_is() -> None:
    with pytest.raises(ValueError, match="may be what"):
        Attribute(name="rooms", description="counted", range=(0, 10), missing=0)


@pytest.mark.parametrize(
    ("changes", "says"), [({"coverage": 0.9}, "must give `interval`"), ({"thresholds": (0.5,)}, "one threshold each")]
)
def test_a_bundle_that_lacks_what_its_manifest_promises_is_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    folder = (toys.table if "coverage" in changes else toys.marks)(tmp_path)
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    manifest["task"] |= changes
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(bundle.BundleError, match=says):
        bundle.Bundle(folder)


def test_an_example_in_csv_has_no_number_that_may_be_one_of_thousands() -> None:
    spec = TabularPrediction(
        attributes=(Attribute(name="rooms", description="counted", range=(0, 10)),),
        quantities=(Quantity(name="price", description="asked for"),),
    )
    _, table, _ = examples_of(spec, "rows", np.array([[1.125], [2.5]]), lambda _: None)
    assert table.body == b"rooms\n1.1250\n2.5\n"
