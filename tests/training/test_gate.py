"""A candidate passes its gate where it is as good as what is served, and else is told what it lacks."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from service.bundle import CURRENT, Arrays, Bundle, Metric, write_manifest
from service.release import Release, verdict
from training import recipe
from training.__main__ import main
from training.export.store import committed, models_directory
from training.gate import comparison, gate
from training.kinds import generation
from training.measures.paired import Rows, Scores, classes, difference
from training.measures.scoring import auc

NAME = "linear-profit"


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """The committed version, and a candidate that is the same but for its number."""
    shutil.copytree(models_directory() / NAME, tmp_path / NAME)
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path))
    served = committed(NAME)
    candidate = served.path.with_name("29990101-000000")
    shutil.copytree(served.path, candidate)
    write_manifest(candidate, served.manifest.model_copy(update={"version": candidate.name}))
    return Release(tmp_path, NAME)


def test_a_candidate_as_good_as_what_is_served_passes_and_is_promoted(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["gate", NAME])
    candidate = release.versions[-1]
    found = verdict.read(release.home / candidate)
    assert found is not None
    assert found.against == release.served
    names = {check.name for check in found.checks}
    assert {"golden parity", "figures", "provenance", "tree", "mean absolute error"} <= names
    assert {"size", "latency", "memory"} <= names
    assert capsys.readouterr().out.splitlines()[-1] == "passed"
    assert release.promote(candidate, "ada").action == "promote"


def test_a_claim_that_is_not_what_is_measured_does_not_pass(
    release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    candidate = Bundle(release.home / release.versions[-1])
    made = candidate.manifest.provenance.model_copy(update={"git_commit": "unknown"})
    claimed = (candidate.manifest.metrics[0].model_copy(update={"value": 0.1}), *candidate.manifest.metrics[1:])
    write_manifest(candidate.path, candidate.manifest.model_copy(update={"metrics": claimed, "provenance": made}))
    (release.home / CURRENT).unlink()
    with pytest.raises(SystemExit, match="has not passed its gate"):
        main(["gate", NAME])
    told = capsys.readouterr().out
    assert "BAD  figures: mean absolute error is 2.24" in told
    assert "BAD  tree: made at unknown" in told
    assert told.splitlines()[0].endswith("beside nothing")


def test_a_damaged_candidate_is_not_measured(release: Release) -> None:
    candidate = Bundle(release.home / release.versions[-1])
    candidate.graph.write_bytes(b"nothing")
    (only,) = gate.checks_of(recipe.load(NAME), None, candidate)
    assert (only.name, only.passed) == ("golden parity", False)
    assert "sha256" in only.text


def metric(name: str, value: float) -> Metric:
    return Metric(name=name, value=value, low=value - 0.01, high=value + 0.01, count=100)


@pytest.mark.parametrize(
    ("name", "served", "candidate", "passed"),
    [
        ("accuracy", 0.9, 0.895, True),
        ("accuracy", 0.9, 0.88, False),
        ("accuracy", 0.9, 0.99, True),
        ("calibration error", 0.1, 0.12, False),
        ("calibration error", 0.1, 0.01, True),
        ("times the floor", 283.0, 227.0, True),
        ("divergence of modes", 0.07, 0.11, False),
        ("mean error, quarter dose", -0.1, 0.1, True),
        ("mean error, quarter dose", 0.0, -0.1, False),
        ("coverage of the 95 % interval", 0.99, 0.97, True),
        ("coverage of the 95 % interval", 0.95, 0.99, False),
        ("coverage of the 90% interval, served", 0.9, 0.8, False),
    ],
)
def test_a_figure_may_lose_half_of_its_interval(name: str, served: float, candidate: float, passed: bool) -> None:
    (check,) = comparison.figures((metric(name, served),), (metric(name, candidate),))
    assert check.passed is passed


def test_a_figure_that_is_gone_does_not_pass() -> None:
    (check,) = comparison.figures((metric("accuracy", 0.9),), (metric("recall", 0.9),))
    assert not check.passed


def test_the_test_is_that_of_mcnemar() -> None:
    before, after = np.zeros(100, bool), np.zeros(100, bool)
    before[:8], after[6:9] = True, True  # lost 6, gained 1
    found = difference(before, after)
    assert (found.gained, found.lost) == (1, 6)
    assert found.chance == pytest.approx((7 + 1) / 2**7)  # 6 or 7 of 7 tosses
    assert found.share.low < found.share.value == pytest.approx(-0.05)
    assert difference(before, before).chance == 1


def test_no_class_pays_for_the_mean() -> None:
    truth = np.repeat(np.arange(4), 500)
    served, candidate = truth.copy(), truth.copy()
    served[::10] = 9  # a tenth of every class is wrong
    candidate[500:550] = 9  # all that the candidate gets wrong is in one class
    candidate[550:600] = 9
    checks = list(comparison.rows(*(classes(answer, truth, "abcd") for answer in (served, candidate))))
    assert [check.name for check in checks if not check.passed] == ["class b"]
    assert checks[0].numbers["difference"] > 0


def test_an_equally_good_candidate_passes_in_19_of_20_tries() -> None:
    generator = np.random.default_rng(0)
    labels, passed = np.arange(5000) % 10, 0
    for _ in range(200):
        rows = [Rows(right=generator.random(5000) < 0.95) for _ in range(2)]
        sliced = [
            Rows(right=one.right, slices={f"class {label}": labels == label for label in range(10)}) for one in rows
        ]
        passed += all(check.passed for check in comparison.rows(*sliced))
    assert passed >= 190


def test_the_rows_of_a_recipe_are_those_of_its_headline() -> None:
    chosen = recipe.load("conv-urnn")
    assert chosen.rows
    predict = gate.Predictor(committed("conv-urnn").graph)
    assert chosen.rows(predict).right.mean() == pytest.approx(committed("conv-urnn").manifest.metrics[0].value)


def test_a_larger_graph_may_be_half_as_large_again() -> None:
    assert gate.more("size", 10e6, 14e6, "bytes", 2**20).passed
    assert not gate.more("size", 10e6, 16e6, "bytes", 2**20).passed
    assert gate.more("size", 1000, 9000, "bytes", 2**20).passed


def test_a_figure_that_is_no_share_is_compared_by_resampling_the_items_of_both() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(2000) % 2
    served = truth + generator.normal(0, 1, 2000)
    young = np.arange(2000) < 200

    def of(given: np.ndarray) -> Scores:
        return Scores(statistic=auc, given=(given,), truth=(truth,), slices={"young": young, "old": ~young})

    same = [check.passed for check in comparison.scores(of(served), of(served + generator.normal(0, 0.01, 2000)))]
    assert same == [True, True, True]
    worse = np.where(young, generator.permutation(served), served)  # only for the young
    found = {check.name: check.passed for check in comparison.scores(of(served), of(worse))}
    assert found == {"paired": False, "young": False, "old": True}


def test_an_equally_good_candidate_passes_the_resampling_in_19_of_20_tries() -> None:
    generator, passed = np.random.default_rng(1), 0
    for _ in range(60):
        errors = [np.abs(generator.normal(0, 1, 300)) for _ in range(2)]
        both = [Scores(statistic=lambda e: float(e.mean()), given=(one,), error=True) for one in errors]
        passed += all(check.passed for check in comparison.scores(*both))
    assert passed >= 57


@pytest.mark.parametrize("name", recipe.names())
def test_a_candidate_of_every_recipe_is_compared_on_the_same_items(name: str) -> None:
    chosen = recipe.load(name)
    assert bool(chosen.rows) != bool(chosen.scores)


@pytest.mark.parametrize(
    "name", ["adult-income", "credit-logistic", "gru", "multilabel", "regularised-mlp", "sine-cosine-rnn"]
)
def test_what_is_resampled_gives_the_figure_of_the_recipe(name: str) -> None:
    chosen, found = recipe.load(name), committed(name)
    assert chosen.scores
    scores = chosen.scores(gate.Predictor(found.graph), chosen.hyper)
    figure = "AUC" if name == "credit-logistic" else found.manifest.metrics[0].name
    metric = next(one for one in found.manifest.metrics if one.name == figure)
    assert scores.value(np.arange(len(scores.given[0]))) == pytest.approx(metric.value, abs=1e-6)


def test_samples_are_judged_one_by_one() -> None:
    """By the first of those that the card counts."""
    for name, asks in (("cvae", True), ("wgan-gp", False)):
        found = committed(name)
        (latent, *_) = recipe.load(name).inputs
        size = int(latent.shape[1])
        rows = generation.rows(gate.Predictor(found.graph), generation.DIGITS, size, asks=asks, count=300)
        assert rows.right.mean() == pytest.approx(found.manifest.metrics[0].value, abs=0.1)
        assert len(rows.slices) == (10 if asks else 0)


@pytest.mark.parametrize("name", ["linear-profit", "polynomial", "sales-forecast", "autoencoder"])
def test_a_worse_model_loses_item_by_item(name: str) -> None:
    chosen, predict = recipe.load(name), gate.Predictor(committed(name).graph)
    assert chosen.scores

    def worse(inputs: Arrays) -> Arrays:
        return {output: 0.8 * values for output, values in predict(inputs).items()}

    served, same, candidate = (chosen.scores(one, chosen.hyper) for one in (predict, predict, worse))
    assert all(check.passed for check in comparison.scores(served, same))
    assert not next(comparison.scores(served, candidate)).passed


def test_a_loss_that_another_seed_may_bring_is_slight() -> None:
    before, after = np.ones(1000, bool), np.arange(1000) >= 10  # a loss of a hundredth
    assert difference(before, after).chance < 0.01
    assert difference(before, after, slight=0.01).chance > 0.5
    assert difference(before, after, slight=0.001).chance < 0.025
    scores = [Scores(statistic=lambda gain: float(gain.mean()), given=(one,), slight=0.1) for one in (before, after)]
    assert next(comparison.scores(*scores)).passed
    strict = [Scores(statistic=lambda gain: float(gain.mean()), given=(one,)) for one in (before, after)]
    assert not next(comparison.scores(*strict)).passed


def test_the_verdict_is_a_page_too(release: Release) -> None:
    candidate = release.home / release.versions[-1]
    checks = (verdict.Check(name="size", passed=True, text="a | b"), verdict.Check(name="tree", passed=False, text="c"))
    verdict.write(candidate, verdict.Verdict(against=None, manifest="0" * 64, when="now", checks=checks))
    lines = (candidate / verdict.PAGE).read_text().splitlines()
    assert lines[-2:] == ["| **BAD** | tree | c |", "| ok | size | a / b |"]
