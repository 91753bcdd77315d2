"""Train models and keep their bundles: `python -m training COMMAND`, one of those below."""

import argparse
import shlex
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

try:
    import numpy as np

    from service.bundle import CARD, CURRENT, MANIFEST, Bundle, BundleError
    from service.bundle import names as bundles
    from training import convert as conversion
    from training import data as sources
    from training import importing, processes, recipe
    from training.commit import kept
    from training.export import store
    from training.export.graph import ExportError
    from training.export.parity import Predictor
    from training.export.precision import PRECISIONS, PROVIDERS, measured
    from training.export.store import committed, export, models_directory
    from training.measures import canvas, evaluation, scenes
    from training.report import card, filters, repeats, table, tabular
    from training.retraining import Retraining
    from training.run import Run, RunError, recorded
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] in ("service", "training"):
        raise
    sys.exit(f"training needs {missing.name}, which serving does without: pip install --editable '.[train]'")


def list_recipes() -> None:
    """Every recipe, family by family, with the headline figure of its committed bundle."""
    recipes = sorted((recipe.load(name) for name in recipe.names()), key=lambda found: (found.family, found.name))
    for family, members in groupby(recipes, key=lambda found: found.family):
        print(f"\n{family}")
        for found in members:
            print(f"  {found.name:24} {_headline(found.name)}\n    {found.description}")


def _headline(name: str) -> str:
    try:
        return card.figure(committed(name).manifest.metrics[0])
    except BundleError as error:
        return str(error)


def bring_data(names: list[str]) -> None:
    """Fetch the sources `names`, all of them by default, and say where they are."""
    for name in names or sources.SOURCES:
        print(f"{name}: {sources.fetch(name).path}")


def train(name: str, data: Path | None, device: str, fresh: bool, start: str | None, promote: bool) -> None:
    """Train, export and measure; the new bundle is a candidate, or with `promote` the version that is served."""
    with processes.joined(device):
        chosen = _with_report(name, data)
        begun = None if start is None else _begun(chosen, start)
        run = Run(chosen.run_name, chosen.hyper_from(begun), device=device, fresh=fresh, start=begun)
        module, writes = chosen.train(run), processes.first()
    if writes:
        _offer(export(chosen, module, run), promote, data)


def _with_report(name: str, data: Path | None) -> recipe.Recipe[Any]:
    """The recipe, and on the screen what was found in data from outside."""
    chosen = recipe.load(name, data)
    if chosen.data and processes.first():
        print(chosen.data.report, flush=True)
    return chosen


def _offer(candidate: Bundle, promote: bool, data: Path | None = None) -> None:
    """Show its figures; with `promote`, serve it if it passes its gate."""
    name, version = candidate.manifest.name, candidate.manifest.version
    print(f"{candidate.path}: {', '.join(card.figure(metric) for metric in candidate.manifest.metrics)}")
    if not promote:
        given = ["--data", str(data)] if data else []
        print("nothing that is served has changed; to serve it:")
        print(f"  python -m training gate {shlex.join([name, version, *given])}")
        print(f"  python -m service release promote {name} {version}")
        return
    gate(name, version, data)
    from service.release import Release, whoever

    Release(models_directory(), name).promote(version, whoever(), "python -m training --promote")
    print(f"{name} {version} is served now")


def gate(name: str, version: str | None, data: Path | None) -> None:
    """Judge a candidate, the latest by default, beside what is served. Exits with 1 where it has not passed."""
    from service.release import Release, verdict  # what a training imports counts as what made its bundle
    from training.gate.gate import judge, latest

    chosen, release = recipe.load(name, data), Release(models_directory(), name)
    version = version or latest(release)
    found = judge(chosen, release, version)
    verdict.write(release.home / version, found)
    print(f"{name} {version} beside {found.against or 'nothing'}\n{found.text}")
    if not found.passed:
        sys.exit(f"{name} {version} has not passed its gate")


def _begun(chosen: recipe.Recipe[Any], start: str) -> Bundle:
    """The version whose weights a training is to begin with, or the current one."""
    if not chosen.warm:
        raise RunError(f"{chosen.name} always begins with random weights: leave --from out")
    return committed(chosen.name) if start == CURRENT else Bundle(models_directory() / chosen.name / start)


