"""The gate: every check of a candidate, beside the served version where there is one, and the verdict."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from statistics import median
from time import process_time
from typing import Any

from service.bundle import MANIFEST, Bundle, BundleError, Metric, file_sha256, rows_of
from service.engine.session import Session
from service.engine.trial import Trials
from service.metrics import Metrics
from service.release import Release
from service.release.ledger import written
from service.release.verdict import Check, Verdict
from service.settings import Settings
from training.commit import HASH
from training.export.parity import Predictor
from training.gate import comparison
from training.measures.evaluation import differences
from training.recipe import Recipe
from training.run import recorded

MORE = 1.5  # how many times the size, the latency and the memory of the served version are allowed
RUNS, SLIGHT_S, SLIGHT_BYTES = 31, 1e-4, 2**20  # below which more is no harm


def judge(recipe: Recipe[Any], release: Release, version: str) -> Verdict:
    """Raises BundleError where one of the two versions cannot be read."""
    against, candidate = release.served, Bundle(release.home / version)
    served = Bundle(release.home / against) if against else None
    checks = [*checks_of(recipe, served, candidate)]
    manifest = file_sha256(candidate.path / MANIFEST)
    return Verdict(against=against, manifest=manifest, when=written(datetime.now(UTC)), checks=tuple(checks))


def checks_of(recipe: Recipe[Any], served: Bundle | None, candidate: Bundle) -> Iterator[Check]:
    """Without the first nothing else can be measured."""
    reason, size = trial(candidate)
    if reason:
        yield Check(name="golden parity", passed=False, text=reason)
        return
    yield Check(name="golden parity", passed=True, text="loads, and reproduces its golden outputs")
    measured = recipe.evaluate(Predictor.of(candidate), recipe.hyper).metrics
    yield from alone(recipe, candidate, measured)
    if served:
        yield from beside(recipe, served, candidate, measured)
        yield more("memory", trial(served)[1], size, "bytes", SLIGHT_BYTES)


def alone(recipe: Recipe[Any], candidate: Bundle, measured: tuple[Metric, ...]) -> Iterator[Check]:
    """What a candidate must be whatever is served."""
    wrong = "; ".join(differences(candidate.manifest.metrics, measured))
    yield Check(name="figures", passed=not wrong, text=wrong or "measured again, they are those of its manifest")
    yield provenance(recipe, candidate)
    made = candidate.manifest.provenance
    commits = [made.git_commit, *([made.exported_at] if made.exported_at else [])]
    clean = all(HASH.fullmatch(commit) for commit in commits)
    advice = "" if clean else ": commit, and train with --fresh"
    yield Check(name="tree", passed=clean, text=f"made at {', '.join(commits)}{advice}")


def provenance(recipe: Recipe[Any], candidate: Bundle) -> Check:
    """Whether the manifest tells all that the recipe says, and what the licences are."""
    made = candidate.manifest.provenance
    missing = [f"no licence of {source.name}" for source in made.sources if not source.licence.strip()]
    if tuple(source.name for source in made.sources) != recipe.sources:
        missing.append("other sources than the recipe's")
    if recipe.data and recipe.data.source not in made.sources:
        missing.append("other data than is given now")
    if made.hyperparameters != recorded(recipe.hyper_from(made.start)):
        missing.append("other hyper-parameters than the recipe's")
    text = "; ".join(missing) or "sources, licences and hyper-parameters are those of the recipe"
    return Check(name="provenance", passed=not missing, text=text)


def beside(recipe: Recipe[Any], served: Bundle, candidate: Bundle, measured: tuple[Metric, ...]) -> Iterator[Check]:
    """What must not be worse than in the served version, which is measured by the same recipe."""
    predict = Predictor.of(served)
    yield from comparison.figures(recipe.evaluate(predict, recipe.hyper).metrics, measured)
    if recipe.rows:
        yield from comparison.rows(recipe.rows(predict), recipe.rows(Predictor.of(candidate)))
    if recipe.scores:
        both = (recipe.scores(one, recipe.hyper) for one in (predict, Predictor.of(candidate)))
        yield from comparison.scores(*both)
    yield more("size", served.graphs_size, candidate.graphs_size, "bytes", SLIGHT_BYTES)
    yield more("latency", *latencies(served, candidate), "s of the processor", SLIGHT_S)


def trial(bundle: Bundle) -> tuple[str, int]:
    """What is wrong with a version by the process that tries it, and the bytes that its sessions take."""
    found = Trials(Settings.from_environment(), Metrics()).verdict("", bundle.path)
    return found.reason, found.size


def latencies(served: Bundle, candidate: Bundle) -> tuple[float, float]:
    """The median time of one golden row of each, taken by turns."""
    runs = [_run(bundle) for bundle in (served, candidate)]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        for run, taken in zip(runs, seconds, strict=True):
            started = process_time()
            run()
            taken.append(process_time() - started)
    return median(seconds[0]), median(seconds[1])


def _run(bundle: Bundle) -> Callable[[], Any]:
    session, row = Session(bundle, "cpu", 1), rows_of(bundle.golden()[0])[0]
    return lambda: session.run(row)


def more(name: str, before: float, after: float, unit: str, slight: float) -> Check:
    allowed = max(MORE * before, before + slight)
    text = f"{after:.4g} {unit}, served {before:.4g}; it may be {allowed:.4g}"
    numbers = {"candidate": after, "served": before, "allowed": allowed}
    return Check(name=name, passed=after <= allowed, text=text, numbers=numbers)


def latest(release: Release) -> str:
    """The newest version that is not the served one. Raises BundleError where there is none."""
    others = [version for version in release.versions if version != release.served]
    if not others:
        raise BundleError(f"{release.name} has no candidate: python -m training run {release.name}")
    return others[-1]
