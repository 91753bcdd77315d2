"""Where the repository is, the commit that the sources of training stand at, and whether history still has it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HASH = re.compile("[0-9a-f]{40}")  # of a commit, and nothing that says that the sources differed from it


def git_commit() -> str:
    """Its hash; "uncommitted" marks sources that differ from it, "unknown" is where there is no git."""
    changed = _git("status", "--porcelain", "--", *sources())
    if changed is None:
        return "unknown"
    commit = _git("rev-parse", "HEAD")
    return " ".join([*filter(None, [commit]), *(["uncommitted"] if changed or not commit else [])])


def git_hash(commit: str, recipe: str) -> str | None:
    """Git's hash of a recipe's file, or of its package's folder, as a commit has it; None where that cannot be told."""
    path = recipe.removesuffix("/__init__.py")
    return _git("rev-parse", f"{commit}:{path}") if HASH.fullmatch(commit) else None


def kept(commit: str, recipe_hash: str | None) -> str:
    """Where history has what a bundle was trained with, in words."""
    if not HASH.fullmatch(commit):
        return f"{commit}: not a commit"
    if _git("merge-base", "--is-ancestor", commit, "HEAD") is not None:
        return f"{commit}: in history"
    if is_shallow():
        return f"{commit}: not in this shallow clone, git fetch --unshallow"
    changes = _git("log", "--format=%H", "-t", f"--find-object={recipe_hash}") if recipe_hash else None
    if changes:  # the first brought it, another may have replaced it
        return f"{commit}: replaced by a rebase; the recipe as it was came with {changes.split()[-1]}"
    return f"{commit}: not in history, replaced by a rebase"


def is_shallow() -> bool:
    """Whether there is less than all of the history here, or none."""
    return _git("rev-parse", "--is-shallow-repository") != "false"


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
