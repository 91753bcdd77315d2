"""The Statlog German credit data: 1,000 applicants, what their codes mean, and the 20 attributes as numbers.

The code table that was published with the data is wrong in most attributes; the meanings below are the corrected ones
of U. Groemping, "South German Credit Data: Correcting a Widely Used Data Set", Report 4/2019, Beuth University of
Applied Sciences Berlin. Two consequences: A11 is *no checking account* and A14 the best state of one, not the reverse;
and single men share code A92 with non-single women, so that nobody's sex can be told from these data.
"""

import csv
import io
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.bundle import Attribute
from training.data.given import replaceable
from training.data.sources import GERMAN_CREDIT
from training.data.store import fetch


def _category(name: str, description: str, **values: str) -> Attribute:
    return Attribute(name=name, description=description, values=tuple(values.values()), codes=tuple(values))


def _number(name: str, description: str, low: float, high: float, unit: str = "") -> Attribute:
    return Attribute(name=name, description=description, range=(low, high), unit=unit)


# In the published order. Ranges are what is believed of an applicant, wider than the data where that makes sense.
ATTRIBUTES = (
    _category(
        "checking_account",
        "balance of the checking account with this bank, in DM; a salary paid in for a year counts as 200 or more",
        A11="none",
        A12="below_0",
        A13="0_to_200",
        A14="200_or_more",
    ),
    _number("duration_months", "duration of the loan", 1, 120, "months"),
    _category(
        "credit_history",
        "how earlier and present loans were served",
        A30="delayed_in_past",
        A31="critical_or_loans_elsewhere",
        A32="no_loans_or_all_repaid",
        A33="present_loans_served",
        A34="all_repaid_at_this_bank",
    ),
    _category(
        "purpose",
        "what the loan is for",
        A40="other",
        A41="new_car",
        A42="used_car",
        A43="furniture",
        A44="television",
        A45="appliances",
        A46="repairs",
        A47="education",
        A48="vacation",
        A49="retraining",
        A410="business",
    ),
    _number("credit_amount", "amount of the loan", 100, 100_000, "DM"),
    _category(
        "savings",
        "savings account or bonds, in DM",
        A61="unknown_or_none",
        A62="below_100",
        A63="100_to_500",
        A64="500_to_1000",
        A65="1000_or_more",
    ),
    _category(
        "employment_since",
        "years with the present employer",
        A71="unemployed",
        A72="below_1",
        A73="1_to_4",
        A74="4_to_7",
        A75="7_or_more",
    ),
    _number(
        "installment_rate",
        "instalments per disposable income: 1 = 35 % or more, 2 = 25 to 35 %, 3 = 20 to 25 %, 4 = below 20 %",
        1,
        4,
    ),
    _category(
        "personal_status",
        "marital status; the data do not tell single men from women who are or were married",
        A91="divorced_man",
        A92="single_man_or_non_single_woman",
        A93="married_or_widowed_man",
        A94="single_woman",
    ),
    _category("other_debtors", "who else answers for the loan", A101="none", A102="co_applicant", A103="guarantor"),
    _number(
        "residence_since",
        "time at the present address: 1 = below 1 year, 2 = 1 to 4 years, 3 = 4 to 7 years, 4 = 7 years or more",
        1,
        4,
    ),
    _category(
        "property",
        "the most valuable thing owned",
        A121="unknown_or_none",
        A122="car_or_other",
        A123="building_savings_or_life_insurance",
        A124="real_estate",
    ),
    _number("age_years", "age", 18, 100, "years"),
    _category("other_installment_plans", "instalments owed elsewhere", A141="bank", A142="stores", A143="none"),
    _category("housing", "how the applicant lives", A151="free", A152="rented", A153="owned"),
    _number(
        "existing_credits",
        "loans had at this bank, this one included: 1 = one, 2 = two or three, 3 = four or five, 4 = six or more",
        1,
        4,
    ),
    _category(
        "job",
        "occupation",
        A171="unskilled_non_resident",
        A172="unskilled_resident",
        A173="skilled",
        A174="manager_or_highly_qualified",
    ),
    _number("dependents", "people the applicant provides for: 1 = up to two, 2 = three or more", 1, 2),
    _category("telephone", "telephone line in the applicant's name", A191="no", A192="yes"),
    _category("foreign_worker", "foreign worker", A201="no", A202="yes"),
)


def german_credit() -> list[dict[str, str]]:
    """1,000 applicants by attribute name, as recorded: Statlog codes ("A11") and integers as text.

    `risk` is "1" for a good customer, "2" for one who defaulted.
    """
    return list(csv.DictReader(io.StringIO(fetch(GERMAN_CREDIT.name).text())))


@dataclass(frozen=True)
class Applicants:
    """`attributes` float32 [N, 20] in the order of ATTRIBUTES: a category is its index in `values`, a number is raw.

    `default` int64 [N] is 1 for a bad risk.
    """

    attributes: NDArray[np.float32]
    default: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.default)

    def __getitem__(self, rows: NDArray[np.int64]) -> Self:
        return type(self)(self.attributes[rows], self.default[rows])


@replaceable
@cache
def applicants() -> Applicants:
    """The table as numbers."""
    rows = german_credit()
    attributes = [[_column(attribute, row[attribute.name]) for attribute in ATTRIBUTES] for row in rows]
    return Applicants(np.array(attributes, np.float32), np.array([int(row["risk"] == "2") for row in rows]))


def _column(attribute: Attribute, recorded: str) -> float:
    return attribute.codes.index(recorded) if attribute.codes else float(recorded)