def repeat(name: str, epochs: int | None, **options: Any) -> None:
    """Train under several seeds, in every variant; what came of it goes into the bundle's folder and its card.

    With a number of `epochs` it is a trial: the bundle is another training's, and what came of it is only printed.
    """
    result = Retraining(recipe=recipe.load(name), epochs=epochs, **options).repeat()
    if epochs is None:
        repeats.write(committed(name).path, result)
        render_card(name)
    print(card.repeated(result))


def evaluate(name: str, part: str | None, data: Path | None) -> None:
    """Measure the committed bundle again, or a part. Exits with 1 when its manifest or card says something else."""
    chosen, found = recipe.load(name, data), committed(name)
    predict, said = Predictor.of(found), found.manifest.metrics
    if part is None:
        measured = chosen.evaluate(predict, chosen.hyper).metrics
    else:
        measured = tuple(chosen.part(part)(predict, chosen.hyper))
        said = tuple(metric for metric in said if metric.name in {one.name for one in measured})
    wrong = evaluation.differences(said, measured)
    if found.card != _render(found):
        wrong.append(f"{found.path / CARD} is not what the manifest says: python -m training card {name}")
    for metric in measured:
        print(f"{card.figure(metric)}; {metric.split}, {metric.description}")
    for metric in chosen.chosen_by(predict, chosen.hyper) if chosen.chosen_by and part is None else ():
        print(f"{card.figure(metric)}; {metric.split}, {metric.description}")
    if wrong:
        sys.exit(f"{name} is not what its bundle says: {'; '.join(wrong)}")


def renew(name: str, promote: bool) -> None:
    """Measure the committed bundle again, and make of its graphs and the new figures a version.

    For figures that depend on another bundle, which has changed, and for what a recipe measures anew. Raises RunError
    where the recipe would train otherwise than the bundle was.
    """
    chosen, found = recipe.load(name), committed(name)
    made = found.manifest.provenance
    if recorded(chosen.hyper_from(made.start)) != made.hyperparameters:
        raise RunError(f"{name} has other hyper-parameters than its bundle: python -m training run {name}")
    _offer(store.renew(chosen, found), promote)


def measure_precision(name: str, precision: str, provider: str, promote: bool) -> None:
    """Measure the committed bundle in a shorter precision, and make a version that may be run in it."""
    found = measured(recipe.load(name), committed(name), precision, provider)
    came = found.manifest.precisions[precision]
    off = ", ".join(f"{output} {card.number(most)}" for output, most in came.difference.items())
    print(f"{precision}: {card.figure(came.metric)}; furthest from single precision: {off}")
    _offer(found, promote)


def reexport(name: str, promote: bool) -> None:
    """Make of the committed bundle's weights the graphs that its recipe has now: a version with the same figures."""
    _offer(store.reexport(recipe.load(name), committed(name)), promote)


def update(name: str, rows: Path, promote: bool) -> None:
    """Let the committed bundle learn the rows of a CSV without training anew; the result is a candidate."""
    _offer(store.update(recipe.load(name), committed(name), rows), promote)


def seal(name: str, version: str | None, key: Path) -> None:
    """Sign a version, the served one by default, with an Ed25519 key."""
    from training.signing import private_key, sign

    found = Bundle(models_directory() / name / version) if version else committed(name)
    sign(found, private_key(key))
    print(f"{found.path} is signed")


def push(address: str, names: list[str], version: str | None, key: Path | None) -> None:
    """Put versions where services pull them from: what is served of every model, or of those named."""
    from service.release.remote import Remote
    from service.release.transfer import push as put

    if version and len(names) != 1:
        raise BundleError("--version is of one model: name it")
    remote = Remote(address)
    for name in names or bundles(models_directory()):
        if key:
            seal(name, version, key)
        print(f"{name} {put(models_directory(), remote, name, version)} is at {address}", flush=True)


def prune(name: str) -> None:
    """Remove every version of a bundle but the current one."""
    print(f"{name}: removed {', '.join(store.prune(name)) or 'nothing'}")


