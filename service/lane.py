"""The fast lane: an ASGI app in front of BentoML's, which answers the inference routes itself.

BentoML's own path to a method costs several times the inference of a small model (docs/decisions.md has the figures);
the lane keeps to one dictionary look-up, one body, one answer. Whatever it does not know goes on to BentoML's app.
"""

import logging
import re
from collections.abc import Awaitable, Callable

from service.access import OPEN, Keys
from service.body import Receive, read_body
from service.endpoints import ENDPOINTS, PREDICT, Endpoint
from service.errors import InternalError, QuartetError
from service.exchange import Exchange, Scope, Send
from service.journal import Journal
from service.messages import Answer, Request
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.settings import Settings

App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREDICT_PATH = re.compile(r"/v1/models/([a-z0-9-]{1,64})/predict")

log = logging.getLogger(__name__)


class Lane:
    """`inner` gets every request that is not the lane's, and the lifespan."""

    def __init__(self, inner: App, pipeline: Pipeline, pages: Pages, metrics: Metrics, settings: Settings) -> None:
        self.inner, self.pipeline, self.pages, self.metrics, self.settings = inner, pipeline, pages, metrics, settings
        self._endpoints = {endpoint.path: endpoint for endpoint in ENDPOINTS}
        self._keys = Keys.read(settings.api_keys) if settings.api_keys else None
        self._journal = Journal(settings.access_log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        path = scope["path"]
        if self._keys is not None and path not in OPEN and not await self._admit(self._keys, scope, receive, send):
            return
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            await self._infer(endpoint, None, self._exchange(scope, receive, send, endpoint.name))
        elif match := PREDICT_PATH.fullmatch(path):
            await self._infer(PREDICT, match[1], self._exchange(scope, receive, send, PREDICT.name))
        elif (page := self.pages.find(path)) is not None:
            await self._show(page, self._exchange(scope, receive, send, "pages"))
        else:
            await self.inner(scope, receive, send)

    def _exchange(self, scope: Scope, receive: Receive, send: Send, endpoint: str) -> Exchange:
        return Exchange(scope, receive, send, endpoint, self.metrics, self._journal)

    async def _admit(self, keys: Keys, scope: Scope, receive: Receive, send: Send) -> bool:
        exchange = self._exchange(scope, receive, send, "access")
        try:
            keys.admit(exchange.headers)
        except QuartetError as error:
            await exchange.refuse(error)
            return False
        return True

    async def _infer(self, endpoint: Endpoint, model_name: str | None, exchange: Exchange) -> None:
        if exchange.scope["method"] == "OPTIONS":
            await exchange.options("POST")
            return
        settings, headers = self.settings, exchange.headers
        self.metrics.in_flight += 1
        try:
            exchange.require("POST")
            body = await read_body(
                headers, exchange.receive, exchange.client, settings.max_body_bytes, settings.body_timeout_s
            )
            request = Request(body, headers, exchange.scope["query_string"])
            answer, timing = await self.pipeline.answer(endpoint, request, exchange.client.gone, model_name)
        except QuartetError as error:
            await exchange.refuse(error)
        except Exception:
            log.exception("request %s to %s failed", exchange.request_id.decode("latin-1"), endpoint.name)
            await exchange.refuse(InternalError())
        else:
            await exchange.answer(answer, timing)
        finally:
            self.metrics.in_flight -= 1

    async def _show(self, page: Callable[[], Awaitable[Answer]], exchange: Exchange) -> None:
        try:
            exchange.require("GET", "HEAD")
            answer = await page()
        except QuartetError as error:
            await exchange.refuse(error)
        else:
            await exchange.answer(answer)
