"""What was found in data from outside: how much there is of what, what is doubtful, and what must be mended first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from training.data.store import DataError

MOST = 20  # complaints that are told one by one


@dataclass
class Report:
    """`where` says where a row stands in the words of its kind: a line, a file."""

    path: Path
    where: Callable[[int], str]
    counts: dict[str, int] = field(default_factory=dict)
    classes: dict[str, Mapping[str, int]] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def wrong(self, row: int, text: str) -> None:
        self.errors.append(f"{self.where(row)}: {text}")

    def count(self, what: str, number: int) -> None:
        self.counts[what] = number

    def copies(self, number: int) -> None:
        if number:
            self.doubts.append(f"{number} rows are copies of others; copies are on the same side")

    def per_class(self, side: str, counts: Mapping[str, int]) -> None:
        """A class that nothing is learned of is an error, one that nothing measures a doubt."""
        self.classes[side] = counts
        lacking = [label for label, number in counts.items() if not number]
        if lacking:
            text = f"{side} has nothing of {', '.join(lacking)}"
            (self.errors if side == "train" else self.doubts).append(text)

    def check(self, *needed: str) -> str:
        """The report as Markdown. Raises DataError where something is wrong, or a side that is `needed` is empty."""
        self.errors += [f"nothing is in {side}: more rows are needed" for side in needed if not self.counts.get(side)]
        if self.errors:
            told = "\n".join(f"  {one}" for one in self.errors[:MOST])
            more = f"\n  and {len(self.errors) - MOST} more" if len(self.errors) > MOST else ""
            raise DataError(f"{self.path.name} cannot be trained on:\n{told}{more}")
        return self._text()

    def _text(self) -> str:
        lines = [f"# What is in {self.path.name}", "", "| side | rows |", "|---|--:|"]
        lines += [f"| {side} | {number:,} |" for side, number in self.counts.items()]
        if self.classes:
            sides = [*self.classes]
            lines += ["", f"| class | {' | '.join(sides)} |", f"|---|{'--:|' * len(sides)}"]
            labels = [*self.classes[sides[0]]]
            lines += [f"| {one} | {' | '.join(f'{self.classes[s][one]:,}' for s in sides)} |" for one in labels]
        lines += ["", *(f"- {doubt}" for doubt in self.doubts or ["Nothing is doubtful."])]
        return "\n".join(lines) + "\n"
