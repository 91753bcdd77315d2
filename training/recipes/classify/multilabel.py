"""Which of 19 species of birds sing in ten seconds of a forest, several of them at once or none.

Model: two halves, whose probabilities are averaged. One has the 260 measures of the sound each by the bins that it
fills, then four small networks with a sigmoid for each species; binary cross-entropy and dropout, for there are more
measures than recordings. The other has them by their ranks and is linear, with a penalty on its weights.
Source: Deep Learning basics, several labels per input with sigmoid outputs and binary cross-entropy; any real set.
Why this one: it is a benchmark of classification with several labels, its labels were heard by people and not derived,
and it has a published split; other tables at hand have labels that exclude each other or that nothing foretells.
Data: 645 recordings of H. J. Andrews forest, Oregon (Briggs et al., MLSP 2013 challenge), 322 to train on and 323 held
out, as Mulan publishes them; a licence is not stated. Nearly half have none of the birds.
Expected: mean AUC of the species 0.85; logistic regression for each species comes to 0.86 and a forest to 0.85. In
five folds of the training set, which chose the threshold, the penalty and the settings of the network, the network has
0.780, the linear half 0.791 and both together 0.810.
Run time: two minutes on one core.
Limits: 19 birds of one forest in two summers, and microphones that were used there. Of some species fewer than ten
recordings are held out. The measures come from a program that the challenge brought, not from this service.
"""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer
from torch import Tensor, nn

from service.bundle import Arrays, Metric, TabularPrediction
from service.bundle import Tensor as Signature
from training.data.birds import MEASURES, SPECIES, Recordings, bird_recordings
from training.data.given import replaceable
from training.given.tables import table
from training.kinds import rows, tabular
from training.kinds.rows import Hyper
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, bootstrapped
from training.measures.paired import Scores
from training.measures.scoring import auc
from training.networks.rows import NormalScores, RowNetwork
from training.recipe import Recipe
from training.report.pictures import BLUE, ORANGE, png
from training.run import Run

# B or N recordings, A = 260 measures, L = 19 species

THRESHOLD = 0.25
FOLDS = 5
LINEAR_PENALTY = 10.0
NEVER = -6.0  # log-odds
HYPER = Hyper(epochs=100, batch=32, learning_rate=0.005, weight_decay=0.1, members=4, hidden=32, dropout=0.3, bins=4)


@replaceable
@cache
def recordings() -> tuple[Recordings, Recordings]:
    return bird_recordings()


def sides(x: NDArray[np.float64], y: NDArray[np.float64], held: NDArray[np.bool_]) -> tuple[Recordings, Recordings]:
    """Of recordings from outside: each species is a column, 1 where it was heard."""
    every = Recordings(x.astype(np.float32), (y > 0).astype(np.float32))
    return every[np.flatnonzero(~held)], every[np.flatnonzero(held)]


class Halves(nn.Module):
    """Recordings [B, A] to the probability of each species [B, L]."""

    def __init__(self, network: RowNetwork, known: Recordings) -> None:
        super().__init__()
        self.labels, self.scores = rows.Labels(network), NormalScores(known.rows)
        self.linear = nn.Linear(len(MEASURES), len(SPECIES))
        x_NA = self.scores(torch.from_numpy(known.rows)).numpy()
        weights, biases = zip(*(_linear(x_NA, heard_N) for heard_N in known.heard.T), strict=True)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(np.array(weights)))
            self.linear.bias.copy_(torch.tensor(biases))

    def forward(self, row: Tensor) -> Tensor:
        probability_BL: Tensor = (self.labels(row) + torch.sigmoid(self.linear(self.scores(row)))) / 2
        return probability_BL


