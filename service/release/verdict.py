"""The verdict of a gate on a version, `gate.json` beside its manifest."""

from pathlib import Path

from pydantic import Field, ValidationError

from service.bundle import MANIFEST, BundleError, Record, Version, file_sha256, read_bounded, replace_text

GATE, PAGE, MOST = "gate.json", "gate.md", 4 * 2**20


class Check(Record):
    """One thing that was looked at: what came of it in words, and its numbers."""

    name: str
    passed: bool
    text: str
    numbers: dict[str, float] = {}


class Verdict(Record):
    """Of a version, in comparison with `against`, where something was served. `manifest` is its sha256."""

    against: Version | None
    manifest: str
    when: str
    checks: tuple[Check, ...] = Field(min_length=1)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def text(self) -> str:
        """A line for each check, and what comes of them."""
        lines = [f"{'ok  ' if check.passed else 'BAD '} {check.name}: {check.text}" for check in self.checks]
        return "\n".join([*lines, "passed" if self.passed else "not passed"])


def read(folder: Path) -> Verdict | None:
    """That of the version in this folder, None where none was given or it cannot be read."""
    try:
        return Verdict.model_validate_json(read_bounded(folder / GATE, MOST))
    except (OSError, BundleError, ValidationError):
        return None


def write(folder: Path, verdict: Verdict) -> None:
    """The verdict, and the page that tells it to people."""
    replace_text(folder / GATE, verdict.model_dump_json(indent=2) + "\n")
    replace_text(folder / PAGE, page(folder, verdict))


def page(folder: Path, verdict: Verdict) -> str:
    """In Markdown: every check with its numbers, what failed first."""
    title = f"{folder.parent.name} {folder.name}"
    lines = [
        f"# Gate of {title}",
        "",
        f"{'Passed' if verdict.passed else 'Not passed'}, beside {verdict.against or 'nothing'}, at {verdict.when}.",
        "",
        "| | check | what was found |",
        "|---|---|---|",
    ]
    for check in sorted(verdict.checks, key=lambda one: one.passed):
        text = check.text.replace("|", "/").replace("\n", " ")
        lines.append(f"| {'ok' if check.passed else '**BAD**'} | {check.name} | {text} |")
    return "\n".join(lines) + "\n"


def objection(folder: Path, served: str | None) -> str:
    """What speaks against serving the version by its verdict; nothing where it has passed."""
    again = f"run `python -m training gate {folder.parent.name} {folder.name}`"
    found = read(folder)
    if found is None:
        return f"there is no verdict on it: {again}"
    if found.manifest != file_sha256(folder / MANIFEST):
        return f"its verdict is on another manifest: {again}"
    if found.against != served:
        return f"it was compared with {found.against or 'nothing'}, and {served or 'nothing'} is served now: {again}"
    failed = [check.name for check in found.checks if not check.passed]
    return f"its gate was not passed: {', '.join(failed[:5])}" if failed else ""
