"""The model card: a bundle's manifest and pictures as a page for people (Mitchell et al., FAT* 2019)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.bundle import Manifest, Metric, Tensor
from training.report.repeats import Repeats

FIRST_PICTURE = "learning-curve.png"


def render(manifest: Manifest, about: str, pictures: Sequence[str], repeats: Repeats | None = None) -> str:
    """The card as Markdown. `about` is the header of the recipe; `pictures` are files beside the card."""
    made = manifest.provenance
    sections = [
        f"# {manifest.name}",
        manifest.description,
        f"Family: {manifest.family}. Task: {manifest.task.kind}. Version: {manifest.version}. "
        f"ONNX opset {manifest.opset}.",
        "## Held-out figures",
        table(("figure", "value", "95 % interval", "samples", "split", ""), [_metric_row(m) for m in manifest.metrics]),
        *(f"![{caption(picture)}]({picture})" for picture in pictures),
        *(["## Repeated", repeated(repeats)] if repeats else []),
        *(["## In a shorter precision", shortened(manifest)] if manifest.precisions else []),
        "## What goes in and out",
        table(
            ("tensor", "type", "unit", "range", ""),
            [_tensor_row("in", t) for t in manifest.inputs] + [_tensor_row("out", t) for t in manifest.outputs],
        ),
        "## How it was made",
        f"```text\n{about}\n```",
        table(
            ("", ""),
            [
                ("recipe", f"`{made.recipe}`"),
                ("command", f"`{made.command}`"),
                ("git commit", made.git_commit),
                *([("git hash of the recipe", made.recipe_hash)] if made.recipe_hash else []),
                *([("exported at", made.exported_at)] if made.exported_at else []),
                *([("weights of", f"version {made.exported_from.version}")] if made.exported_from else []),
                *([("began with", f"{made.start.version}, graph sha256 `{made.start.sha256}`")] if made.start else []),
                ("training time", f"{made.seconds:.0f} s on {made.device}"),
                ("hyper-parameters", _settings(made.hyperparameters)),
                ("libraries", ", ".join(f"{name} {version}" for name, version in made.libraries.items())),
            ],
        ),
        "## Data",
        *(
            f"- **{s.name}**: {s.address}. Licence: {s.licence}. From {s.package}, sha256 `{s.sha256}`"
            for s in made.sources
        ),
    ]
    return "\n\n".join(sections) + "\n"


def repeated(repeats: Repeats) -> str:
    """What several seeds and variants gave, as Markdown."""
    seeds = [f"seed {seed}" for seed in repeats.seeds]
    rows = [
        (t.name, _settings(t.changes), *(f"{v:.4g}" for v in t.values), f"**{t.mean:.4g}**", f"{t.deviation:.2g}")
        for t in repeats.trainings
    ]
    lines = [
        f"`{repeats.command}`: {repeats.metric}{f' in {repeats.unit}' if repeats.unit else ''}.",
        table(("training", "changed", *seeds, "mean", "standard deviation"), rows),
    ]
    for d in repeats.differences:
        interval = f"95 % interval {d.low:+.2g} to {d.high:+.2g}"
        lines.append(f"{d.name}: {d.mean:+.2g}, {interval} (Student's t, paired by seed).")
    return "\n\n".join(lines)


def shortened(manifest: Manifest) -> str:
    """What comes of the headline figure where `QUARTET_PRECISION` shortens the arithmetic, as Markdown."""
    head = "precision", "figure", "95 % interval", "samples", "furthest from single precision, by output", "measured on"
    rows = []
    for name, one in manifest.precisions.items():
        off = ", ".join(f"`{output}` {number(most)}" for output, most in one.difference.items())
        where = one.provider if one.device == one.provider else f"{one.provider}, {one.device}"
        metric = one.metric
        figures = f"{metric.name} **{number(metric.value)}**{_unit(metric)}", _interval(metric), f"{metric.count:,}"
        rows.append((name, *figures, off, where))
    return table(head, rows)


def caption(picture: str) -> str:
    return Path(picture).stem.replace("-", " ").capitalize()


def pictures_in(folder: Path) -> list[str]:
    """The pictures of a bundle in the order of the card: the learning curve first."""
    return sorted((path.name for path in folder.glob("*.png")), key=lambda name: (name != FIRST_PICTURE, name))


def figure(metric: Metric) -> str:
    """A figure in one line, as `training list` shows it."""
    low, high = number(metric.low), number(metric.high)
    return f"{metric.name} {number(metric.value)}{_unit(metric)} [{low}, {high}]"


def number(value: float) -> str:
    """Four digits; whole numbers from ten thousand on."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _metric_row(metric: Metric) -> tuple[str, ...]:
    value = f"**{number(metric.value)}**{_unit(metric)}"
    return metric.name, value, _interval(metric), f"{metric.count:,}", metric.split, metric.description


def _interval(metric: Metric) -> str:
    return f"{number(metric.low)} to {number(metric.high)}"


def _tensor_row(side: str, tensor: Tensor) -> tuple[str, ...]:
    shape = ", ".join(str(axis) for axis in tensor.shape)
    span = f"{tensor.range[0]:g} to {tensor.range[1]:g}" if tensor.range else ""
    return f"{side} `{tensor.name}`", f"{tensor.dtype} [{shape}]", tensor.unit, span, tensor.description


def _settings(hyperparameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in hyperparameters.items())


def _unit(metric: Metric) -> str:
    return f" {metric.unit}" if metric.unit else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
