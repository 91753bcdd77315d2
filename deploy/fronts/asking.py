"""Clients of a front: some that behave, one that is slow, one that hangs up in the middle."""

import io
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException, HTTPSConnection
from threading import Event
from time import sleep
from typing import Self

from PIL import Image

from deploy.fronts.front import Front

PATH = "/quartet/v1/digits/classify?model=convnet"
HEADERS = {"content-type": "image/bmp"}
PIECES, PAUSE_S = 30, 0.2


def picture(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "white").save(buffer, "BMP")
    return buffer.getvalue()


class Prober:
    """Asks over and over, each client on a connection that it keeps, until told to end."""

    def __init__(self, front: Front, body: bytes) -> None:
        self.answered = 0
        self._front, self._body, self._over = front, body, Event()
        self._pool = ThreadPoolExecutor()
        self._running: list[Future[Counter[str]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._pool.shutdown()

    def once(self, body: bytes) -> int:
        connection = self._front.connection()
        try:
            return ask(connection, body)
        except OSError:  # refused while sending: the answer is there all the same, for who looks
            return connection.getresponse().status
        finally:
            connection.close()

    def begin(self, clients: int) -> None:
        self._running = [self._pool.submit(self._ask) for _ in range(clients)]

    def end(self) -> dict[str, int]:
        """What came in place of right answers, and how often."""
        self._over.set()
        outcomes = sum((one.result() for one in self._running), Counter[str]())
        self.answered = outcomes.pop("200", 0)
        return dict(outcomes)

    def _ask(self) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        connection = self._front.connection()
        while not self._over.is_set():
            try:
                outcomes[str(ask(connection, self._body))] += 1
            except (OSError, HTTPException) as error:
                outcomes[type(error).__name__] += 1
                connection.close()
        connection.close()
        return outcomes


def ask(connection: HTTPSConnection, body: bytes) -> int:
    connection.request("POST", PATH, body, HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def send_slowly(front: Front, body: bytes) -> int:
    connection = front.connection()
    connection.putrequest("POST", PATH)
    for name, value in (HEADERS | {"content-length": str(len(body))}).items():
        connection.putheader(name, value)
    connection.endheaders()
    size = -(-len(body) // PIECES)
    for start in range(0, len(body), size):
        connection.send(body[start : start + size])
        sleep(PAUSE_S)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def break_off(front: Front, body: bytes) -> None:
    connection = front.connection()
    connection.putrequest("POST", PATH)
    connection.putheader("content-length", str(len(body)))
    connection.endheaders()
    connection.send(body[: len(body) // 2])
    connection.close()
