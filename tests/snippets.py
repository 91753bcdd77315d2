"""What the pages tell people to type: commands, Python and JavaScript, and what they say comes of it.

`...` in what they say stands for anything, numbers need only be near. A JSON block behind a command is its answer; the
comment behind a `print(...)` or `console.log(...)` is the line that it prints.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
TUTORIALS = {"add-a-task", "train-a-model"}  # ask what a reader has made meanwhile
PAGES = [page for page in sorted((PROJECT / "docs").glob("*.md")) if page.stem not in TUTORIALS]
PAGES.insert(0, PROJECT / "README.md")
ADDRESS = re.compile(r"(?:http://)?(?:127\.0\.0\.1|localhost):3000")
ELSEWHERE = re.compile(r"localhost:8001|Bearer TOKEN")  # gRPC, and the operator's own routes
PRINTED = re.compile(r"\b(?:print|console\.log)\(.*\);?\s+(?:#|//) (.+)$", re.MULTILINE)
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"
ANY = "..."
NEAR = 0.05


class Snippet(NamedTuple):
    """`said` is JSON for a command, lines for a program; None where nothing is said."""

    page: Path
    language: str
    text: str
    said: str | None

    @property
    def refused(self) -> bool:
        return self.language == "sh" and self.said is not None and "status" in json.loads(self.said)


def blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page, in order: language and content."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(script: str) -> Iterator[str]:
    """A shell's lines, those that go on in the next one together."""
    pending = ""
    for line in script.splitlines():
        pending += line.removeprefix("$ ") + "\n"
        try:
            shlex.split(pending)
        except ValueError:  # a quote is open, or a backslash ends the line
            continue
        if not line.endswith("\\"):
            yield pending.strip()
            pending = ""


def snippets() -> list[Snippet]:
    """All that ask the service of the pages."""
    found = [one for page in PAGES for one in _of(page)]
    return [one for one in found if ADDRESS.search(one.text) and not ELSEWHERE.search(one.text)]


def _of(page: Path) -> Iterator[Snippet]:
    fenced = blocks(page.read_text(encoding="utf-8"))
    for (language, content), (following, answer) in pairwise([*fenced, ("", "")]):
        if language in ("sh", "console"):
            typed = [one for one in commands(content) if re.match(r"(?:[^|]*\| )?curl ", one)]
            told = answer if following == "json" else None
            yield from (Snippet(page, "sh", one, told if one is typed[-1] else None) for one in typed)
        elif language in ("python", "js"):
            yield Snippet(page, language, content, "\n".join(PRINTED.findall(content)))


def failure(snippet: Snippet, url: str, folder: Path, python: str = sys.executable) -> str | None:
    """What is wrong with it when it is run against the service at `url`, in a folder with `docs` and `models`."""
    text = ADDRESS.sub(lambda match: url if "://" in match[0] else url.removeprefix("http://"), snippet.text)
    if snippet.language == "sh" and not snippet.refused:
        text = text.replace("curl ", "curl --fail-with-body ", 1)
    programs = {"sh": ["bash", "-ec"], "python": [python, "-c"], "js": ["node", "--input-type=module", "-e"]}
    command = [*programs[snippet.language], text]
    ran = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    if ran.returncode:
        return f"{ran.stdout[-500:]!r} {ran.stderr[-500:]!r}"
    if snippet.language != "sh":
        return None if prints(snippet.said or "", ran.stdout.decode().strip()) else f"it prints {ran.stdout.decode()!r}"
    if snippet.said is not None and not agrees(json.loads(snippet.said), json.loads(ran.stdout)):
        return f"the answer is {ran.stdout.decode()}"
    outputs = re.findall(r"(?:-o|--output) (\S+)", snippet.text)
    return next((f"{one} is empty" for one in outputs if (folder / one).stat().st_size <= 100), None)


def can_run(snippet: Snippet) -> bool:
    return snippet.language != "js" or shutil.which("node") is not None


def agrees(said: Any, got: Any) -> bool:
    """Whether `got` has everything that is `said`."""
    if said == ANY:
        return True
    if isinstance(said, dict):
        return isinstance(got, dict) and all(key in got and agrees(value, got[key]) for key, value in said.items())
    if isinstance(said, list):
        return isinstance(got, list) and len(said) == len(got) and all(map(agrees, said, got))
    if isinstance(said, float):
        return isinstance(got, int | float) and near(said, got)
    return bool(said == got)


def near(said: float, got: float) -> bool:
    return abs(said - got) <= NEAR


def prints(said: str, got: str) -> bool:
    """Whether the lines are those, numbers near."""
    pieces = re.split(f"({NUMBER}|{re.escape(ANY)})", said)
    pattern = "".join(
        ".*?" if piece == ANY else f"({NUMBER})" if re.fullmatch(NUMBER, piece) else re.escape(piece)
        for piece in pieces
    )
    match = re.fullmatch(pattern, got, re.DOTALL)
    told = [float(piece) for piece in pieces if re.fullmatch(NUMBER, piece)]
    return match is not None and all(map(near, told, map(float, match.groups())))
