"""Small experiments, a module each: it says what is asked, and `study` answers with tables and pictures.

`python -m training study NAME` runs one and writes its page below docs/studies; `page` is the one place that does.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.commit import ROOT
from training.report import card

PAGES = ROOT / "docs" / "studies"


class StudyError(Exception):
    """There is no such study."""


@dataclass(frozen=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Findings:
    """Tables by their captions, and PNG pictures by their file stems, which are their captions."""

    tables: dict[str, Table]
    pictures: dict[str, bytes] = field(default_factory=dict)


def names() -> list[str]:
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def write(name: str) -> Path:
    """Run a study and write its page and its pictures. Raises StudyError."""
    if name not in names():
        raise StudyError(f"there is no study {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found: Findings = module.study()
    PAGES.mkdir(parents=True, exist_ok=True)
    for stem, drawn in found.pictures.items():
        (PAGES / f"{name}-{stem}.png").write_bytes(drawn)
    target = PAGES / f"{name}.md"
    target.write_text(page(name, (module.__doc__ or "").strip(), found), encoding="utf-8")
    return target


def page(name: str, about: str, found: Findings) -> str:
    """The first line of `about` is the title."""
    title, _, text = about.partition("\n")
    parts = [f"# {title.removesuffix('.')}", text.strip()]
    for caption, table in found.tables.items():
        rows = [[_shown(cell) for cell in row] for row in table.rows]
        parts += [f"## {caption}", card.table(tuple(table.head), rows)]
    parts += [f"![{card.caption(stem)}]({name}-{stem}.png)" for stem in found.pictures]
    parts.append(f"Made by `python -m training study {name}`.")
    return "\n\n".join(parts) + "\n"


def _shown(cell: object) -> str:
    return card.number(float(cell)) if isinstance(cell, float) else str(cell)
