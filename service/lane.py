"""The fast lane: an ASGI app in front of BentoML's, which answers the inference routes itself.

BentoML's own path to a method costs several times the inference of a small model (docs/decisions.md has the figures);
the lane keeps to one dictionary look-up, one body, one answer. BentoML's app answers what only it knows.
"""

import re
from collections.abc import Awaitable, Callable

from service.access import Keys, is_open
from service.body import Message, Receive
from service.endpoints import ENDPOINTS, OF_A_MODEL, Endpoint
from service.errors import MalformedRequest, QuartetError, UnknownRoute
from service.exchange import Exchange, Scope, Send
from service.journal import Journal
from service.messages import Answer
from service.metrics import Metrics
from service.oip.routes import PREFIX, ProtocolExchange, Routes
from service.pages import Pages
from service.pipeline import OPEN_INFERENCE, Pipeline
from service.settings import Settings
from service.timing import Timing

App = Callable[[Scope, Receive, Send], Awaitable[None]]

INNER = "/schema.json", "/docs.json", "/static_content/"  # what BentoML's app answers, beside what the lane does
NOTHING = "There is nothing here; /docs lists the routes."
HOSTLESS = "A request of HTTP/1.1 has one Host header."
MODEL_PATH = re.compile(rf"/v1/models/([a-z0-9-]{{1,64}})/({'|'.join(OF_A_MODEL)})")


class Lane:
    """`inner` gets every request that is not the lane's, and the lifespan."""

    def __init__(
        self, inner: App, pipeline: Pipeline, pages: Pages, metrics: Metrics, settings: Settings, keys: Keys | None
    ) -> None:
        self.inner, self.pipeline, self.pages, self.metrics, self.settings = inner, pipeline, pages, metrics, settings
        self._endpoints = {endpoint.path: endpoint for endpoint in ENDPOINTS}
        self._keys = keys
        self._protocol = Routes(pipeline, settings)
        self._journal = Journal(settings.access_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        if root := scope.get("root_path"):
            scope = {**scope, "path": scope["path"].removeprefix(root)}
        path = scope["path"]
        if scope.get("http_version") == "1.1" and [name for name, _ in scope["headers"]].count(b"host") != 1:
            await self._exchange(scope, receive, send, "access").refuse(MalformedRequest(HOSTLESS))
            return
        if self._keys is not None and not is_open(path) and not await self._admit(self._keys, scope, receive, send):
            return
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            exchange = self._exchange(scope, receive, send, endpoint.name)
            await exchange.serve(self._answer(endpoint, None, exchange))
        elif match := MODEL_PATH.fullmatch(path):
            endpoint = OF_A_MODEL[match[2]]
            exchange = self._exchange(scope, receive, send, endpoint.name)
            await exchange.serve(self._answer(endpoint, match[1], exchange))
        elif (page := self.pages.find(path, scope)) is not None:
            exchange = self._exchange(scope, receive, send, "pages")
            await exchange.settle(self._shown(page, exchange))
        elif path == PREFIX or path.startswith(f"{PREFIX}/"):
            exchange = self._exchange(scope, receive, send, OPEN_INFERENCE)
            await exchange.serve(self._protocol.answer(exchange))
        elif scope["method"] in ("GET", "HEAD") and path.startswith(INNER):
            await self._pass_on(scope, receive, send)
        else:
            await self._exchange(scope, receive, send, "unknown").refuse(UnknownRoute(NOTHING))

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To BentoML's app, whose 404 becomes ours."""
        unknown = False

        async def watched(message: Message) -> None:
            nonlocal unknown
            unknown = unknown or message.get("status") == 404
            if not unknown:
                await send(message)

        await self.inner(scope, receive, watched)
        if unknown:
            await self._exchange(scope, receive, send, "unknown").refuse(UnknownRoute(NOTHING))

    def _exchange(self, scope: Scope, receive: Receive, send: Send, endpoint: str) -> Exchange:
        form = ProtocolExchange if scope["path"].startswith(PREFIX) else Exchange
        return form(scope, receive, send, endpoint, self.metrics, self._journal)

    async def _admit(self, keys: Keys, scope: Scope, receive: Receive, send: Send) -> bool:
        exchange = self._exchange(scope, receive, send, "access")
        try:
            keys.admit(exchange.headers)
        except QuartetError as error:
            await exchange.refuse(error)
            return False
        return True

    async def _answer(self, endpoint: Endpoint, model_name: str | None, exchange: Exchange) -> tuple[Answer, Timing]:
        exchange.require("POST")
        request = await exchange.read(self.settings, self.pipeline.budget)
        return await self.pipeline.answer(endpoint, request, exchange.client.gone, model_name)

    async def _shown(self, page: Callable[[], Awaitable[Answer]], exchange: Exchange) -> tuple[Answer, None]:
        exchange.require("GET", "HEAD")
        return await page(), None
