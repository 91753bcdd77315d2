"""What operators get fits the service: chart, dashboard, alerts and their runbook."""

import re
from importlib.util import find_spec

from deploy import chart_schema, dashboards
from service.metric_families import FAMILIES
from service.settings import PROJECT
from tests.test_docs import series_of

WRITE = "write it with `python -m tests.test_docs`"
DEPLOY = PROJECT / "deploy"
CHART = DEPLOY / "helm" / "quartet"
RULES = (CHART / "files" / "rules.yaml").read_text(encoding="utf-8")
RUNBOOK = (PROJECT / "docs" / "operate" / "alerts.md").read_text(encoding="utf-8")


def alerts() -> list[str]:
    return re.findall(r"- alert: (\w+)", RULES)


def test_the_chart_takes_every_setting_and_no_other() -> None:
    assert chart_schema.FILE.read_text(encoding="utf-8") == chart_schema.text(), WRITE


def test_the_dashboard_is_made_of_the_metrics_that_there_are() -> None:
    assert dashboards.FILE.read_text(encoding="utf-8") == dashboards.text(), WRITE


def test_every_metric_has_a_panel() -> None:
    asked = " ".join(dashboards.queries("quartet", ".*", "1m"))
    assert all(any(name in asked for name in series_of(family.name, family.kind)) for family in FAMILIES)


def test_the_dashboard_asks_for_what_the_service_or_the_exporter_of_gpus_has() -> None:
    asked = set(re.findall(r"\b([A-Za-z_]\w*)\{", " ".join(dashboards.queries("quartet", ".*", "1m"))))
    there = {name for family in FAMILIES for name in series_of(family.name, family.kind)}
    assert asked - there <= {"DCGM_FI_DEV_FB_USED"}  # as dcgm-exporter names it, in MiB


def test_make_runs_modules_that_there_are() -> None:
    named = re.findall(r" -m ([\w.]+)", (PROJECT / "Makefile").read_text(encoding="utf-8"))
    assert len(named) > 15
    assert [name for name in named if find_spec(name) is None] == []


def test_rules_ask_for_series_that_there_are() -> None:
    there = {name for family in FAMILIES for name in series_of(family.name, family.kind)}
    assert set(re.findall(r"\bquartet_\w+", RULES)) <= there


def test_each_alert_has_a_line_in_the_runbook() -> None:
    assert len(alerts()) > 8
    assert re.findall(r"^\| `(\w+)` \| (?:page|ticket) \| [`\w]", RUNBOOK, re.MULTILINE) == alerts()


def test_each_alert_is_tested_firing_and_silent() -> None:
    tests = (DEPLOY / "prometheus" / "rules_test.yaml").read_text(encoding="utf-8")
    for alert in alerts():
        assert re.search(rf"alertname: {alert}\n", tests), f"{alert} never fires in a test"
        assert re.search(rf"alertname: {alert}, .*exp_alerts: \[\]", tests), f"{alert} never stays silent in a test"


def test_the_versions_of_the_chart_are_those_of_the_project() -> None:
    version = re.search(r'^version = "(.*)"', (PROJECT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    chart = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    assert re.findall(r"ersion: ([\d.]+)$", chart, re.MULTILINE) == [version[1], version[1]]
