"""A repeat trains every variant under every seed, trains nothing twice, and says how far chance carries a figure."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from service import bundle
from service.bundle import Bundle
from training import recipe
from training.__main__ import main
from training.export import store
from training.measures.evaluation import Evaluation, Predict
from training.recipe import Recipe
from training.report import card, repeats
from training.report.repeats import Repeats, Training
from training.retraining import Retraining
from training.run import Run, RunError

THREE = Repeats(
    command="python -m training repeat toy",
    metric="accuracy",
    unit="",
    seeds=(1, 2, 3),
    trainings=(
        Training(name="with", changes={}, values=(0.91, 0.92, 0.93)),
        Training(name="without", changes={"survival": 1.0}, values=(0.90, 0.90, 0.90)),
    ),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder for runs; that for models is empty, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTET_MODELS_DIR", str(tmp_path_factory.mktemp("models")))
        patch.setenv("QUARTET_RUNS", str(folder := tmp_path_factory.mktemp("runs")))
        yield folder


@pytest.fixture(scope="module")
def toy(runs: Path) -> Recipe[Any]:
    """`credit-logistic` trained for ten epochs, quickly measured, with a slower variant; its bundle is there."""
    chosen = recipe.load("credit-logistic")
    hyper = dataclasses.replace(chosen.hyper, epochs=10)
    variants: dict[str, dict[str, Any]] = {"as it is": {}, "slower": {"learning_rate": 0.001}}

    def evaluate(predict: Predict, hyper: Any) -> Evaluation:
        assert chosen.spot_check
        return Evaluation(metrics=(chosen.spot_check(predict),))

    short = dataclasses.replace(chosen, hyper=hyper, variants=variants, evaluate=evaluate)
    run = Run(short.name, hyper)
    written = store.export(short, short.train(run), run)
    bundle.write_current(store.models_directory(), short.name, written.manifest.version)
    return short


@pytest.fixture(scope="module")
def repeated(toy: Recipe[Any]) -> Repeats:
    return Retraining(recipe=toy, seeds=2).repeat()


def test_every_variant_is_trained_under_every_seed(repeated: Repeats) -> None:
    assert repeated.seeds == (0, 1)
    assert [(one.name, one.changes, len(one.values)) for one in repeated.trainings] == [
        ("as it is", {}, 2),
        ("slower", {"learning_rate": 0.001}, 2),
    ]
    own, slower = repeated.trainings
    assert own.values[0] != own.values[1]
    assert own.values != slower.values


def test_the_training_of_the_bundle_is_not_repeated(repeated: Repeats, runs: Path) -> None:
    headline = store.committed("credit-logistic").manifest.metrics[0]
    assert (repeated.metric, repeated.trainings[0].values[0]) == (headline.name, headline.value)
    trained = sorted(path.parent.relative_to(runs).as_posix() for path in runs.rglob("checkpoint.pt"))
    assert trained == [
        "credit-logistic",
        "credit-logistic/repeats/full/as-it-is/seed-1",
        "credit-logistic/repeats/full/slower/seed-0",
        "credit-logistic/repeats/full/slower/seed-1",
    ]


def test_a_bundle_is_known_as_one_of_the_cpu_or_of_a_gpu_whatever_its_name(toy: Recipe[Any]) -> None:
    on_cpu = store.committed("credit-logistic").manifest.provenance
    on_gpu = on_cpu.model_copy(update={"device": "NVIDIA H200"})
    for device, own, other in (("cpu", on_cpu, on_gpu), ("cuda", on_gpu, on_cpu)):
        retraining = Retraining(recipe=toy, device=device)
        assert retraining.is_of(own, toy.hyper)
        assert not retraining.is_of(other, toy.hyper)
        assert not retraining.is_of(own, dataclasses.replace(toy.hyper, seed=5))


def test_what_was_trained_is_not_trained_again(
    toy: Recipe[Any], repeated: Repeats, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Retraining(recipe=toy, seeds=2).repeat() == repeated
    assert capsys.readouterr().err.count("is trained already") == 3


def test_another_number_of_epochs_is_among_the_changes_and_in_the_command(toy: Recipe[Any]) -> None:
    found = Retraining(recipe=dataclasses.replace(toy, variants={}), seeds=2, epochs=3).repeat()
    assert found.command == "python -m training repeat credit-logistic --seeds 2 --epochs 3"
    assert [one.changes for one in found.trainings] == [{"epochs": 3}]


def test_one_seed_has_no_spread(toy: Recipe[Any]) -> None:
    with pytest.raises(RunError, match="--seeds 1.*two seeds"):
        Retraining(recipe=toy, seeds=1).repeat()


def copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The current bundle of `credit-logistic`, in a models folder of its own."""
    shutil.copytree(store.models_directory() / "credit-logistic", folder / "credit-logistic")
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(folder))
    monkeypatch.setenv("QUARTET_RUNS", str(folder / "runs"))
    return store.committed("credit-logistic")


