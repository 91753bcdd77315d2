"""One table of the models of tables: each headline figure beside those of other models on the same rows."""

from collections.abc import Iterator

from service import bundle
from service.bundle import CreditScoring, Manifest, Metric, SalesForecasting, TabularPrediction
from training import recipe
from training.export.store import committed, models_directory
from training.report import card

NAME = "tabular"
HEAD = "model", "rows of", "headline figure, 95 % interval", "others on the same rows", "the source's figure"
MEANING = (
    "Figures with their 95 % intervals, each from the card of its model, which says more of them. The first is ours, "
    "measured on rows that the model does not know; beside it stand other models, trained and measured on the same "
    "rows, which are scikit-learn's where nothing else is said. Made by `python -m training table tabular`."
)


def page() -> str:
    """The document: what its columns mean, and the table."""
    return f"# Models of tables\n\n{MEANING}\n\n{card.table(HEAD, list(rows()))}\n"


def rows() -> Iterator[list[str]]:
    for name in bundle.names(models_directory()):
        manifest = committed(name).manifest
        if isinstance(manifest.task, TabularPrediction | CreditScoring | SalesForecasting):
            own = manifest.metrics[0]
            others = [f"{one.name.removeprefix(own.name)[2:]}: {_value(one)}" for one in rivals(manifest)]
            sources = ", ".join(source.name for source in manifest.provenance.sources) or "made"
            said = (recipe.load(name).source_figure if name in recipe.names() else "") or "none"
            yield [f"[{name}](../models/{name})", sources, card.figure(own), "<br>".join(others), said]


def rivals(manifest: Manifest) -> list[Metric]:
    """The headline figure of other models: named after it, on the same split."""
    own = manifest.metrics[0]
    return [one for one in manifest.metrics if one.name.startswith(f"{own.name}, ") and one.split == own.split]


def _value(metric: Metric) -> str:
    return f"{card.number(metric.value)} [{card.number(metric.low)}, {card.number(metric.high)}]"
