"""Decide which version of a model is served.

quartet release status [NAME]           what is served, the way back, the versions there are
quartet release promote NAME VERSION    serve this version
quartet release rollback NAME           serve what was served before
quartet release history NAME            who changed what, when and why
quartet release prune [NAME]            remove old versions
"""

import argparse
from collections.abc import Iterator

from service.bundle import names
from service.release import verdict
from service.release.ledger import Entry, ReleaseError
from service.release.release import Release, whoever
from service.settings import Settings


def main(words: list[str]) -> None:
    """Raises BundleError, in words for whoever gave the command."""
    given = parser().parse_args(words)
    try:
        given.run(given, Settings.from_environment())
    except OSError as error:
        raise ReleaseError(f"{error}: mend that and look at `release status`; no change was left half done") from error


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="quartet release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=argparse.SUPPRESS,
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    showing = commands.add_parser("status", description="what is served, the way back, the versions there are")
    showing.add_argument("name", nargs="?", metavar="NAME", help="of a model; all of them when none is named")
    showing.set_defaults(run=show)
    promoting = commands.add_parser("promote", description="serve a version")
    promoting.add_argument("name", metavar="NAME")
    promoting.add_argument("version", metavar="VERSION")
    promoting.add_argument("--force", action="store_true", help="without a passed gate, for a --reason")
    promoting.set_defaults(run=promote)
    back = commands.add_parser("rollback", description="serve what was served before")
    back.add_argument("name", metavar="NAME")
    back.set_defaults(run=roll_back)
    for moving in (promoting, back):
        moving.add_argument("--reason", default="", help="kept in the history")
        moving.add_argument("--who", default=whoever(), help="kept in the history; default: the user's name")
    telling = commands.add_parser("history", description="who changed what, when and why")
    telling.add_argument("name", metavar="NAME")
    telling.set_defaults(run=tell)
    pruning = commands.add_parser("prune", description="remove old versions")
    pruning.add_argument("name", nargs="?", metavar="NAME", help="of a model; all of them when none is named")
    pruning.set_defaults(run=prune)
    return whole


def show(given: argparse.Namespace, settings: Settings) -> None:
    for release in releases(given.name, settings):
        print(f"{release.name}: serves {release.served or 'nothing'}")
        if release.history:
            print(f"  since {told(release.history[-1])}")
        if release.way_back:
            print(f"  the way back: {release.way_back}")
        others = [version for version in reversed(release.versions) if version != release.served]
        if others:
            print("  other versions:")
        for version in others:
            print(f"    {version}, {gated(release, version)}")


def gated(release: Release, version: str) -> str:
    return verdict.objection(release.home / version, release.served) or "its gate was passed"


def promote(given: argparse.Namespace, settings: Settings) -> None:
    release = Release(settings.models_dir, given.name)
    print(told(release.promote(given.version, given.who, given.reason, force=given.force)))


def roll_back(given: argparse.Namespace, settings: Settings) -> None:
    print(told(Release(settings.models_dir, given.name).rollback(given.who, given.reason)))


def tell(given: argparse.Namespace, settings: Settings) -> None:
    for entry in reversed(Release(settings.models_dir, given.name).history):
        print(told(entry))


def prune(given: argparse.Namespace, settings: Settings) -> None:
    for release in releases(given.name, settings):
        print(f"{release.name}: removed {', '.join(release.prune(settings.keep_versions)) or 'nothing'}")


def releases(name: str | None, settings: Settings) -> Iterator[Release]:
    for one in [name] if name else names(settings.models_dir):
        yield Release(settings.models_dir, one)


def told(entry: Entry) -> str:
    """An entry in one line."""
    by, why = (f" by {entry.who}" if entry.who else ""), (f": {entry.reason}" if entry.reason else "")
    return f"{entry.when} {entry.action}{by}, from {entry.before or 'nothing'} to {entry.after}{why}"