def _linear(x_NA: NDArray[np.float32], heard_N: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of logistic regression; of a species that was never heard, those of its share."""
    if not heard_N.any():
        return np.zeros(x_NA.shape[1]), NEVER
    model = LogisticRegression(C=1 / LINEAR_PENALTY, max_iter=2000).fit(x_NA, heard_N)
    return model.coef_[0], float(model.intercept_[0])


def fit(run: Run[Hyper], known: Recordings) -> Halves:
    network = rows.fit(run, MEASURES, known.rows, known.heard, rows.binary_loss, len(SPECIES))
    return Halves(network.cpu(), known)


def train(run: Run[Hyper]) -> nn.Module:
    return fit(run, recordings()[0])


def macro_auc(probability_NL: NDArray[np.floating], heard_NL: NDArray[np.floating]) -> float:
    """The mean AUC of the species that were heard and were not always heard."""
    told = (heard_NL.sum(0) > 0) & (heard_NL.sum(0) < len(heard_NL))
    ranks_NL = rankdata(probability_NL[:, told], axis=0)
    events_L = heard_NL[:, told].sum(0)
    excess_L = (ranks_NL * heard_NL[:, told]).sum(0) - events_L * (events_L + 1) / 2
    return float((excess_L / (events_L * (len(heard_NL) - events_L))).mean())


def micro_f1(
    probability_NL: NDArray[np.floating], heard_NL: NDArray[np.floating], threshold: float = THRESHOLD
) -> float:
    named_NL = probability_NL >= threshold
    return float(2 * (named_NL * heard_NL).sum() / max(1, named_NL.sum() + heard_NL.sum()))


@cache
def rivals() -> dict[str, NDArray[np.floating]]:
    """Probabilities [N, L] of the held-out recordings by scikit-learn, a model for each species."""
    known, held = recordings()
    models = {
        "logistic": make_pipeline(
            QuantileTransformer(n_quantiles=50, output_distribution="normal"), LogisticRegression(C=0.01, max_iter=2000)
        ),
        "forest": RandomForestClassifier(200, min_samples_leaf=2, random_state=0),
    }
    return {
        name: np.column_stack([model.fit(known.rows, heard).predict_proba(held.rows)[:, 1] for heard in known.heard.T])
        for name, model in models.items()
    }


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    known, held = recordings()
    probability = predict({"row": held.rows})["probabilities"].astype(np.float64)
    others = rivals()
    exact = ((probability >= THRESHOLD) == held.heard).all(1)
    return Evaluation(
        metrics=(
            _macro("mean AUC of the species", probability, held.heard),
            *(_macro(f"mean AUC of the species, {name}", one, held.heard) for name, one in others.items()),
            *(
                bootstrapped(
                    f"mean AUC less that of {name}",
                    lambda p, q, heard: macro_auc(p, heard) - macro_auc(q, heard),
                    probability,
                    one,
                    held.heard,
                    resamples=500,
                    description="on the same recordings",
                )
                for name, one in others.items()
            ),
            bootstrapped("F1", micro_f1, probability, held.heard, description=f"all labels, at {THRESHOLD}"),
            bootstrapped(
                "Hamming loss",
                lambda p, heard: float(((p >= THRESHOLD) != heard).mean()),
                probability,
                held.heard,
                description=f"share of wrong labels; {held.heard.mean():.3f} where none is ever named",
            ),
            bootstrapped("exact", np.mean, exact, description="share of recordings with all labels right"),
        ),
        pictures={"auc-by-species": draw(probability, others, held.heard)},
        reference=rows.reference(MEASURES, known.rows),
    )


def _macro(name: str, probability_NL: NDArray[np.floating], heard_NL: NDArray[np.floating]) -> Metric:
    return bootstrapped(
        name,
        macro_auc,
        probability_NL,
        heard_NL,
        resamples=500,
        description=f"area under the ROC curve, the mean of {len(SPECIES)}",
    )


def chosen_by(predict: Predict, hyper: Hyper) -> list[Metric]:
    """What five folds of the training set say of the settings and of each threshold."""
    known, _ = recordings()
    probability = np.zeros(known.heard.shape)
    for fold, (some, rest) in enumerate(KFold(FOLDS, shuffle=True, random_state=hyper.seed).split(known.rows)):
        model = fit(Run(f"multilabel/folds/{fold}", hyper, fresh=True), known[some]).eval()
        with torch.no_grad():
            probability[rest] = model(torch.from_numpy(known.rows[rest])).numpy()
    split = f"{FOLDS} folds of training"
    return [
        bootstrapped("mean AUC of the species", macro_auc, probability, known.heard, resamples=200, split=split),
        *(
            bootstrapped(
                f"F1 at {threshold}",
                lambda p, heard, at=threshold: micro_f1(p, heard, at),
                probability,
                known.heard,
                resamples=200,
                split=split,
            )
            for threshold in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)
        ),
    ]


def draw(
    probability: NDArray[np.floating], others: dict[str, NDArray[np.floating]], heard: NDArray[np.floating]
) -> bytes:
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.subplots()
    names = [f"{name} ({int(count)})" for name, count in zip(SPECIES, heard.sum(0), strict=True)]
    for (name, values), colour in zip(
        {"this model": probability, **others}.items(), (BLUE, ORANGE, "grey"), strict=True
    ):
        areas = [auc(values[:, i], heard[:, i]) for i in range(len(SPECIES))]
        axes.plot(areas, names, "o" if colour == BLUE else "x", color=colour, label=name)
    axes.set(xlabel="AUC; behind each species, how many recordings are held out")
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def scores(predict: Predict, hyper: Hyper) -> Scores:
    _, held = recordings()
    given = predict({"row": held.rows})["probabilities"].astype(np.float64)
    return Scores(statistic=macro_auc, given=(given,), truth=(held.heard,), items="recordings")


def spot_check(predict: Predict) -> Metric:
    _, held = recordings()
    return _macro(
        "mean AUC of the species", predict({"row": held.rows})["probabilities"].astype(np.float64), held.heard
    )


def examples() -> Arrays:
    """Four recordings with one bird or more."""
    _, held = recordings()
    return {"row": held.rows[np.flatnonzero(held.heard.sum(1) > 1)[:4]]}


RECIPE = Recipe(
    description="Which of 19 species of birds sing in a recording of a forest, from 260 measures of its sound.",
    task=TabularPrediction(attributes=MEASURES, labels=SPECIES, thresholds=(THRESHOLD,) * len(SPECIES)),
    hyper=HYPER,
    sources=("birds",),
    inputs=(tabular.row_of(MEASURES),),
    outputs=(
        Signature(
            name="probabilities",
            dtype="float32",
            shape=("batch", len(SPECIES)),
            range=(0, 1),
            description="of each label by itself",
        ),
    ),
    given=table(recordings, MEASURES, SPECIES, sides),
    train=train,
    evaluate=evaluate,
    examples=examples,
    training_outputs=outputs.of_rows("row", lambda: recordings()[0].rows),
    chosen_by=chosen_by,
    spot_check=spot_check,
    scores=scores,
    source_figure="none reported",
)
