"""Every error has a stable code and a status, and its body is RFC 9457."""

import json
import re

import pytest

from service import errors
from service.errors import Fault, InvalidValue, MethodNotAllowed, QuartetError, problem


def leaves(error: type[QuartetError]) -> list[type[QuartetError]]:
    below = [leaf for child in error.__subclasses__() for leaf in leaves(child)]
    return below or [error]


LEAVES = leaves(QuartetError)
DRAWN = dict(
    re.findall(r"── \w+ +(\d{3}) +(\w+)", errors.__doc__ or "")
    and [(code, int(status)) for status, code in re.findall(r"── \w+ +(\d{3}) +(\w+)", errors.__doc__ or "")]
)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert {leaf.code: leaf.status for leaf in LEAVES} == DRAWN


def test_no_two_errors_share_a_code() -> None:
    assert len({leaf.code for leaf in LEAVES}) == len(LEAVES)


def test_a_problem_has_every_member() -> None:
    assert json.loads(problem(InvalidValue("Must be a number.", "applicants[2].age_years"), "abc")) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "code": "invalid_value",
        "detail": "Must be a number.",
        "field": "applicants[2].age_years",
        "request_id": "abc",
    }


def test_a_problem_of_no_field_has_none() -> None:
    assert "field" not in json.loads(problem(MethodNotAllowed(["GET", "POST"]), "abc"))


@pytest.mark.parametrize("fault", leaves(Fault))
def test_a_fault_tells_nothing_of_its_cause(fault: type[Fault]) -> None:
    try:
        raise fault() from ValueError("secret")
    except Fault as error:
        body = problem(error, "abc").decode()
    assert "secret" not in body
    assert json.loads(body)["status"] == 500


def test_only_what_may_work_later_says_when_to_try_again() -> None:
    for leaf in LEAVES:
        assert (leaf.retry_after_s is not None) <= (leaf.status in (429, 503))
