"""Train models and keep their bundles: `python -m training list | data | run | evaluate | card`."""

import argparse
import sys

from service.bundle import CARD, Bundle, BundleError
from training import card, data, evaluation, recipe
from training.export import ExportError, Predictor, committed, export
from training.run import Run, RunError


def list_recipes() -> None:
    """Every recipe with the headline figure of its committed bundle."""
    for name in recipe.names():
        found = recipe.load(name)
        try:
            headline = card.figure(committed(name).manifest.metrics[0])
        except BundleError as error:
            headline = str(error)
        print(f"{name:24} {found.family:10} {headline}\n    {found.description}")


def bring_data(names: list[str]) -> None:
    """Fetch the sources `names`, all of them by default, and say where they are."""
    for name in names or data.SOURCES:
        print(f"{name}: {data.fetch(name).path}")


def train(name: str, device: str, fresh: bool) -> None:
    """Train, export and measure; the new bundle becomes the current one."""
    chosen = recipe.load(name)
    run = Run(name, chosen.hyper, device=device, fresh=fresh)
    written = export(chosen, chosen.train(run), run)
    print(f"{written.path}: {', '.join(card.figure(metric) for metric in written.manifest.metrics)}")


def evaluate(name: str) -> None:
    """Measure the committed bundle again. Exits with 1 when its manifest or card says something else."""
    chosen, found = recipe.load(name), committed(name)
    measured = chosen.evaluate(Predictor(found.graph), chosen.hyper).metrics
    wrong = evaluation.differences(found.manifest.metrics, measured)
    if found.card != _render(found):
        wrong.append(f"{found.path / CARD} is not what the manifest says: python -m training card {name}")
    for metric in measured:
        print(card.figure(metric))
    if wrong:
        sys.exit(f"{name} is not what its bundle says: {'; '.join(wrong)}")


def render_card(name: str) -> None:
    """Write the committed bundle's card again from its manifest."""
    recipe.load(name)
    found = committed(name)
    (found.path / CARD).write_text(_render(found), encoding="utf-8")
    print(found.path / CARD)


def _render(found: Bundle) -> str:
    return card.render(found.manifest, recipe.load(found.manifest.name).about, card.pictures_in(found.path))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    listing = commands.add_parser("list", help="the recipes and their figures")
    listing.set_defaults(action=list_recipes)
    fetching = commands.add_parser("data", help="fetch data sources, all by default")
    fetching.add_argument("names", nargs="*", metavar="NAME")
    fetching.set_defaults(action=bring_data)
    running = commands.add_parser("run", help="train a recipe and write its bundle; goes on where it was stopped")
    running.add_argument("name", metavar="NAME")
    running.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    running.add_argument("--fresh", action="store_true", help="start over instead of going on")
    running.set_defaults(action=train)
    for action, name, text in (
        (evaluate, "evaluate", "measure a committed bundle again and compare"),
        (render_card, "card", "write a bundle's card again"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("name", metavar="NAME")
        command.set_defaults(action=action)
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = vars(_parser().parse_args(arguments))
    action = options.pop("action")
    try:
        action(**options)
    except (recipe.RecipeError, RunError, ExportError, BundleError, data.DataError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on after the last finished epoch")


if __name__ == "__main__":
    main()
