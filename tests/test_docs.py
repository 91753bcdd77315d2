"""The documentation says what the code does: its tables are compared, its commands are executed.

`python -m tests.test_docs` writes the tables of settings, errors, metrics and routes, the bundle's schema, the names of
settings in the chart's and the dashboard anew.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from deploy import chart_schema, dashboards
from service import errors
from service.bundle import json_schema
from service.metric_families import FAMILIES
from service.openapi_releases import OPERATIONS
from service.settings import PREFIX, PROJECT, Settings
from service.tasks import TASKS
from tests.conftest import Running
from tests.snippets import Snippet, can_run, failure, prints, snippets

CONFIGURATION, SCHEMA = PROJECT / "docs" / "configuration.md", PROJECT / "docs" / "bundle.schema.json"
ERRORS, METRICS = PROJECT / "docs" / "errors.md", PROJECT / "docs" / "metrics.md"
ROUTES = PROJECT / "docs" / "routes.md"
SNIPPETS = snippets()


def settings_table() -> list[str]:
    """The table of docs/configuration.md, as the code has it."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, Path):
            default = default.relative_to(PROJECT)
        shown = "" if default in ((), {}, None) else f"`{default}`"
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        values = f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description}{values} |")
    return rows


def errors_table() -> list[str]:
    """The table of docs/errors.md: the leaves of the tree that the docstring of service/errors.py draws."""
    rows = ["| status | code | when |", "|---|---|---|"]
    leaves = re.findall(r"── \w+ +(\d{3}) +(\w+) *(.*)", errors.__doc__ or "")
    return rows + [f"| {status} | `{code}` | {when} |" for status, code, when in leaves]


def metrics_table() -> list[str]:
    """The table of docs/metrics.md, as the code has it."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for family in FAMILIES:
        name = f"{family.name}_total" if family.kind == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in family.labels)
        rows.append(f"| `{name}` | {family.kind} | {labels} | {family.documentation} |")
    return rows


def routes_table() -> list[str]:
    """The table of docs/routes.md: the tasks."""
    rows = ["| route | for | reads | answers in | options |", "|---|---|---|---|---|"]
    for task in sorted(TASKS, key=lambda one: one.path):
        cells = (task.readers, task.writers, [option.name for option in task.options])
        reads, writes, options = (", ".join(f"`{name}`" for name in names) for names in cells)
        of = f"`{task.kind}`" if task.kind else "any model"
        rows.append(f"| `{task.path}`<br>{task.summary} | {of} | {reads} | {writes} | {options} |")
    return rows


TABLES = {CONFIGURATION: settings_table, ERRORS: errors_table, METRICS: metrics_table, ROUTES: routes_table}


def test_the_page_of_routes_has_those_of_releases_and_feedback() -> None:
    page = ROUTES.read_text(encoding="utf-8")
    for one in OPERATIONS:
        assert f"| `{one.method.upper()} {one.path}`<br>{one.summary} |" in page, one.path


def split(page: str, head: str) -> tuple[list[str], list[str], list[str]]:
    """The lines before the table with this head, its own, and those behind it."""
    lines = page.splitlines()
    start = lines.index(head)
    end = next(i for i in range(start, len(lines) + 1) if i == len(lines) or not lines[i].startswith("|"))
    return lines[:start], lines[start:end], lines[end:]


def write() -> None:
    for path, table in TABLES.items():
        before, _, behind = split(path.read_text(encoding="utf-8"), table()[0])
        path.write_text("\n".join([*before, *table(), *behind]) + "\n", encoding="utf-8")
    for made in (chart_schema, dashboards):
        made.FILE.write_text(made.text(), encoding="utf-8")
    SCHEMA.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_is_that_of_the_code(path: Path) -> None:
    expected = TABLES[path]()
    _, table, _ = split(path.read_text(encoding="utf-8"), expected[0])
    assert table == expected, "write it with `python -m tests.test_docs`"


def test_the_queries_of_the_page_ask_for_metrics_that_there_are() -> None:
    there = {suffixed for family in FAMILIES for suffixed in series_of(family.name, family.kind)}
    asked = set(re.findall(r"\bquartet_\w+", METRICS.read_text(encoding="utf-8")))
    assert asked <= there | {family.name for family in FAMILIES}


def series_of(name: str, kind: str) -> list[str]:
    """The names of the time series that Prometheus makes of a metric."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(kind, ("",))
    return [name + suffix for suffix in suffixes]


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted((PROJECT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_every_link_to_another_page_leads_to_a_heading_of_it(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_published_schema_is_that_of_the_contract() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert published == json.loads(json.dumps(json_schema())), "write it with `python -m tests.test_docs`"


def test_every_library_that_is_asked_for_is_accounted_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked += [line for extra in project["project"]["optional-dependencies"].values() for line in extra]
    page = (PROJECT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = {name for row in re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE) for name in row.split(", ")}
    assert {re.split(r"[=<>\[]", line)[0] for line in asked} == explained - {"library"}


def test_the_readme_shows_all_four_endpoints_in_three_languages() -> None:
    shown = [one for one in SNIPPETS if one.page.name == "README.md"]
    for path in ("/v1/digits/classify", "/v1/credit/score", "/v1/ct/denoise", "/v1/samples/generate"):
        assert any(path in one.text for one in shown), path
    assert {one.language for one in shown} == {"sh", "python", "js"}


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda one: f"{one.page.stem}-{one.language}")
def test_a_snippet_of_the_pages_does_what_it_says(server: Running, tmp_path: Path, snippet: Snippet) -> None:
    if not can_run(snippet):
        pytest.skip("there is no node here")
    for library in ("tritonclient", "pyarrow"):
        if library in snippet.text:
            pytest.importorskip(library, reason="it comes with the extras dev and train")
    for name in ("docs", "models"):
        (tmp_path / name).symlink_to(PROJECT / name)
    assert failure(snippet, server.url, tmp_path) is None


@pytest.mark.parametrize(
    ("said", "got", "agree"),
    [
        ("7", "7", True),
        ("0.15 [1, 2]", "0.16 [1, 2]", True),
        ("0.15 [1, 2]", "0.25 [1, 2]", False),
        ("version ...", "version 20261127", True),
        ("...34.5...", "[[34.5]]", True),
        ("...34.5...", "[[35.5]]", False),
        ("7", "7\n8", False),
        ("positive", "negative", False),
    ],
)
def test_what_is_printed_is_compared(said: str, got: str, agree: bool) -> None:
    assert prints(said, got) is agree


def test_a_program_of_the_pages_says_what_it_prints() -> None:
    for one in SNIPPETS:
        assert one.language == "sh" or one.said, (one.page.name, one.text)


if __name__ == "__main__":
    write()
