"""Figures as text that is also Markdown."""

from collections.abc import Mapping, Sequence


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows with the same keys, the headings. Numbers to the right; None is blank, a column of nothing else left out."""
    headings = [heading for heading in rows[0] if any(row[heading] is not None for row in rows)]
    cells = [[_text(row[heading]) for heading in headings] for row in rows]
    widths = [max(len(line[i]) for line in [headings, *cells]) for i in range(len(headings))]
    words = [isinstance(rows[0][heading], str) for heading in headings]
    rule = ["-" * width if word else "-" * (width - 1) + ":" for width, word in zip(widths, words, strict=True)]
    lines = [_line(headings, widths, words), _line(rule, widths, words)]
    return "\n".join(lines + [_line(line, widths, words) for line in cells])


def _line(cells: Sequence[str], widths: Sequence[int], words: Sequence[bool]) -> str:
    padded = [
        cell.ljust(width) if word else cell.rjust(width) for cell, width, word in zip(cells, widths, words, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