def convert(folders: list[Path]) -> None:
    """Write manifests of an older schema version as this one has them; of every version in `models` by default."""
    for folder in folders or sorted(path.parent for path in models_directory().glob(f"*/*/{MANIFEST}")):
        print(f"{folder}: {'converted' if conversion.convert(folder) else 'nothing to convert'}")


def render_card(name: str) -> None:
    """Write the committed bundle's card again from its manifest."""
    recipe.load(name)
    found = committed(name)
    (found.path / CARD).write_text(_render(found), encoding="utf-8")
    print(found.path / CARD)


def show_commits(names: list[str]) -> None:
    """Of each served bundle, whether history still has the commit that it names."""
    for name in names or bundles(models_directory()):
        made = committed(name).manifest.provenance
        print(f"{name}: {kept(made.git_commit, made.recipe_hash)}", flush=True)


def draw_filters(name: str) -> None:
    """Draw what the filters of the committed bundle answer most to, for its card."""
    print(filters.draw(committed(name)))
    render_card(name)


def count_outputs(names: list[str]) -> None:
    """Count how the outputs of committed bundles are distributed over the training data, of all by default."""
    for name in names or recipe.names():
        counted = store.count_outputs(recipe.load(name), committed(name))
        print(f"{name}: {', '.join(one.feature for one in counted) or 'nothing to count'}", flush=True)


def _render(found: Bundle) -> str:
    about = recipe.load(found.manifest.name).about
    return card.render(found.manifest, about, card.pictures_in(found.path), repeats.read(found.path))


def show_table(family: str, speeds: bool) -> None:
    """Print the document about a family's committed models, or about those of tables."""
    print(tabular.page() if family == tabular.NAME else table.page(family, speeds), end="")


def measure_scenes(count: int, developing: bool) -> None:
    """Print how well the served preparation and the committed `digits` read composed scenes, kind by kind."""
    print("| scene | pictures | read rightly | accepted |\n|---|--:|--:|--:|")
    for one in scenes.measure(Predictor.of(committed("digits")), count, developing):
        right, accepted = one.right / one.pictures, one.accepted / one.pictures
        print(f"| {one.kind} | {one.pictures} | {right:.1%} | {accepted:.1%} |", flush=True)


def measure_canvas(count: int, seed: int) -> None:
    """Print how many drawn digits the committed `digits` reads and accepts, and how much else it accepts."""
    predict, generator = Predictor.of(committed("digits")), np.random.default_rng(seed)
    print("| digit | by hand | by shapes |\n|---|--:|--:|")
    for by_hand, by_shapes in canvas.digits(predict, generator):
        told = (f"{one.right} of {one.pictures}" for one in (by_hand, by_shapes))
        print(f"| {by_hand.what} | {' | '.join(told)} |", flush=True)
    print("\n| no digit | pictures | accepted |\n|---|--:|--:|")
    for one in canvas.others(predict, generator, count):
        print(f"| {one.what} | {one.pictures} | {one.accepted} |", flush=True)


def show_study(name: str) -> None:
    """Run a study and say where its page is."""
    from training import studies

    try:
        print(studies.write(name))
    except studies.StudyError as error:
        sys.exit(str(error))


