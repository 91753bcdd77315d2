"""History has what bundles say they were made with, or is said to have lost it."""

import subprocess
from pathlib import Path

import pytest

from service.bundle import names
from training import commit
from training.export.store import committed, models_directory

RECIPE = "training/recipes/regress/line.py"


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / RECIPE
        self.file.parent.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
        answer = subprocess.run(["git", *who, *words], cwd=self.folder, capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def commit(self, text: str, *options: str) -> str:
        self.file.write_text(text)
        self.git("add", ".")
        self.git("commit", "-q", "-m", "Fit a line", *options)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setattr(commit, "ROOT", tmp_path / "clone")
    return Repository(tmp_path / "clone")


def test_the_recipes_hash_outlives_a_rebase(repository: Repository) -> None:
    first = repository.commit("y = x\n")
    known = commit.git_hash(first, RECIPE)
    assert commit.kept(first, known) == f"{first}: in history"
    again = repository.commit("y = x\n", "--amend", "--date", "2001-01-01T00:00:00")
    later = repository.commit("y = 2 x\n")
    assert commit.kept(first, known) == f"{first}: replaced by a rebase; the recipe as it was came with {again}"
    assert commit.kept(first, None).endswith("not in history, replaced by a rebase")
    assert commit.git_hash(later, RECIPE) != known == commit.git_hash(again, RECIPE)


def test_a_package_has_a_hash_too(repository: Repository) -> None:
    made = repository.commit("y = x\n")
    assert commit.git_hash(made, "training/recipes/regress/__init__.py") == repository.git(
        "rev-parse", "HEAD:training/recipes/regress"
    )
    assert commit.git_hash(f"{made} uncommitted", RECIPE) is None


def test_a_shallow_clone_is_told_from_a_loss(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    first = repository.commit("y = x\n")
    repository.commit("y = 2 x\n")
    shallow = repository.folder.parent / "shallow"
    repository.git("clone", "-q", "--depth", "1", f"file://{repository.folder}", str(shallow))
    monkeypatch.setattr(commit, "ROOT", shallow)
    assert "--unshallow" in commit.kept(first, None)


def test_history_has_the_recipe_of_every_bundle_that_says_which_it_was() -> None:
    if commit.is_shallow():
        pytest.skip("history is not here")
    for name in names(models_directory()):
        made = committed(name).manifest.provenance
        if made.recipe_hash:
            assert "not in history" not in commit.kept(made.git_commit, made.recipe_hash)
