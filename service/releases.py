"""The routes of releases: what is served of each model and what is tried, and the commands behind the admin's token."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, Field, ValidationError

from service.budget import Budget
from service.bundle import MANIFEST, BundleError, Manifest
from service.errors import InvalidValue, MalformedBody, ReleaseRefused, UnknownModel, UnknownRoute
from service.feedback.recorder import Recorder
from service.http.exchange import Exchange
from service.http.keys import admit_admin
from service.messages import Answer
from service.release import Release, ReleaseError, verdict
from service.release.command import history_of, rules_of, told, told_rollout
from service.release.ledger import Entry
from service.release.rollout import SPLIT_BY, Rollout, seconds_of, steps_of
from service.release.traffic import Followed, Traffic
from service.settings import Settings

PATH = "/v1/releases"
MODEL_PATH = re.compile(r"/v1/releases/([a-z0-9-]{1,64})(?:/(start|promote|rollback|prune))?")


class Promotion(BaseModel, extra="forbid"):
    """What a promotion is told."""

    version: str = ""
    reason: str = Field(default="", max_length=1000)
    who: str = Field(default="admin", max_length=100)
    force: bool = False


class Order(Promotion):
    """What a command is told; each looks at what it needs."""

    mode: Literal["shadow", "canary"] = "canary"
    steps: str = "5%,25%,50%,100%"
    every: str = "10m"
    by: str = Field(default=SPLIT_BY, pattern=r"^[A-Za-z0-9-]{1,64}$")
    rules: Mapping[str, str | float | None] = {}


F = TypeVar("F", bound=BaseModel)
T = TypeVar("T")


class Releases:
    def __init__(self, traffic: Traffic, recorder: Recorder | None, settings: Settings, budget: Budget) -> None:
        self._traffic, self._recorder, self._settings, self._budget = traffic, recorder, settings, budget

    async def answer(self, exchange: Exchange) -> tuple[Answer, None]:
        """Raises a QuartetError."""
        path = exchange.scope["path"]
        if path == PATH:
            exchange.require("GET", "HEAD")
            return Answer(orjson.dumps({"releases": await asyncio.to_thread(self._all)})), None
        if (match := MODEL_PATH.fullmatch(path)) is None:
            raise UnknownRoute("Below /v1/releases there is a model, and below it start, promote, rollback, prune.")
        name, verb = match.groups()
        if verb is None:
            exchange.require("GET", "HEAD")
            return Answer(orjson.dumps(await on_disk(self._settings.models_dir, name, self._one))), None
        exchange.require("POST")
        admit_admin(self._settings.admin_token, exchange.headers)
        request = await exchange.read(self._settings, self._budget)
        order = order_of(request.body)
        done = await on_disk(self._settings.models_dir, name, lambda release: self._obey(release, verb, order))
        return Answer(orjson.dumps({"done": done})), None

    def _obey(self, release: Release, verb: str, order: Order) -> str:
        """What was done, in a line."""
        if verb == "prune":
            return f"removed {', '.join(release.prune(self._settings.keep_versions)) or 'nothing'}"
        if verb == "rollback":
            done = release.undo(order.who, order.reason)
            return told(done) if isinstance(done, Entry) else told_rollout(done, release.served)
        if verb == "promote":
            return told(release.promote(order.version, order.who, order.reason, force=order.force))
        begun = release.start(
            order.version,
            order.mode,
            steps_of(order.steps, seconds_of(order.every)),
            order.who,
            order.reason,
            rules=rules_of({name: "off" if value is None else str(value) for name, value in order.rules.items()}),
            by=order.by,
            force=order.force,
        )
        return told_rollout(begun, begun.against)

    def _all(self) -> list[dict[str, Any]]:
        found = []
        for name in list(self._traffic.models):
            with suppress(ReleaseError, OSError):
                release = Release(self._settings.models_dir, name)
                running = release.running
                trying = None if running is None else told_rollout(running, release.served)
                found.append({"name": name, "served": release.served, "trying": trying, "versions": release.versions})
        return found

    def _one(self, release: Release) -> dict[str, Any]:
        rollout = release.rollout
        return {
            "name": release.name,
            "served": release.served,
            "way_back": release.way_back,
            "versions": [self._version(release, version) for version in reversed(release.versions)],
            "rollout": rollout and self._rollout(release, rollout),
            "history": history_of(release),
        }

    def _version(self, release: Release, version: str) -> dict[str, Any]:
        gate = verdict.read(release.home / version)
        metrics: list[Any] = []
        with suppress(OSError, ValidationError):
            manifest = Manifest.model_validate_json((release.home / version / MANIFEST).read_bytes())
            metrics = [one.model_dump(mode="json") for one in manifest.metrics]
        figures = self._recorder and self._recorder.figures.get((release.name, version))
        return {
            "version": version,
            "metrics": metrics,
            "gate": gate and [one.model_dump(mode="json") for one in gate.checks],
            "objection": verdict.objection(release.home / version, release.served) if version != release.served else "",
            "live": figures and figures._asdict(),
        }

    def _rollout(self, release: Release, rollout: Rollout) -> dict[str, Any]:
        told = rollout.model_dump(mode="json", exclude={"past"})
        told |= {"state": rollout.state(release.served), "share": rollout.now.share}
        told["told"] = told_rollout(rollout, release.served)
        followed = self._traffic.followed.get(release.name)
        if followed is not None and followed.candidate.rollout.id == rollout.id:
            told |= {"evidence": evidence_of(followed)}
        return told


def evidence_of(followed: Followed) -> dict[str, Any]:
    """What all workers of this service have counted, now and over time."""
    now, points = followed.evidence, list(followed.points)
    sides = {"candidate": now.candidate, "served": now.served}
    return {
        **{name: {"answers": side.answers, "errors": side.errors, "mean_s": side.mean} for name, side in sides.items()},
        "compared": {"rows": now.pairs.rows, "skipped": now.pairs.skipped, "mean_difference": now.pairs.mean},
        "agreement": now.pairs.agreement,
        "over_time": [
            {"when": one.when, "rows": one.evidence.pairs.rows, "agreement": one.evidence.pairs.agreement}
            for one in points
        ],
    }


async def on_disk(models: Path, name: str, work: Callable[[Release], T]) -> T:
    """Done in a thread with the releases of a model. Raises UnknownModel, ReleaseRefused."""
    try:
        release = Release(models, name)
    except ReleaseError:
        raise UnknownModel("There is no such model here.", "model") from None
    try:
        return await asyncio.to_thread(work, release)
    except (BundleError, OSError) as error:
        raise ReleaseRefused(str(error)) from None


def order_of(body: bytes) -> Order:
    """Raises MalformedBody, InvalidValue."""
    try:
        fields = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"Not JSON: {error}.") from None
    return checked(Order, fields)


def checked(form: type[F], fields: object, *place: str) -> F:
    """`fields`, which stand at `place` of a request, in their form. Raises InvalidValue."""
    try:
        return form.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidValue(f"{first['msg']}.", ".".join(map(str, (*place, *first["loc"]))) or None) from None
