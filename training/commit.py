"""Where the repository is, and the commit that the sources of training stand at."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git_commit() -> str:
    """Its hash; "uncommitted" marks sources that differ from it, "unknown" is where there is no git."""
    changed = _git("status", "--porcelain", "--", "training", "service/bundle.py")
    if changed is None:
        return "unknown"
    commit = _git("rev-parse", "HEAD")
    return " ".join([*filter(None, [commit]), *(["uncommitted"] if changed or not commit else [])])


def _git(*arguments: str) -> str | None:
    """What git prints, None where there is no git or it fails."""
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
