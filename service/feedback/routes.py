"""The routes of feedback: outcomes come in, singly or many at once, and keys are forgotten."""

import asyncio
import csv
import io
import time
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from service.budget import Budget
from service.errors import Forbidden, InvalidValue, MalformedBody, NotReady, UnknownRoute, UnsupportedMedia
from service.feedback.figures import truth_of
from service.feedback.recorder import Recorder
from service.feedback.store import Outcome, StoreError, hashed
from service.http.exchange import Exchange
from service.http.keys import admit_admin
from service.messages import CSV, JSON, Answer, Request
from service.settings import Settings

PATH = "/v1/feedback"
ENDPOINT = "give_feedback"
MOST = 10_000  # outcomes in a request
LONGEST_KEY, LONGEST = 128, 200
OFF = "This service keeps no feedback; its operator turns it on with QUARTET_FEEDBACK."
AWAY = "The feedback store cannot be reached. Send it again in a moment."


class Said(NamedTuple):
    """An outcome as it was sent, and where it stands in the request."""

    key: str
    line: int
    outcome: object
    field: str


class Feedback:
    def __init__(self, recorder: Recorder | None, settings: Settings, budget: Budget) -> None:
        self._recorder, self._settings, self._budget = recorder, settings, budget

    async def answer(self, exchange: Exchange) -> tuple[Answer, None]:
        """Raises a QuartetError."""
        path = exchange.scope["path"]
        if self._recorder is None:
            raise Forbidden(OFF)
        if path == PATH:
            exchange.require("POST")
            request = await exchange.read(self._settings, self._budget)
            said = await asyncio.to_thread(outcomes_of, request)
            answer: dict[str, Any] = await self._kept(self._recorder, said)
        elif key := unquote(path.removeprefix(f"{PATH}/")):
            exchange.require("DELETE")
            admit_admin(self._settings.admin_token, exchange.headers)
            await self._in_thread(self._recorder.store.forget, hashed(key.encode()))
            answer = {"forgotten": key}
        else:
            raise UnknownRoute("Feedback is sent to /v1/feedback.")
        return Answer(orjson.dumps(answer)), None

    async def _kept(self, recorder: Recorder, said: list[Said]) -> dict[str, int]:
        rows, matched = await self._in_thread(understood, recorder, said)
        await self._in_thread(recorder.store.turn_out, rows)
        return {"received": len(rows), "matched": matched}

    async def _in_thread(self, work: Any, *given: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *given)
        except StoreError:
            raise NotReady(AWAY) from None


def understood(recorder: Recorder, said: list[Said]) -> tuple[list[Outcome], int]:
    """The outcomes in the terms of the models that answered, and how many are of rows that are known.

    Raises InvalidValue for what cannot be true of a model's answer.
    """
    now, rows, matched = time.time(), [], 0
    for one in said:
        key, truth = hashed(one.key.encode()), str(one.outcome).strip()
        if (found := recorder.store.find(key, one.line)) is not None:
            matched += 1
            if (manifest := recorder.manifest(*found)) is not None:
                try:
                    truth = truth_of(manifest, one.outcome)
                except ValueError as error:
                    raise InvalidValue(str(error), f"{one.field}outcome") from None
        rows.append(Outcome(key, one.line, now, truth[:LONGEST]))
    return rows, matched


def outcomes_of(request: Request) -> list[Said]:
    """Raises MalformedBody, InvalidValue, UnsupportedMedia."""
    if request.media_type == CSV:
        return _from_csv(request.body)
    if request.media_type not in (JSON, ""):
        raise UnsupportedMedia(f"{request.media_type} is not read here: send {JSON} or {CSV}.", "content-type")
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"Not JSON: {error}.") from None
    if isinstance(body, dict) and "outcomes" in body:
        several = body["outcomes"]
        if not isinstance(several, list) or not several:
            raise InvalidValue("Must be a list of objects with `id` and `outcome`.", "outcomes")
        _check_number(len(several), "outcomes")
        return [_said(one, f"outcomes[{place}].") for place, one in enumerate(several)]
    return [_said(body, "")]


def _from_csv(body: bytes) -> list[Said]:
    try:
        table = csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        rows = []
        for row in table:
            rows.append(row)
            _check_number(len(rows), "rows")
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedBody(f"Not CSV in UTF-8: {error}.") from None
    if not rows:
        raise InvalidValue("The table has no rows: it wants the columns id, outcome and, of several rows, row.")
    return [_said(_cells(row, place), f"rows[{place}].") for place, row in enumerate(rows)]


def _cells(row: dict[str, Any], place: int) -> dict[str, Any]:
    """Raises InvalidValue where `row` is no number."""
    found = {name: value for name, value in row.items() if name in ("id", "outcome", "row") and value not in (None, "")}
    if "row" in found:
        if not (found["row"].isascii() and found["row"].isdigit() and len(found["row"]) < 10):
            raise InvalidValue("Must be a whole number, counted from 0.", f"rows[{place}].row")
        found["row"] = int(found["row"])
    return found


def _said(one: object, field: str) -> Said:
    if not isinstance(one, dict):
        raise InvalidValue("Must be an object with `id` and `outcome`.", field.rstrip(".") or None)
    if unknown := one.keys() - {"id", "row", "outcome"}:
        raise InvalidValue("Unknown: there are id, row and outcome.", f"{field}{min(map(str, unknown))}")
    key, line, outcome = one.get("id"), one.get("row", 0), one.get("outcome")
    if not isinstance(key, str) or not 0 < len(key.encode("utf-8", "replace")) <= LONGEST_KEY:
        raise InvalidValue("Must be the request's id, or the key that it was sent with.", f"{field}id")
    if type(line) is not int or not 0 <= line < 2**31:
        raise InvalidValue("Must be a whole number, counted from 0.", f"{field}row")
    if not isinstance(outcome, str | int | float) or len(str(outcome)) > LONGEST:
        raise InvalidValue("Must be the true label, number, or true or false.", f"{field}outcome")
    return Said(key, line, outcome, field)


def _check_number(number: int, field: str) -> None:
    if number > MOST:
        raise InvalidValue(f"At most {MOST} outcomes at once.", field)
