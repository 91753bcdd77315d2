"""The service in this process behind uvicorn, asked by wrk in another one."""

import asyncio
from threading import Thread
from time import sleep

import uvicorn
import uvloop

from load_tests.bench import wrk
from load_tests.bodies import Body
from load_tests.in_process import not_found
from load_tests.servers import free_port
from service.http.connection import Connection
from service.settings import Settings
from service.worker import Worker

SECONDS = 1  # of a run: wrk takes whole ones


class Behind:
    """`with Behind(...) as server`: one model, in a thread with an event loop of its own."""

    def __init__(self, model: str, path: str, body: Body, connections: int) -> None:
        self._body, self._connections = body, connections
        settings = Settings(models=(model,), threads=1, provider="cpu")
        self._worker = Worker(settings)
        Connection.install(settings, self._worker.metrics.errors)
        app, port = self._worker.asgi(not_found), free_port()
        self._url = f"http://127.0.0.1:{port}{path}?model={model}"
        self._server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None, access_log=False))
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> "Behind":
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()

    def run(self) -> int:
        """Raises LoadError. The service counts, for wrk leaves out what is under way when its time is up."""
        before = self._answered()
        wrk.post(self._url, self._body, self._connections, SECONDS)
        return self._answered() - before

    def _answered(self) -> int:
        return int(sum(sum(histogram.values()[:-1]) for histogram in list(self._worker.metrics.requests.values())))

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        await self._worker.repository.load()
        await self._server.serve()
