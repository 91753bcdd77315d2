"""Credit on the page, in Chromium: the form and the table."""

from typing import Any

import pytest

from tests.server.browsing import drop, fetched, go
from training.data import german_credit


def test_a_credit_decision_follows_the_form_and_has_its_reasons(page: Any) -> None:
    go(page, "Credit")
    page.wait_for_selector("text=/(Approve|Decline): .* % probability of default/")
    assert page.locator(".fields label").count() == 20
    page.select_option("#field-checking_account", "none")
    page.fill("#field-duration_months", "6")
    page.fill("#field-credit_amount", "900")
    page.wait_for_selector("pre:has-text('\"credit_amount\":900')")
    before = page.text_content(".verdict")
    page.fill("#field-duration_months", "72")
    page.wait_for_function("before => document.querySelector('.verdict').textContent !== before", arg=before)
    texts = page.locator(".waterfall td:last-child").all_text_contents()
    points = [float(text.replace("−", "-")) for text in texts]
    assert len(points) >= 3
    assert sum(points[:-1]) == pytest.approx(points[-1], abs=0.4)


def test_a_csv_of_applicants_comes_back_with_scores(page: Any) -> None:
    rows = [{name: value for name, value in row.items() if name != "risk"} for row in german_credit()[:5]]
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    go(page, "Credit")
    drop(page, ".drop", "applicants.csv", "\n".join(lines).encode(), "text/csv")
    page.wait_for_selector("text=/5 applicants, [0-5] declined/")
    assert page.locator(".scroll tbody tr").count() == 5
    header, *scored = fetched(page, "Save the CSV").decode().splitlines()
    assert header.endswith(",default_probability,decision")
    assert [line.rsplit(",", 2)[0] for line in scored] == lines[1:]
