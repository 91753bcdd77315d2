"""The BentoML service: `bentoml serve`, `bentoml build` and BentoML's clients work on it; the lane answers in front."""

import asyncio
import gc
import logging
import signal
import tempfile
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any

import bentoml
import orjson
from bentoml.exceptions import BentoMLException
from starlette.middleware.cors import CORSMiddleware

from service import __version__
from service.body import Message, Receive
from service.endpoints import ENDPOINTS, Endpoint
from service.errors import QuartetError
from service.lane import App, Lane, Scope
from service.limits import Limits
from service.messages import JSON, Request
from service.metrics import Metrics, shared_folder
from service.pages import Pages
from service.pipeline import Pipeline
from service.replies import Send
from service.repository import Repository
from service.session import ProviderError
from service.settings import Settings

log = logging.getLogger(__name__)


class Quartet:
    """Everything one worker process holds."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.repository = Repository(settings, self.metrics)
        self.pipeline = Pipeline(self.repository, Limits(settings.max_rows, settings.max_pixels), settings.timeout_s)
        self.pages = Pages(self.repository, self.metrics)

    def asgi(self, inner: App) -> App:
        """The lane before `inner`; the models live as long as the app's lifespan."""
        lane: App = Lane(inner, self.pipeline, self.pages, self.metrics, self.settings)
        if self.settings.cors_origins:
            exposed = ("x-request-id", "server-timing", "retry-after")
            lane = CORSMiddleware(
                lane,
                self.settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("*",),
                expose_headers=exposed,
            )

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await inner(scope, self._lifespan(receive), send)
            else:
                await lane(scope, receive, send)

        return app

    def _lifespan(self, receive: Receive) -> Receive:
        async def hooked() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                # In the background: the process is alive, and says so, before it is ready.
                self._tasks = [asyncio.create_task(work()) for work in (self._serve_models, self._publish)]
                self._announce_end()
            elif message["type"] == "lifespan.shutdown":
                await self.repository.drain(self.settings.drain_s)
                for task in self._tasks:
                    task.cancel()
                self.metrics.publish()
            return message

        return hooked

    async def _publish(self) -> None:
        while self.metrics.shared is not None:
            self.metrics.publish()
            await asyncio.sleep(1)

    def _announce_end(self) -> None:
        """On SIGTERM fail `/readyz` first, and stop accepting when load balancers have had time to see it."""
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)

        def end(number: int, frame: FrameType | None) -> None:
            self.repository.draining = True
            if callable(stop):
                loop.call_soon_threadsafe(loop.call_later, self.settings.drain_delay_s, stop, number, None)

        signal.signal(signal.SIGTERM, end)

    async def _serve_models(self) -> None:
        try:
            await self.repository.load()
        except ProviderError as error:
            log.critical("%s", error)
            signal.raise_signal(signal.SIGTERM)
            return
        # What exists now stays: a collection that walks through it stops every request for tens of milliseconds.
        gc.collect()
        gc.freeze()
        await self.repository.watch(self.settings.watch_s)


def configure_logging() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("service")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)


settings = Settings.from_environment()


class LaneService(bentoml.Service[Any]):  # type: ignore[misc]
    """A BentoML service whose app has the lane in front."""

    def to_asgi(self, is_main: bool = True) -> Any:
        configure_logging()
        if settings.workers > 1:
            quartet.metrics.shared = shared_folder(Path(tempfile.gettempdir()))
        return quartet.asgi(super().to_asgi(is_main))


quartet = Quartet(settings)


def _api(endpoint: Endpoint) -> Any:
    """The endpoint as an ordinary BentoML API: the same pipeline, JSON in and out."""

    async def call(self: Any, **fields: Any) -> Any:
        body = orjson.dumps({name: value for name, value in fields.items() if value is not None})
        request = Request(body, {b"content-type": JSON.encode(), b"accept": JSON.encode()})
        try:
            answer, _ = await quartet.pipeline.answer(endpoint, request, lambda: False)
        except QuartetError as error:
            refusal = BentoMLException(f"{error.field}: {error.detail}" if error.field else error.detail)
            refusal.error_code = HTTPStatus(error.status)
            raise refusal from error
        return orjson.loads(answer.body)

    call.__name__, call.__doc__ = endpoint.name, endpoint.summary
    return bentoml.api(route=endpoint.path, input_spec=endpoint.request_form, output_spec=endpoint.answer_form)(call)


Apis = type("Apis", (), {endpoint.name: _api(endpoint) for endpoint in ENDPOINTS})

service = bentoml.service(
    name="quartet",
    description=f"Quartet {__version__}: classifiers, regressors, denoisers and generators over ONNX Runtime.",
    service_class=LaneService,
    workers=settings.workers,
)(Apis)
