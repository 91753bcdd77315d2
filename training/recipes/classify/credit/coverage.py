"""What the interval of a probability holds, in worlds whose probabilities are known.

True probabilities of real applicants are not known. So outcomes of real applicants are drawn by those of a model, the
whole training is done with them, the choice of the penalty included, and the intervals of applicants that it does not
know are compared with the probabilities that made their outcomes. A penalty draws every probability to the mean, which
resampling does not see: intervals are widened by as much as such worlds need, and judged in others.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.ensemble import GradientBoostingClassifier

from service.bundle import Metric
from training.data.german import applicants
from training.kinds.additive import Shapes, choose, fit
from training.kinds.resampled import LEVEL, ends, resample
from training.measures.evaluation import clustered

ADDITIVE, BOOSTED = "additive worlds", "worlds of a boosting of depth 3"
WORLD_PENALTY = 4.0  # the least that is chosen from

# W worlds, N applicants, H of them held out


def truth(shapes: Shapes, world: str) -> NDArray[np.float64]:
    """The probability that each of all applicants has in such a world [N]."""
    everyone = applicants()
    if world == BOOSTED:
        model = GradientBoostingClassifier(n_estimators=60, learning_rate=0.05, max_depth=3, random_state=0)
        return np.asarray(model.fit(everyone.attributes, everyone.default).predict_proba(everyone.attributes)[:, 1])
    steps = shapes.steps(everyone.attributes)
    return np.asarray(expit(fit(steps, everyone.default, shapes, WORLD_PENALTY).logit(steps)))


def needed(shapes: Shapes, world: str, worlds: int, resamples: int, held_out: int, seed: int) -> NDArray[np.float64]:
    """How many times as wide each interval would have to be to hold the truth [W, H]."""
    steps, generator = shapes.steps(applicants().attributes), np.random.default_rng(seed)
    truth_N = truth(shapes, world)
    held_out = min(held_out, len(truth_N) // 5)
    found_WH = np.empty((worlds, held_out))
    for row in found_WH:
        drawn = (generator.random(len(truth_N)) < truth_N).astype(np.int64)
        unseen, known = np.split(generator.permutation(len(truth_N)), [held_out])
        choice = choose(steps[known], drawn[known], shapes, seed)
        model = fit(steps[known], drawn[known], shapes, choice.penalty)
        spread = resample(steps[known], drawn[known], shapes, choice.penalty, resamples, seed)
        low, high = ends(choice.slope * spread.logit(steps[unseen]))
        off = logit(truth_N[unseen]) - choice.slope * model.logit(steps[unseen]) - choice.offset
        row[:] = np.where(off < 0, off / np.minimum(low, -1e-9), off / np.maximum(high, 1e-9))
    return found_WH


def widening(shapes: Shapes, worlds: int, resamples: int, held_out: int, seed: int) -> float:
    """How many times as wide as the resampled models say the interval is made."""
    return float(max(1, np.quantile(needed(shapes, ADDITIVE, worlds, resamples, held_out, seed + 1), LEVEL)))


def coverage(
    factor: float, shapes: Shapes, world: str, worlds: int, resamples: int, held_out: int, seed: int
) -> Metric:
    """Of intervals that are made wider by the factor."""
    return clustered(
        f"coverage of the interval, {world}",
        needed(shapes, world, worlds, resamples, held_out, seed) <= factor,
        split=f"{worlds} drawn worlds",
        description=f"meant: {LEVEL:.0%} of the probabilities that made the outcomes; {factor:.2f} times as wide as "
        "resampling alone says",
    )
