"""Decide which version of a model is served.

quartet release status [NAME]           what is served, the way back, the versions there are
quartet release start NAME VERSION      try this version on live traffic: --shadow 10%, --canary 5%,25%,100%
quartet release promote NAME VERSION    serve this version
quartet release rollback NAME           end what is being tried, else serve what was served before
quartet release history NAME            who changed what, when and why
quartet release prune [NAME]            remove old versions
"""

import argparse
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from service.bundle import names
from service.release import verdict
from service.release.ledger import Entry, ReleaseError
from service.release.release import Release, whoever
from service.release.rollout import SPLIT_BY, Mode, Past, Rollout, seconds_of, share_of, steps_of
from service.release.rules import Rules
from service.settings import Settings

RULES = {
    "most_errors": "share of requests that it may fail, beyond what the served version fails",
    "most_latency": "times as long as the served version it may take",
    "least_agreement": "share of rows on which both must have the same label",
    "most_difference": "mean difference of their numbers: of probabilities, of Hounsfield units",
    "most_drift": "stability index that it may be farther from its training data than the served version",
    "most_loss": "share of rows that it may be wrong on, beyond the served version, by what turned out",
    "least": "answers before a step may end",
}


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
    starting = commands.add_parser("start", description="try a version on live traffic")
    add_rollout(starting)
    starting.set_defaults(run=start)
    back = commands.add_parser("rollback", description="end what is being tried, else serve what was served before")
    back.add_argument("name", metavar="NAME")
    back.set_defaults(run=roll_back)
    for moving in (starting, promoting, back):
        moving.add_argument("--reason", default="", help="kept in the history")
        moving.add_argument("--who", default=whoever(), help="kept in the history; default: the user's name")
    telling = commands.add_parser("history", description="who changed what, when and why")
    telling.add_argument("name", metavar="NAME")
    telling.set_defaults(run=tell)
    pruning = commands.add_parser("prune", description="remove old versions")
    pruning.add_argument("name", nargs="?", metavar="NAME", help="of a model; all of them when none is named")
    pruning.set_defaults(run=prune)
    return whole


def add_rollout(starting: argparse.ArgumentParser) -> None:
    starting.add_argument("name", metavar="NAME")
    starting.add_argument("version", metavar="VERSION")
    how = starting.add_mutually_exclusive_group(required=True)
    how.add_argument("--shadow", metavar="SHARE", help="of the requests it runs behind; nobody sees its answers")
    how.add_argument(
        "--canary", metavar="STEPS", help="shares of the requests that it answers: 5%% or 5%%:10m,100%%:1h"
    )
    starting.add_argument("--every", default="10m", metavar="TIME", help="of a step that says none; default 10m")
    starting.add_argument("--by", default=SPLIT_BY, metavar="HEADER", help=f"to split by, default {SPLIT_BY}")
    for name, rule in Rules.model_fields.items():
        words = RULES[name]
        option = f"--{name.replace('_', '-')}"
        starting.add_argument(option, default=None, metavar="X", help=f"{words}; default {told_rule(rule.default)}")
    starting.add_argument("--force", action="store_true", help="without a passed gate, for a --reason")


def told_rule(default: float | None) -> str:
    return "off" if default is None else f"{default:g}"


def rules_of(given: Mapping[str, str | None]) -> Rules:
    """Those that somebody gave, else the defaults. Raises ReleaseError."""
    found: dict[str, object] = {}
    for name in Rules.model_fields:
        if (text := given.get(name)) is not None:
            found[name] = None if text == "off" else share_of(text) if text.endswith("%") else text
    try:
        return Rules.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise ReleaseError(f"{first['loc'][0]}: {first['msg']}") from None


def start(given: argparse.Namespace, settings: Settings) -> None:
    mode: Mode = "shadow" if given.shadow else "canary"
    rollout = Release(settings.models_dir, given.name).start(
        given.version,
        mode,
        steps_of(given.shadow or given.canary, seconds_of(given.every)),
        given.who,
        given.reason,
        rules=rules_of(vars(given)),
        by=given.by,
        force=given.force,
    )
    print(told_rollout(rollout, rollout.against))


def show(given: argparse.Namespace, settings: Settings) -> None:
    for release in releases(given.name, settings):
        print(f"{release.name}: serves {release.served or 'nothing'}")
        if release.history:
            print(f"  since {told(release.history[-1])}")
        if (rollout := release.rollout) is not None:
            print(f"  {told_rollout(rollout, release.served)}")
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
    release = Release(settings.models_dir, given.name)
    done = release.undo(given.who, given.reason)
    print(told(done) if isinstance(done, Entry) else told_rollout(done, release.served))


def tell(given: argparse.Namespace, settings: Settings) -> None:
    for line in history_of(Release(settings.models_dir, given.name)):
        print(line)


def prune(given: argparse.Namespace, settings: Settings) -> None:
    for release in releases(given.name, settings):
        print(f"{release.name}: removed {', '.join(release.prune(settings.keep_versions)) or 'nothing'}")


def releases(name: str | None, settings: Settings) -> Iterator[Release]:
    for one in [name] if name else names(settings.models_dir):
        yield Release(settings.models_dir, one)


def history_of(release: Release) -> list[str]:
    """What was served and what was tried, a line for each, the latest first."""
    lines = [(entry.when, told(entry)) for entry in release.history]
    if (last := release.rollout) is not None:
        lines += [(one.when, told_past(one)) for one in (*last.past, last.as_past(release.served))]
    return [line for _, line in sorted(lines, key=lambda line: line[0])][::-1]  # as they stand within a second


def told_past(one: Past) -> str:
    by, why = (f" by {one.who}" if one.who else ""), (f": {one.reason}" if one.reason else "")
    ended = f" at {one.end.when} by {one.end.who}" if one.end.when else ""
    return f"{one.when} {one.mode} of {one.version} beside {one.against}{by}{why}; {one.end.why}{ended}"


def told_rollout(rollout: Rollout, served: str | None) -> str:
    """A rollout in one line: what it is, or how it ended."""
    what = f"{rollout.mode} of {rollout.version} beside {rollout.against}"
    if (stop := rollout.stop) is not None:
        return f"{what} ended {stop.when} by {stop.who}: {f'{stop.rule}, ' if stop.rule else ''}{stop.why}"
    if (state := rollout.state(served)) != "running":
        return f"{what}: {state}"
    step = f", step {min(rollout.step + 1, len(rollout.steps))} of {len(rollout.steps)}" if rollout.steps[1:] else ""
    return f"{what} runs: {rollout.now.share:.3g} of the requests by {rollout.by}{step}"


def told(entry: Entry) -> str:
    """An entry in one line."""
    by, why = (f" by {entry.who}" if entry.who else ""), (f": {entry.reason}" if entry.reason else "")
    return f"{entry.when} {entry.action}{by}, from {entry.before or 'nothing'} to {entry.after}{why}"
