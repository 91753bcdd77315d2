"""The fast lane: an ASGI app in front of BentoML's, which answers the inference routes itself.

BentoML's own path to a method costs several times the inference of a small model (docs/decisions.md has the figures);
the lane keeps to one dictionary look-up, one body, one answer. Whatever it does not know goes on to BentoML's app.
"""

import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.access import OPEN, Keys
from service.body import Client, Receive, read_body
from service.endpoints import ENDPOINTS, PREDICT, Endpoint
from service.errors import InternalError, MethodNotAllowed, QuartetError
from service.messages import Answer, Request
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.replies import Send, send_answer, send_problem
from service.settings import Settings

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREDICT_PATH = re.compile(r"/v1/models/([a-z0-9-]{1,64})/predict")
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


class Lane:
    """`inner` gets every request that is not the lane's, and the lifespan."""

    def __init__(self, inner: App, pipeline: Pipeline, pages: Pages, metrics: Metrics, settings: Settings) -> None:
        self.inner, self.pipeline, self.pages, self.metrics, self.settings = inner, pipeline, pages, metrics, settings
        self._endpoints = {endpoint.path: endpoint for endpoint in ENDPOINTS}
        self._keys = Keys.read(settings.api_keys) if settings.api_keys else None
        self._prefix = os.urandom(6).hex().encode()
        self._counter = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        path = scope["path"]
        if self._keys is not None and path not in OPEN and not await self._admit(scope, send):
            return
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            await self._infer(endpoint, None, scope, receive, send)
        elif match := PREDICT_PATH.fullmatch(path):
            await self._infer(PREDICT, match[1], scope, receive, send)
        elif (page := self.pages.find(path)) is not None:
            await self._show(page, scope, send)
        else:
            await self.inner(scope, receive, send)

    async def _admit(self, scope: Scope, send: Send) -> bool:
        assert self._keys is not None
        headers = dict(scope["headers"])
        try:
            self._keys.admit(headers)
        except QuartetError as error:
            await self._refuse(error, "access", self._request_id(headers), send)
            return False
        return True

    async def _infer(
        self, endpoint: Endpoint, model_name: str | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        client = Client(receive)
        self.metrics.in_flight += 1
        try:
            _require(scope, "POST")
            settings = self.settings
            body = await read_body(headers, receive, client, settings.max_body_bytes, settings.body_timeout_s)
            request = Request(body, headers, scope["query_string"])
            answer, timing = await self.pipeline.answer(endpoint, request, client.gone, model_name)
        except QuartetError as error:
            await self._refuse(error, endpoint.name, request_id, send)
        except Exception:
            log.exception("request %s to %s failed", request_id.decode(), endpoint.name)
            await self._refuse(InternalError(), endpoint.name, request_id, send)
        else:
            await send_answer(send, answer, request_id, timing.header())
        finally:
            self.metrics.in_flight -= 1

    async def _show(self, page: Callable[[], Awaitable[Answer]], scope: Scope, send: Send) -> None:
        request_id = self._request_id(dict(scope["headers"]))
        try:
            _require(scope, "GET", "HEAD")
            answer = await page()
        except QuartetError as error:
            await self._refuse(error, "pages", request_id, send)
        else:
            await send_answer(send, answer, request_id, head=scope["method"] == "HEAD")

    async def _refuse(self, error: QuartetError, endpoint: str, request_id: bytes, send: Send) -> None:
        self.metrics.errors[endpoint, error.code] += 1
        await send_problem(send, error, request_id)

    def _request_id(self, headers: dict[bytes, bytes]) -> bytes:
        """The client's own `x-request-id` when it is printable, else a new one."""
        given = headers.get(b"x-request-id")
        if given is not None and REQUEST_ID.fullmatch(given):
            return given
        return b"%s-%x" % (self._prefix, next(self._counter))


def _require(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise MethodNotAllowed(methods)
