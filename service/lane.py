"""The fast lane: an ASGI app in front of BentoML's, which answers the inference routes itself.

BentoML's own path to a method costs several times the inference of a small model (docs/decisions.md has the figures);
the lane keeps to one dictionary look-up, one body, one answer. BentoML's app answers what only it knows.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from service import streaming
from service.errors import MalformedRequest, UnknownRoute
from service.http.access_log import AccessLog
from service.http.body import Message, Receive
from service.http.exchange import Exchange, Scope, Send
from service.http.keys import Keys, is_open
from service.messages import Answer
from service.metrics import Metrics
from service.oip.routes import PREFIX, ProtocolExchange, Routes
from service.pages import Pages
from service.pipeline import OPEN_INFERENCE, Pipeline
from service.settings import Settings
from service.task import Task
from service.tasks import BY_PATH, OF_A_MODEL, TASKS
from service.timing import Timing

App = Callable[[Scope, Receive, Send], Awaitable[None]]

INNER = "/schema.json", "/docs.json", "/static_content/"  # what BentoML's app answers, beside what the lane does
NOTHING = "There is nothing here; /docs lists the routes."
PATHS = {task.name: task.path for task in TASKS} | {OPEN_INFERENCE: PREFIX}
HOSTLESS = "A request of HTTP/1.1 has one Host header."
MODEL_PATH = re.compile(rf"/v1/models/([a-z0-9-]{{1,64}})/({'|'.join(OF_A_MODEL)})")


Handler = Callable[[Exchange], Awaitable[tuple[Answer, Timing | None]]]


class Route(NamedTuple):
    """`endpoint` is the name under which requests are counted; without a handler BentoML's app answers."""

    endpoint: str
    handler: Handler | None


class Lane:
    """`inner` gets every request that is not the lane's, and the lifespan."""

    def __init__(
        self,
        inner: App,
        pipeline: Pipeline,
        pages: Pages,
        metrics: Metrics,
        settings: Settings,
        keys: Keys | None,
        beside: Mapping[str, "Route"] = MappingProxyType({}),
    ) -> None:
        """`beside` has routes for a path and all below it."""
        self.inner, self.pipeline, self.pages, self.metrics, self.settings = inner, pipeline, pages, metrics, settings
        self._tasks = {path: Route(task.name, partial(self._infer, task, None)) for path, task in BY_PATH.items()}
        self._protocol = Route(OPEN_INFERENCE, Routes(pipeline, settings).answer)
        self._beside = beside
        self._keys = keys
        self._access_log = AccessLog(settings.access_log, PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        if root := scope.get("root_path"):
            scope = {**scope, "path": scope["path"].removeprefix(root)}
        path = scope["path"]
        route = self._tasks.get(path) or self._find(path, scope)
        form = ProtocolExchange if path.startswith(PREFIX) else Exchange
        exchange = form(scope, receive, send, route.endpoint, self.metrics, self._access_log)
        if route.handler is not None:
            await exchange.serve(self._answer(route.handler, exchange))
        elif await exchange.admits(partial(self._admit, exchange)):
            await self._pass_on(exchange)

    def _find(self, path: str, scope: Scope) -> Route:
        if match := MODEL_PATH.fullmatch(path):
            task = OF_A_MODEL[match[2]]
            return Route(task.name, partial(self._infer, task, match[1]))
        if (page := self.pages.find(path, scope)) is not None:
            return Route("pages", partial(_show, page))
        for prefix, route in self._beside.items():
            if path == prefix or path.startswith(f"{prefix}/"):
                return route
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return self._protocol
        if scope["method"] in ("GET", "HEAD") and path.startswith(INNER):
            return Route("pages", None)
        return Route("unknown", _nothing)

    async def _answer(self, handler: Handler, exchange: Exchange) -> tuple[Answer, Timing | None]:
        self._admit(exchange)
        return await handler(exchange)

    def _admit(self, exchange: Exchange) -> None:
        """Raises MalformedRequest, Unauthorized, RateLimited."""
        scope = exchange.scope
        if scope.get("http_version") == "1.1" and [name for name, _ in scope["headers"]].count(b"host") != 1:
            raise MalformedRequest(HOSTLESS)
        if self._keys is not None and not is_open(scope["path"]):
            self._keys.admit(exchange.headers)

    async def _infer(self, task: Task, model_name: str | None, exchange: Exchange) -> tuple[Answer, Timing | None]:
        exchange.require("POST")
        if streaming.asked(task, exchange.scope["query_string"]):
            exchange.begin(self.pipeline.budget)
            return await streaming.answer(task, exchange, self.pipeline), None
        request = await exchange.read(self.settings, self.pipeline.budget, task.body_limit)
        return await self.pipeline.answer(task, request, exchange.client.gone, model_name, exchange.client.alone)

    async def _pass_on(self, exchange: Exchange) -> None:
        """To BentoML's app, whose 404 becomes ours."""
        unknown = False

        async def watched(message: Message) -> None:
            nonlocal unknown
            unknown = unknown or message.get("status") == 404
            if not unknown:
                await exchange.send(message)

        await self.inner(exchange.scope, exchange.receive, watched)
        if unknown:
            await exchange.refuse(UnknownRoute(NOTHING))


async def _show(page: Callable[[], Awaitable[Answer]], exchange: Exchange) -> tuple[Answer, None]:
    exchange.require("GET", "HEAD")
    return await page(), None


async def _nothing(exchange: Exchange) -> tuple[Answer, None]:
    raise UnknownRoute(NOTHING)
