"""What a client raises.

QuartetError
├── ConnectionFailed      no answer: refused, cut off, or not HTTP
├── DeadlineExceeded      the time was up, here or at the service (504)
└── AnswerError           the service refused
    ├── BadRequest        400 to 422: change the request; sent again as it is, it fails again
    ├── Forbidden         401, 403: the API key
    ├── NotFound          404: the route, the model or its version
    ├── Overloaded        429, 503: nothing was done; come back after `retry_after`
    └── ServiceFailed     500: a fault of the service
"""

import json
from http import HTTPStatus
from typing import Any

import httpx


class QuartetError(Exception):
    """Anything that this library raises of its own."""


class ConnectionFailed(QuartetError):
    """There was no answer."""


class DeadlineExceeded(QuartetError):
    """The answer would have come too late. Ask for less at once, or allow more time."""


class AnswerError(QuartetError):
    """The service refused. Decide by `code`, which never changes; `field` is the path of what is wrong."""

    def __init__(self, response: httpx.Response) -> None:
        problem = _problem(response)
        self.status: int = response.status_code
        self.code: str = str(problem.get("code", ""))
        self.detail: str = str(problem.get("detail") or problem.get("error") or response.reason_phrase)
        self.field: str | None = problem.get("field")
        self.request_id: str | None = problem.get("request_id") or response.headers.get("x-request-id")
        self.retry_after: float | None = _seconds(response.headers.get("retry-after"))
        super().__init__(f"{self.status} {self.code}: " + (f"{self.field}: " if self.field else "") + self.detail)


class BadRequest(AnswerError):
    pass


class Forbidden(AnswerError):
    pass


class NotFound(AnswerError):
    pass


class Overloaded(AnswerError):
    pass


class ServiceFailed(AnswerError):
    pass


CLASSES: dict[int, type[AnswerError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    429: Overloaded,
    503: Overloaded,
}


def error_of(response: httpx.Response) -> QuartetError:
    """What a status of 400 or more means."""
    if response.status_code == HTTPStatus.GATEWAY_TIMEOUT:
        return DeadlineExceeded(_problem(response).get("detail", "The time was up."))
    if response.status_code in CLASSES:
        return CLASSES[response.status_code](response)
    return (BadRequest if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR else ServiceFailed)(response)


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return {}  # from a proxy, say
    return body if isinstance(body, dict) else {}


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None  # a date, which Quartet does not send