def test_the_command_prints_the_spread_and_writes_it_into_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = copied(tmp_path, monkeypatch)
    main(["repeat", "credit-logistic", "--seeds", "2"])
    written = repeats.read(made.path)
    assert written is not None
    assert card.repeated(written) in capsys.readouterr().out
    assert f"## Repeated\n\n{card.repeated(written)}" in made.card


def test_a_trial_of_a_few_epochs_is_printed_and_leaves_the_bundle_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = copied(tmp_path, monkeypatch)
    repeats.write(made.path, THREE)
    before = {path: path.read_bytes() for path in made.path.iterdir()}
    main(["repeat", "credit-logistic", "--seeds", "2", "--epochs", "2"])
    assert "`python -m training repeat credit-logistic --seeds 2 --epochs 2`" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in made.path.iterdir()} == before


OLD, COMMIT = "20200101-000000", "0123456789" * 4


def exported(toy: Recipe[Any], commit: str = COMMIT, **changes: Any) -> Bundle:
    """The toy's bundle as if trained at `commit`; the same changes of the hyper-parameters are trained only once."""
    run = Run(f"{toy.name}/{changes}", dataclasses.replace(toy.hyper, **changes))
    module = toy.train(run)
    run.git_commit = commit
    return store.export(toy, module, run)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models."""
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path))
    return tmp_path


def repeat_long_ago(models: Path, toy: Recipe[Any], commit: str = COMMIT) -> None:
    made = exported(toy, commit)
    bundle.write_manifest(made.path, made.manifest.model_copy(update={"version": OLD}))
    repeats.write(made.path, THREE)
    made.path.rename(made.path.with_name(OLD))
    bundle.write_current(models, toy.name, OLD)


def test_repeats_go_along_with_another_export_of_the_same_training(models: Path, toy: Recipe[Any]) -> None:
    repeat_long_ago(models, toy)
    made = exported(toy)
    assert made.manifest.version != OLD
    assert repeats.read(made.path) == THREE
    assert card.repeated(THREE) in made.card


@pytest.mark.parametrize(("commit", "changes"), [("abcdef0123" * 4, {}), (COMMIT, {"learning_rate": 0.01})])
def test_repeats_of_another_training_are_left_behind(
    models: Path, toy: Recipe[Any], commit: str, changes: dict[str, Any]
) -> None:
    repeat_long_ago(models, toy)
    made = exported(toy, commit, **changes)
    assert repeats.read(made.path) is None
    assert "## Repeated" not in made.card


@pytest.mark.parametrize("commit", ["unknown", f"{COMMIT} uncommitted"])
def test_sources_that_no_commit_tells_may_be_those_of_another_training(
    models: Path, toy: Recipe[Any], commit: str
) -> None:
    repeat_long_ago(models, toy, commit)
    assert repeats.read(exported(toy, commit).path) is None


def test_the_spread_is_that_of_a_sample() -> None:
    assert THREE.trainings[0].mean == pytest.approx(0.92)
    assert THREE.trainings[0].deviation == pytest.approx(0.01) == stdev(THREE.trainings[0].values)


def test_the_difference_is_paired_by_seed_with_the_interval_of_student() -> None:
    """-0.01, -0.02 and -0.03: the 97.5 % quantile of t with two degrees of freedom is 4.3027."""
    (difference,) = THREE.differences
    assert difference.name == "without less with"
    assert difference.mean == pytest.approx(-0.02)
    reach = 4.3027 * 0.01 / 3**0.5
    assert (difference.low, difference.high) == pytest.approx((-0.02 - reach, -0.02 + reach), abs=1e-6)


def test_repeats_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert repeats.read(tmp_path) is None
    repeats.write(tmp_path, THREE)
    assert repeats.read(tmp_path) == THREE


def test_the_card_shows_every_figure_and_what_was_changed() -> None:
    text = card.repeated(THREE)
    assert "| without | survival 1.0 | 0.9 | 0.9 | 0.9 | **0.9** | 0 |" in text
    assert "without less with: -0.02, 95 % interval -0.045 to +0.0048" in text


@pytest.mark.parametrize("name", recipe.names())
def test_the_first_variant_is_the_recipe_itself_and_the_others_change_what_there_is(name: str) -> None:
    chosen = recipe.load(name)
    for number, changes in enumerate(chosen.variants.values()):
        assert bool(changes) == bool(number)
        assert dataclasses.replace(chosen.hyper, **changes) != chosen.hyper or not number