def _count(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(action: Callable[..., None], name: str, text: str, *parents: argparse.ArgumentParser) -> Any:
        added = commands.add_parser(name, help=text, parents=parents)
        added.set_defaults(action=action)
        return added

    one, training, making, given = (argparse.ArgumentParser(add_help=False) for _ in range(4))
    one.add_argument("name", metavar="NAME")
    training.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    making.add_argument("--promote", action="store_true", help="serve the new version if it passes its gate")
    given.add_argument("--data", type=Path, metavar="PATH", help="in place of the recipe's own: a folder or a file")
    training.add_argument("--fresh", action="store_true", help="start over instead of going on")

    command(list_recipes, "list", "the recipes and their figures")
    fetching = command(bring_data, "data", "fetch data sources, all by default")
    fetching.add_argument("names", nargs="*", metavar="NAME")
    running = command(
        train, "run", "train a recipe: a candidate; goes on where it was stopped", one, training, making, given
    )
    running.add_argument("--from", dest="start", metavar="VERSION", help="begin with its weights, or those of CURRENT")
    repeating = command(
        repeat, "repeat", "train under several seeds and in every variant: mean and spread", one, training
    )
    repeating.add_argument("--seeds", type=_count, default=3, help="two or more, from the recipe's own on; default 3")
    repeating.add_argument("--epochs", type=_count, help="of every training, for a trial that is only printed")
    measuring = command(evaluate, "evaluate", "measure a committed bundle again and compare", one, given)
    measuring.add_argument("--part", metavar="PART", help="some of the figures, where the recipe has parts")
    command(renew, "renew", "measure a committed bundle again: a candidate of the same graphs", one, making)
    shortening = command(measure_precision, "precision", "let a bundle run in a shorter precision", one, making)
    shortening.add_argument("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="default fp16")
    shortening.add_argument("--provider", choices=sorted(PROVIDERS), default="cpu", help="to measure on; default cpu")
    command(
        reexport, "export", "export a committed bundle's weights anew: a candidate of the same figures", one, making
    )
    updating = command(update, "update", "let a bundle learn the rows of a CSV: a candidate", one, making)
    updating.add_argument("rows", type=Path, metavar="ROWS.csv")
    importing.add_arguments(command(importing.bring, "import", "make a candidate of anybody's ONNX file"))
    gating = command(gate, "gate", "judge a candidate beside the served version, figure by figure", one, given)
    gating.add_argument("version", nargs="?", metavar="VERSION", help="default: the latest that is not served")
    sealing = command(seal, "sign", "sign a version, so that a service with the public key serves it", one)
    sealing.add_argument("version", nargs="?", metavar="VERSION", help="default: the served one")
    sealing.add_argument("--key", type=Path, required=True, metavar="KEY.pem", help="of Ed25519, without a password")
    pushing = command(push, "push", "put versions into a store or a folder, from where services pull them")
    pushing.add_argument("address", metavar="ADDRESS", help="of a models folder: s3://, gs://, az://, file://")
    pushing.add_argument("names", nargs="*", metavar="NAME", help="models; all that are served when none is named")
    pushing.add_argument("--version", metavar="VERSION", help="a candidate: it is put there, and not served")
    pushing.add_argument("--key", type=Path, metavar="KEY.pem", help="sign what is pushed")
    command(prune, "prune", "remove the versions of a bundle that are not served, where git keeps them", one)
    converting = command(convert, "convert", "manifests of an older schema version, as this one has them")
    converting.add_argument("folders", nargs="*", type=Path, metavar="VERSION_FOLDER", help="default: all of models/")
    command(show_commits, "commits", "whether history has the commits that bundles name").add_argument(
        "names", nargs="*", metavar="NAME", help="all that are served by default"
    )
    command(draw_filters, "filters", "draw what a network's filters answer most to, into a bundle's card", one)
    counting = command(count_outputs, "reference", "count a bundle's outputs over its training data, for drift")
    counting.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    command(render_card, "card", "write a bundle's card again", one)
    measuring = command(measure_scenes, "scenes", "how well composed scenes of digits are read")
    measuring.add_argument("--count", type=_count, default=200, help="of each kind; default 200")
    measuring.add_argument("--developing", action="store_true", help="of digits that may choose something")
    drawing = command(measure_canvas, "canvas", "how well drawn digits are read and all else is refused")
    drawing.add_argument("--count", type=_count, default=200, help="of each kind that is no digit; default 200")
    drawing.add_argument("--seed", type=int, default=0, help="of what is drawn; default 0")
    command(show_study, "study", "run a small experiment and write its page in docs/studies", one)
    showing = command(show_table, "table", "one table of a family's committed models")
    families = [*table.FAMILIES, tabular.NAME]
    showing.add_argument("family", choices=families, metavar="FAMILY", help=", ".join(families))
    showing.add_argument("--no-speeds", dest="speeds", action="store_false", help="measure nothing")
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = vars(_parser().parse_args(arguments))
    action = options.pop("action")
    try:
        action(**options)
    except (recipe.RecipeError, RunError, ExportError, BundleError, sources.DataError, table.TableError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on after the last finished epoch")


if __name__ == "__main__":
    main()
