"""The credit recipe: its 24 columns are Statlog's, and its scores those of a logistic regression."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from service.bundle import Attribute
from training.data.german import ATTRIBUTES, applicants, german_credit
from training.kinds import credit
from training.kinds.credit import THRESHOLD, NumericColumns, split
from training.measures.scoring import auc, cross_validated_auc
from training.recipes.classify import credit_logistic
from training.recipes.classify.credit_logistic import HYPER, RECIPE, Scorecard
from training.run import Run


@pytest.fixture(scope="module")
def scorecard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorecard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTET_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield credit_logistic.train(Run("credit-logistic", HYPER)).eval()


def numeric_columns() -> NDArray[np.float64]:
    """The 24 columns straight from the recorded codes, as the Statlog project's numeric table has them."""
    table = np.array([list(row.values()) for row in german_credit()])

    def ordinal(attribute: int) -> NDArray[np.float64]:
        return np.array([float(code.removeprefix(f"A{attribute}")) for code in table[:, attribute - 1]])

    def number(attribute: int) -> NDArray[np.float64]:
        return table[:, attribute - 1].astype(float)

    def indicator(attribute: int, code: str) -> NDArray[np.float64]:
        return (table[:, attribute - 1] == code).astype(float)

    return np.column_stack(
        [
            *(ordinal(1), number(2), ordinal(3), np.rint(number(5) / 100), ordinal(6), ordinal(7), ordinal(9)),
            *(number(11), ordinal(12), number(13), ordinal(14), number(16), number(18), ordinal(19), ordinal(20)),
            *(indicator(4, "A40"), indicator(4, "A41"), indicator(10, "A101"), indicator(10, "A102")),
            *(indicator(15, "A151"), indicator(15, "A152")),
            *(indicator(17, "A171"), indicator(17, "A172"), indicator(17, "A173")),
        ]
    )


def test_the_24_columns_are_those_of_the_statlog_project() -> None:
    columns = NumericColumns()(torch.from_numpy(applicants().attributes)).numpy()
    assert columns.shape == (1000, 24)
    assert np.array_equal(columns, numeric_columns())


def test_the_first_applicant_has_the_published_numbers() -> None:
    published = [1, 6, 4, 12, 5, 5, 3, 4, 1, 67, 3, 2, 1, 2, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1]
    assert NumericColumns()(torch.from_numpy(applicants().attributes[:1]))[0].tolist() == published


def test_attributes_are_the_twenty_of_the_table_in_its_order() -> None:
    assert [attribute.name for attribute in ATTRIBUTES] == list(german_credit()[0])[:20]


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda attribute: attribute.name)
def test_every_recorded_value_is_allowed_and_every_value_has_one_code(attribute: Attribute) -> None:
    recorded = {row[attribute.name] for row in german_credit()}
    if attribute.range:
        low, high = attribute.range
        assert all(low <= float(value) <= high for value in recorded)
    else:
        assert recorded <= set(attribute.codes)
        assert len(set(attribute.codes)) == len(set(attribute.values)) == len(attribute.codes)


def test_better_standing_with_the_bank_means_less_risk(scorecard: Scorecard) -> None:
    rows = split(HYPER.held_out, HYPER.seed)[1].attributes[:1].repeat(4, axis=0)
    account = [attribute.name for attribute in ATTRIBUTES].index("checking_account")
    rows[:, account] = [
        ATTRIBUTES[account].values.index(value) for value in ("below_0", "0_to_200", "200_or_more", "none")
    ]
    below, little, plenty, none = scorecard(torch.from_numpy(rows)).tolist()
    assert none > below > little > plenty


def test_scores_are_those_of_scikit_learn(scorecard: Scorecard) -> None:
    known, held_out = split(HYPER.held_out, HYPER.seed)
    columns = NumericColumns()
    other = make_pipeline(StandardScaler(), LogisticRegression(C=1e6))
    other.fit(columns(torch.from_numpy(known.attributes)).numpy(), known.default)
    theirs = other.predict_proba(columns(torch.from_numpy(held_out.attributes)).numpy())[:, 1]
    with torch.no_grad():
        ours = scorecard(torch.from_numpy(held_out.attributes)).numpy()
    assert auc(ours, held_out.default) == pytest.approx(auc(theirs, held_out.default), abs=0.01)
    assert ours == pytest.approx(theirs, abs=0.01)


def test_models_trained_side_by_side_equal_models_trained_alone() -> None:
    known, _ = split(HYPER.held_out, HYPER.seed)
    risk, unseen = credit_logistic.cross_validate(known, credit_logistic.Hyper(folds=3, repetitions=1))
    columns = NumericColumns()(torch.from_numpy(known.attributes)).double().numpy()
    for probability, held in zip(risk, unseen, strict=True):
        alone = make_pipeline(StandardScaler(), LogisticRegression(C=1e6))
        alone.fit(columns[~held], known.default[~held])
        assert probability == pytest.approx(alone.predict_proba(columns)[:, 1], abs=0.01)
    assert (unseen.sum(0) == 1).all(), "every applicant is left out once"


def test_the_split_is_stratified_disjoint_and_the_same_each_time() -> None:
    known, held_out = split(HYPER.held_out, HYPER.seed)
    assert (len(known), len(held_out)) == (900, 100)
    assert (int(known.default.sum()), int(held_out.default.sum())) == (270, 30)
    assert len(np.unique(np.concatenate([known.attributes, held_out.attributes]), axis=0)) == 1000
    assert np.array_equal(split(HYPER.held_out, HYPER.seed)[1].attributes, held_out.attributes)


def test_the_threshold_is_where_approving_and_refusing_cost_the_same() -> None:
    assert pytest.approx(1 - THRESHOLD) == 5 * THRESHOLD
    assert RECIPE.task.decision_threshold == THRESHOLD


def test_cost_charges_five_for_a_missed_default_and_one_for_a_refused_good_customer() -> None:
    risk = np.array([0.1, 0.1, 0.9, 0.9])
    assert credit.cost(risk, np.array([1, 0, 1, 1])) == 5 / 4
    assert credit.cost(risk, np.array([0, 0, 0, 1])) == 1 / 4


def test_the_reference_counts_every_training_applicant_in_every_attribute() -> None:
    known, _ = split(HYPER.held_out, HYPER.seed)
    histograms = list(credit.reference(known.attributes))
    names = [attribute.name for attribute in ATTRIBUTES]
    assert [histogram.feature for histogram in histograms] == names
    assert all(sum(histogram.counts) == 900 for histogram in histograms)


def test_a_cross_validated_interval_is_wider_than_that_of_independent_folds() -> None:
    generator = np.random.default_rng(0)
    event = generator.integers(0, 2, 200)
    unseen = np.tile(np.eye(10, dtype=bool).repeat(20, axis=1), (3, 1))
    probability = event * 0.3 + generator.random((30, 200))
    metric = cross_validated_auc(probability, unseen, event, split="3 x 10 folds", description="of models")
    naive = 1.96 * np.std([auc(p[u], event[u]) for p, u in zip(probability, unseen, strict=True)]) / 30**0.5
    assert metric.low < metric.value - 2 * naive
    assert metric.count == 200
    aucs = [auc(p[u], event[u]) for p, u in zip(probability, unseen, strict=True)]
    assert metric.description == f"of models; standard deviation over the 30 splits {np.std(aucs, ddof=1):.2g}"
