"""The Adult census data: who earns over 50,000 dollars a year, and the 14 attributes as the graph takes them."""

import csv
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import Attribute
from training.data.store import fetch

MISSING = -1.0
EDUCATION = (
    *("Preschool", "1st-4th", "5th-6th", "7th-8th", "9th", "10th", "11th", "12th", "HS-grad", "Some-college"),
    *("Assoc-voc", "Assoc-acdm", "Bachelors", "Masters", "Prof-school", "Doctorate"),
)
COUNTRIES = (
    *("United-States", "Cambodia", "Canada", "China", "Columbia", "Cuba", "Dominican-Republic", "Ecuador"),
    *("El-Salvador", "England", "France", "Germany", "Greece", "Guatemala", "Haiti", "Holand-Netherlands"),
    *("Honduras", "Hong", "Hungary", "India", "Iran", "Ireland", "Italy", "Jamaica", "Japan", "Laos", "Mexico"),
    *("Nicaragua", "Outlying-US(Guam-USVI-etc)", "Peru", "Philippines", "Poland", "Portugal", "Puerto-Rico"),
    *("Scotland", "South", "Taiwan", "Thailand", "Trinadad&Tobago", "Vietnam", "Yugoslavia"),
)


def _number(name: str, description: str, high: float, unit: str = "", missing: float | None = None) -> Attribute:
    return Attribute(name=name, description=description, unit=unit, range=(0, high), missing=missing)


def _category(name: str, description: str, *values: str, missing: float | None = None) -> Attribute:
    return Attribute(name=name, description=description, values=values, missing=missing)


# In the published order, spelled as there; what is missing in the data may be missing in a request.
ATTRIBUTES = (
    _number("age", "of the person", 120, "years"),
    _category(
        "workclass",
        "who employs the person",
        *("Private", "Self-emp-not-inc", "Self-emp-inc", "Federal-gov", "Local-gov", "State-gov", "Without-pay"),
        "Never-worked",
        missing=MISSING,
    ),
    _number("fnlwgt", "how many people the census takes the row for", 2e6, missing=MISSING),
    _category("education", "the highest degree", *EDUCATION),
    _number("education_num", "the degree's place, from 1 for Preschool to 16 for Doctorate", 16),
    _category(
        "marital_status",
        "of the person",
        *("Married-civ-spouse", "Divorced", "Never-married", "Separated", "Widowed", "Married-spouse-absent"),
        "Married-AF-spouse",
    ),
    _category(
        "occupation",
        "what the person does",
        *("Tech-support", "Craft-repair", "Other-service", "Sales", "Exec-managerial", "Prof-specialty"),
        *("Handlers-cleaners", "Machine-op-inspct", "Adm-clerical", "Farming-fishing", "Transport-moving"),
        *("Priv-house-serv", "Protective-serv", "Armed-Forces"),
        missing=MISSING,
    ),
    _category(
        "relationship",
        "to the householder",
        *("Wife", "Own-child", "Husband", "Not-in-family", "Other-relative", "Unmarried"),
    ),
    _category("race", "as the census asks", "White", "Asian-Pac-Islander", "Amer-Indian-Eskimo", "Other", "Black"),
    _category("sex", "as the census asks", "Female", "Male"),
    _number("capital_gain", "in the year before", 1e6, "dollars"),
    _number("capital_loss", "in the year before", 1e5, "dollars"),
    _number("hours_per_week", "of work", 100, "hours"),
    _category("native_country", "where the person was born", *COUNTRIES, missing=MISSING),
)


@dataclass(frozen=True)
class People:
    """Rows [N, 14] for the graph, and who earns over 50,000 dollars [N]."""

    rows: NDArray[np.float32]
    earns: NDArray[np.int64]


def adult_census() -> tuple[People, People]:
    """The published training set of 32,561 and the test set of 16,281."""
    files = fetch("adult").read()
    return _people(files["adult.data"]), _people(files["adult.test"])


def _people(content: bytes) -> People:
    lines = (line for line in content.decode().splitlines() if line.count(",") == len(ATTRIBUTES))
    table = list(csv.reader(io.StringIO("\n".join(lines)), skipinitialspace=True))
    rows = [[_value(one, text) for one, text in zip(ATTRIBUTES, row, strict=False)] for row in table]
    return People(np.array(rows, np.float32), np.array([row[-1].startswith(">") for row in table]).astype(np.int64))


def _value(attribute: Attribute, text: str) -> float:
    if text == "?":
        return MISSING
    return float(text) if attribute.range else attribute.positions[text]
