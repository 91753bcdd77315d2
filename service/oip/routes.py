"""The HTTP routes of the protocol, all below /v2."""

import re
from functools import partial
from typing import Any

import orjson
import simdjson

from service.codecs.arrays import fields_of, parse_object
from service.errors import InvalidValue, NotReady, QuartetError, UnknownRoute
from service.http.exchange import Exchange
from service.http.keys import admit_admin
from service.messages import Answer, refuse_unknown
from service.oip.loading import PARAMETERS, load
from service.oip.requests import SERVER, InferTarget, infer, model_metadata, sentence
from service.oip.rest import JSON_LENGTH, decode, present
from service.pipeline import OPEN_INFERENCE, Pipeline, priority_of, version_of
from service.settings import Settings
from service.stage_pool import Caller
from service.timing import Timing

PREFIX = "/v2"
MODEL_PATH = re.compile(r"/v2/models/([^/]{1,64})(?:/versions/([^/]{1,64}))?(?:/(ready|infer))?")
CHANGE_PATH = re.compile(r"/v2/repository/models/([^/]{1,64})/(load|unload)")
ERROR = b"application/json"

Served = tuple[Answer, Timing | None]


class ProtocolExchange(Exchange):
    """An exchange whose errors have the protocol's form."""

    async def refuse(self, error: QuartetError) -> None:
        await self.fail(error, orjson.dumps({"error": sentence(error)}), ERROR)


class Routes:
    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self._pipeline, self._repository, self._settings = pipeline, pipeline.repository, settings
        self._pages = {
            PREFIX: self._server,
            f"{PREFIX}/": self._server,
            f"{PREFIX}/health/live": self._live,
            f"{PREFIX}/health/ready": self._ready,
        }

    async def answer(self, exchange: Exchange) -> Served:
        """Raises a QuartetError."""
        path = exchange.scope["path"]
        if path in self._pages:
            exchange.require("GET", "HEAD")
            return _json(self._pages[path]()), None
        if match := MODEL_PATH.fullmatch(path):
            name, version, verb = match.groups()
            if verb == "infer":
                return await self._infer(exchange, name, version)
            exchange.require("GET", "HEAD")
            version = version_of(exchange.headers, version)
            return _json(self._ready_model(name, version) if verb else self._model(name, version)), None
        if path == f"{PREFIX}/repository/index":
            return await self._index(exchange), None
        if match := CHANGE_PATH.fullmatch(path):
            return await self._change(exchange, match[1], match[2] == "load"), None
        raise UnknownRoute("The protocol has no such route here; docs/protocol.md lists them.")

    async def _infer(self, exchange: Exchange, name: str, version: str | None) -> Served:
        exchange.require("POST")
        request = await exchange.read(self._settings, self._pipeline.budget)
        refuse_unknown(request.query, ())
        deadline = self._pipeline.deadline(request, OPEN_INFERENCE)
        caller = Caller(deadline, exchange.client.gone, request.lease, exchange.client.alone, exchange)
        in_json = JSON_LENGTH not in request.headers
        target = InferTarget(name, version_of(request.headers, version), caller, priority_of(request), in_json)
        return await infer(
            self._pipeline,
            target,
            len(request.body),
            partial(decode, request, self._pipeline.limits(request.lease)),
            present,
        )

    def _server(self) -> dict[str, Any]:
        return SERVER

    def _live(self) -> dict[str, Any]:
        return {"live": True}

    def _ready(self) -> dict[str, Any]:
        """Raises NotReady."""
        if not self._repository.ready:
            raise NotReady.told(self._repository.state)
        return {"ready": True}

    def _model(self, name: str, version: str | None) -> dict[str, Any]:
        return model_metadata(self._repository.pick(name, version).manifest)

    def _ready_model(self, name: str, version: str | None) -> dict[str, Any]:
        return {"name": self._repository.pick(name, version).manifest.name, "ready": True}

    async def _index(self, exchange: Exchange) -> Answer:
        exchange.require("POST")
        ready = (await self._fields(exchange)).get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidValue("Must be true or false.", "ready")
        entries = self._repository.index()
        return _json([entry._asdict() for entry in entries if not ready or entry.state == "READY"])

    async def _change(self, exchange: Exchange, name: str, loading: bool) -> Answer:
        exchange.require("POST")
        admit_admin(self._settings.admin_token, exchange.headers)
        fields = await self._fields(exchange)
        if loading:
            given = fields.get(PARAMETERS)
            parameters = fields_of(given, PARAMETERS) if isinstance(given, simdjson.Object) else given
            await load(self._repository, name, parameters)
        else:
            await self._repository.set_loaded(name, False)
        return _json({})

    async def _fields(self, exchange: Exchange) -> dict[str, Any]:
        """Those of the body, which may as well be absent."""
        request = await exchange.read(self._settings, self._pipeline.budget)
        return parse_object(request.body or b"{}", None, self._pipeline.limits(request.lease))


def _json(document: Any) -> Answer:
    return Answer(orjson.dumps(document))
