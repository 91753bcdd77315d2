"""The life of a worker process: what it holds, how it starts, how it ends."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from errno import EADDRINUSE
from functools import partial
from multiprocessing import get_context
from types import FrameType
from typing import Any

import psutil
from starlette.middleware.cors import CORSMiddleware

from service.access import Keys, parsed_lines, read_text
from service.backlog import Backlog, Unhurried
from service.body import Message, Receive
from service.bundle import DEFAULTS, BundleError, current, defaults_of, names
from service.connection import Connection
from service.exchange import Scope, Send
from service.lane import App, Lane
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.repository import Repository
from service.session import ProviderError, Session, providers_of
from service.settings import Settings, SettingsError
from service.trial import Trials

# Requests leave next to no cycles behind; Python's 700 would have it look for them every few requests.
YOUNG_OBJECTS = 20_000
PARENT_S = 1.0  # between two looks whether it is there

log = logging.getLogger(__name__)


class Worker:
    """Everything one worker process holds."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError or ProviderError for what would keep it from its work."""
        _check(settings)  # now: who fails once the server runs is started again and again
        self.settings = settings
        self.metrics = Metrics()
        # A trial runs on the CPU, where a graph that was made for something else need not run.
        trials = Trials(settings, self.metrics) if settings.provider in ("cpu", "auto") else None
        self.repository = Repository(settings, self.metrics, trials)
        self.pipeline = Pipeline(self.repository, settings)
        self.pages = Pages(self.repository, self.metrics)
        self.parent = os.getppid()
        self.loaded: Callable[[], None] | None = None  # called once, when all that can be loaded is
        self._keys: Keys | None = None
        self._grpc: Any = None

    def asgi(self, inner: App) -> App:
        """The lane before `inner`; the models live as long as the app's lifespan."""

        async def living(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(scope, self._lifespan(receive) if scope["type"] == "lifespan" else receive, send)

        if self.settings.api_keys is not None:
            self._keys = Keys(self.settings.api_keys, self.metrics.shared)
        lane = Lane(living, self.pipeline, self.pages, self.metrics, self.settings, self._keys)
        if not self.settings.cors_origins:
            return lane
        return CORSMiddleware(
            lane,
            self.settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=("x-request-id", "server-timing", "retry-after", "inference-header-content-length"),
        )

    def _lifespan(self, receive: Receive) -> Receive:
        async def hooked() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                # In the background: the process is alive, and says so, before it is ready.
                self._tasks = [asyncio.create_task(work()) for work in self._works()]
                self._announce_end()
            elif message["type"] == "lifespan.shutdown":
                if self._grpc is not None:
                    await self._grpc.stop(self.settings.drain_s)
                    await self._grpc.close()
                for task in self._tasks:
                    task.cancel()
                with suppress(OSError):
                    self.metrics.publish()
            return message

        return hooked

    def _works(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        works = [self._serve_models, self._publish, self._follow_parent]
        if self._keys is not None:
            works.append(partial(self._keys.watch, self.settings.watch_s))
        if self.settings.grpc_port:
            works.append(self._serve_grpc)
        return works

    async def _serve_grpc(self) -> None:
        from service.oip.grpc_server import PortError, listen  # only who uses gRPC pays for its 9 MB

        try:
            self._grpc = await listen(self.pipeline, self.settings, self._keys)
        except PortError as error:
            log.critical("%s", error)
            signal.raise_signal(signal.SIGTERM)

    async def _follow_parent(self) -> None:
        """Without one nobody would replace this process, nor end it, and it would hold the port."""
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
        # What exists now stays: a collection that walks through it stops every request for tens of milliseconds.
        gc.collect()
        gc.freeze()
        self.pipeline.settle_budget()
        gc.set_threshold(YOUNG_OBJECTS)
        if self.loaded is not None:
            self.loaded()
        await self.repository.watch(self.settings.watch_s)


def _check(settings: Settings) -> None:
    """What the settings speak of is there."""
    if not settings.models_dir.is_dir():
        raise SettingsError(f"QUARTET_MODELS_DIR: {settings.models_dir} is no folder")
    if missing := set(settings.models) - set(names(settings.models_dir)):
        raise SettingsError(f"QUARTET_MODELS: {settings.models_dir} holds no bundle of {min(missing)}")
    _check_defaults(settings)
    if settings.api_keys is not None:
        parsed_lines(settings.api_keys, read_text(settings.api_keys))
    if settings.grpc_port:
        _check_port(settings.grpc_host.strip("[]"), settings.grpc_port)
    _check_provider(settings)


def _check_defaults(settings: Settings) -> None:
    """Whether the models that answer where none is named are there."""
    try:
        written = defaults_of(settings.models_dir)
    except BundleError as error:
        raise SettingsError(str(error)) from None
    there = settings.models or names(settings.models_dir)
    if missing := set(settings.defaults.values()) - set(there):
        raise SettingsError(f"QUARTET_DEFAULTS: {min(missing)} is not served")
    if not settings.models and (missing := set(written.values()) - set(there)):
        raise SettingsError(f"{settings.models_dir / DEFAULTS}: there is no bundle of {min(missing)}")


def _check_provider(settings: Settings) -> None:
    """Whether it starts, which only a session shows. It has a process of its own: this one would keep GPU memory."""
    providers_of(settings.provider)
    if settings.provider not in ("cpu", "auto"):
        with ProcessPoolExecutor(1, get_context("spawn")) as child:
            child.submit(_try_provider, settings).result()


def _try_provider(settings: Settings) -> None:
    """Raises ProviderError. A bundle that is broken says nothing of it."""
    for name in settings.models or names(settings.models_dir):
        with suppress(BundleError):
            Session(current(settings.models_dir, name), settings.provider, 1)
            return


def _check_port(host: str, port: int) -> None:
    """Whether gRPC may listen there: nobody does, or another worker of the same server."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        if error.errno != EADDRINUSE or not _is_shared(port):
            raise SettingsError(f"QUARTET_GRPC_PORT: cannot listen on {host}:{port}: {error.strerror}") from None


def _is_shared(port: int) -> bool:
    """Whether another process with the same parent listens there."""
    return any(
        one.laddr.port == port and one.status == psutil.CONN_LISTEN
        for sibling in psutil.Process(os.getppid()).children()
        if sibling.pid != os.getpid()
        for one in sibling.net_connections("tcp")
    )


def configure_logging(metrics: Metrics) -> None:
    backlog = Backlog(metrics.line_dropped)
    handler = Unhurried(backlog)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("service")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    access = logging.getLogger("service.access")
    access.handlers, access.propagate = [Unhurried(backlog)], False
    # The journal is the access log. uvicorn would put one together for every request, for nobody to read.
    logging.getLogger("uvicorn.access").propagate = False
    # gRPC has a traceback for everyone who hangs up on an answer.
    logging.getLogger("grpc._cython.cygrpc").setLevel(logging.CRITICAL)
    # BentoML's line for what is passed on to it holds the path as it was sent, line breaks included.
    logging.getLogger("bentoml.access").disabled = True
    for name in (None, *logging.root.manager.loggerDict):  # uvicorn has a line for every request that is no HTTP
        other = logging.getLogger(name)
        other.handlers = [Unhurried.in_place_of(one, backlog) for one in other.handlers]
