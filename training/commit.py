"""Where the repository is, and the commit that the sources of training stand at."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git_commit() -> str:
    """Its hash; "uncommitted" marks sources that differ from it, "unknown" is where there is no git."""
    changed = _git("status", "--porcelain", "--", *sources())
    if changed is None:
        return "unknown"
    commit = _git("rev-parse", "HEAD")
    return " ".join([*filter(None, [commit]), *(["uncommitted"] if changed or not commit else [])])


def sources() -> list[str]:
    """What decides about a training: its own folder, and the files of the service that this process has imported."""
    files = [module.__file__ for name, module in [*sys.modules.items()] if f"{name}.".startswith("service.")]
    return ["training", *(file for file in files if file is not None)]


def _git(*arguments: str) -> str | None:
    """What git prints, None where there is no git or it fails."""
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
