"""The life of a worker process: what it holds, how it starts, how it ends."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from service import preflight
from service.engine.repository import Repository
from service.engine.session import ProviderError
from service.engine.trial import Trials
from service.feedback.recorder import Recorder
from service.feedback.routes import PATH as FEEDBACK
from service.feedback.routes import Feedback
from service.feedback.store import Store
from service.gpus import gpus
from service.http.body import Message, Receive
from service.http.connection import Connection
from service.http.exchange import Scope, Send
from service.http.keys import Keys
from service.lane import App, Lane, Route
from service.log_lines import JsonFormatter
from service.log_queue import LogQueue, QueuedHandler
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.release.rules import Quality
from service.release.traffic import Traffic
from service.releases import PATH as RELEASES
from service.releases import Releases
from service.settings import Settings
from service.tasks.rows import HEADERS

EXPOSED = "x-request-id", "server-timing", "retry-after", "inference-header-content-length", *HEADERS  # to scripts
PARENT_S = 1.0  # between two looks whether it is there

log = logging.getLogger(__name__)


class Worker:
    """Everything one worker process holds."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError or ProviderError for what would keep it from its work."""
        preflight.check(settings)  # now: who fails once the server runs is started again and again
        self.settings = settings
        self.metrics = Metrics()
        if settings.provider in ("cuda", "auto"):
            self.metrics.gpus = gpus
        # A trial runs on the CPU, where a graph that was made for something else need not run.
        trials = Trials(settings, self.metrics) if settings.provider in ("cpu", "auto") else None
        self.repository = Repository(settings, self.metrics, trials)
        self.pipeline = Pipeline(self.repository, settings)
        self.recorder = self._recorder()
        self.traffic = Traffic(self.repository, self.metrics, self._quality)
        self.pages = Pages(self.repository, self.metrics)
        self.parent = os.getppid()
        self.loaded: Callable[[], None] | None = None  # called once, when all that can be loaded is
        self.others_answer = False  # while this one loads: then it accepts nothing before it has
        self._loading_is_over = asyncio.Event()
        self._keys: Keys | None = None
        self._grpc: Any = None

    def asgi(self, inner: App) -> App:
        """The lane before `inner`; the models live as long as the app's lifespan."""

        async def living(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(scope, self._lifespan(receive) if scope["type"] == "lifespan" else receive, send)

        if self.settings.api_keys is not None:
            self._keys = Keys(self.settings.api_keys, self.metrics.shared)
        feedback = Feedback(self.recorder, self.settings, self.pipeline.budget)
        releases = Releases(self.traffic, self.recorder, self.settings, self.pipeline.budget)
        beside = {
            FEEDBACK: Route("give_feedback", feedback.answer),
            RELEASES: Route("change_releases", releases.answer),
        }
        lane = Lane(living, self.pipeline, self.pages, self.metrics, self.settings, self._keys, beside)
        if not self.settings.cors_origins:
            return lane
        return CORSMiddleware(
            lane,
            self.settings.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=EXPOSED,
        )

    def _recorder(self) -> Recorder | None:
        """Where the settings name a store. Raises SettingsError."""
        if self.settings.feedback is None:
            return None
        store = Store(self.settings.feedback.get_secret_value())
        return Recorder(store, self.settings.models_dir, self.settings.feedback_days, self.metrics)

    def _quality(self, name: str, version: str, served: str) -> Quality | None:
        """What turned out for a candidate and for what is served."""
        figures = {} if self.recorder is None else self.recorder.figures
        mine, theirs = figures.get((name, version)), figures.get((name, served))
        if mine is None or theirs is None or mine.wrong is None or theirs.wrong is None:
            return None
        return Quality(mine.rows, mine.wrong, theirs.rows, theirs.wrong)

    def _lifespan(self, receive: Receive) -> Receive:
        async def hooked() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                # In the background: the process is alive, and says so, before it is ready, unless others do.
                self._tasks = [asyncio.create_task(work()) for work in self._works()]
                if self.recorder is not None:
                    self.recorder.start()
                    self.pipeline.recorder = self.recorder
                self._announce_end()
                await self._turn_to_accept()
            elif message["type"] == "lifespan.shutdown":
                if self._grpc is not None:
                    await self._grpc.stop(self.settings.drain_s)
                    await self._grpc.close()
                for task in self._tasks:
                    task.cancel()
                with suppress(OSError):
                    self.metrics.publish()
                if self.recorder is not None:
                    await asyncio.to_thread(self.recorder.stop)
            return message

        return hooked

    def _works(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        works = [self._serve_models, self._publish, self._follow_parent]
        if self._keys is not None:
            works.append(partial(self._keys.watch, self.settings.watch_s))
        if self.settings.grpc_port:
            works.append(self._serve_grpc)
        return works

    async def _turn_to_accept(self) -> None:
        if self.others_answer:
            await self._loading_is_over.wait()

    async def _serve_grpc(self) -> None:
        from service.oip.grpc_server import PortError, listen  # only who uses gRPC pays for its 9 MB

        await self._turn_to_accept()
        try:
            self._grpc = await listen(self.pipeline, self.settings, self._keys)
        except PortError as error:
            log.critical("%s", error)
            signal.raise_signal(signal.SIGTERM)

    async def _follow_parent(self) -> None:
        """End when the parent has ended: nobody else would end this process, and it would hold the port."""
        while os.getppid() == self.parent:
            await asyncio.sleep(PARENT_S)
        log.critical("the parent process is gone: finishing what was accepted")
        signal.raise_signal(signal.SIGTERM)

    async def _publish(self) -> None:
        complaint = ""
        while self.metrics.shared is not None:
            try:
                self.metrics.publish()
                complaint = ""
            except OSError as error:
                if complaint != (complaint := str(error)):
                    log.error("the other workers cannot be told of this one's metrics: %s", error)
            await asyncio.sleep(1)

    def _announce_end(self) -> None:
        """On SIGTERM fail `/readyz` first, and stop accepting when load balancers have had time to see it."""
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)

        def end(number: int, frame: FrameType | None) -> None:
            self.repository.draining = Connection.leaving = True
            if callable(stop):
                loop.call_soon_threadsafe(loop.call_later, self.settings.drain_delay_s, accept_no_more, stop)

        def accept_no_more(stop: Callable[[int, FrameType | None], Any]) -> None:
            self._loading_is_over.set()  # whoever ends waits for no models
            if self._grpc is not None:
                self._tasks.append(loop.create_task(self._grpc.stop(self.settings.drain_s)))
            stop(signal.SIGTERM, None)

        signal.signal(signal.SIGTERM, end)

    async def _serve_models(self) -> None:
        try:
            await self.repository.load()
        except ProviderError as error:
            log.critical("%s", error)
            signal.raise_signal(signal.SIGTERM)
            return
        except Exception:
            log.exception("loading the models failed")
        finally:
            self._loading_is_over.set()
        # What exists now stays: a collection that walks through it stops every request for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self.pipeline.settle_budget()
        if self.loaded is not None:
            self.loaded()
        self._tasks.append(asyncio.create_task(self.traffic.watch(self.settings.watch_s)))
        await self.repository.watch(self.settings.watch_s)


def configure_logging(metrics: Metrics) -> None:
    backlog = LogQueue(metrics.line_dropped)
    handler = QueuedHandler(backlog)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("service")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    access = logging.getLogger("service.access")
    access.handlers, access.propagate = [QueuedHandler(backlog)], False
    # The service has an access log of its own. uvicorn would put one together for every request, for nobody to read.
    logging.getLogger("uvicorn.access").propagate = False
    # gRPC has a traceback for everyone who hangs up on an answer.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
    # BentoML's line for what is passed on to it holds the path as it was sent, line breaks included.
    logging.getLogger("bentoml.access").disabled = True
    for name in (None, *logging.root.manager.loggerDict):  # uvicorn has a line for every request that is no HTTP
        other = logging.getLogger(name)
        for one in other.handlers:
            if isinstance(one, logging.StreamHandler):
                one.setFormatter(JsonFormatter())
        other.handlers = [QueuedHandler.in_place_of(one, backlog) for one in other.handlers]
