"""The client that blocks. Made of async_client.py by `python make_sync.py`; change it there."""

import time
from collections.abc import Mapping
from typing import Self, TypeVar

import httpx

from quartet_client import ct, endpoints, models, samples, tracing
from quartet_client.answers import ModelSummary
from quartet_client.call import Call
from quartet_client.errors import ConnectionFailed, DeadlineExceeded, QuartetError, error_of
from quartet_client.retrying import Attempts

T = TypeVar("T")


class Client:
    """A pool of connections to one service; share it between threads and close it at the end.

    `base_url` may have a path, where the service is behind one. `timeout` is in seconds for a whole call; the service
    is told, so that it does not compute what comes too late. `retries` says how often a call is sent again that was
    refused for lack of room or cut off; the pauses grow and honour `Retry-After`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:3000",
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        key = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        sent = {"user-agent": "quartet-client", **key, **(headers or {})}
        self._http = httpx.Client(base_url=base_url, headers=sent, transport=transport)
        self._timeout, self._retries = timeout, retries
        self.digits = endpoints.DigitsEndpoint(self)
        self.images = endpoints.ImagesEndpoint(self)
        self.clips = endpoints.ClipsEndpoint(self)
        self.credit = endpoints.CreditEndpoint(self)
        self.tables = endpoints.TablesEndpoint(self)
        self.texts = endpoints.TextsEndpoint(self)
        self.series = endpoints.SeriesEndpoint(self)
        self.sales = endpoints.SalesEndpoint(self)
        self.ct = ct.CtEndpoint(self)
        self.samples = samples.SamplesEndpoint(self)
        self.feedback = models.FeedbackEndpoint(self)
        self.releases = models.ReleasesEndpoint(self)

    def model(self, name: str) -> models.ModelEndpoint:
        """Any model by its name, by tensors."""
        return models.ModelEndpoint(self, name)

    def models(self) -> list[ModelSummary]:
        """All that the service has."""
        asked = Call("/v1/models", lambda got: [ModelSummary.of(one) for one in got.json()["models"]], method="GET")
        return self.send(asked)

    def ready(self) -> bool:
        """Whether the service can answer: its models are loaded. Raises ConnectionFailed where it is not there."""
        try:
            response = self._http.get("/readyz", timeout=self._timeout)
        except httpx.TransportError as error:
            raise ConnectionFailed(f"No answer from {self._http.base_url}: {error!r}") from error
        return response.status_code == httpx.codes.OK

    def send(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and read the answer.

        Raises AnswerError where the service refuses, ConnectionFailed where it does not answer, DeadlineExceeded.
        """
        timeout = self._timeout if call.timeout is None else call.timeout
        attempts = Attempts(self._retries, timeout, idempotent=call.idempotent)
        while True:
            try:
                return _read(call, self._answer(call, attempts.left()))
            except QuartetError as problem:
                pause = attempts.pause(problem)
            time.sleep(pause)

    def _answer(self, call: Call[T], seconds: float) -> httpx.Response:
        request = call.request(self._http, {"x-timeout-ms": f"{max(1, int(seconds * 1000))}", **tracing.headers()})
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        try:
            return self._http.send(request)
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"No answer within {seconds:.3g} s.") from error
        except httpx.TransportError as error:
            raise ConnectionFailed(f"No answer from {self._http.base_url}: {error!r}") from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _read(call: Call[T], response: httpx.Response) -> T:
    if response.is_error:
        raise error_of(response)
    try:
        return call.read(response)
    except (KeyError, TypeError, ValueError) as error:
        raise QuartetError(f"{response.url} did not answer as Quartet does: {error!r}") from error
