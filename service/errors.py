"""Everything that can go wrong with a request, and the one form in which a client is told.

    QuartetError
    ├── ClientError                    the request must change
    │   ├── MalformedRequest     400   malformed_request     not HTTP
    │   ├── HeadTooLarge         431   head_too_large        the request line and its headers
    │   ├── HeadTimeout          408   head_timeout          they did not arrive in time
    │   ├── MalformedBody        400   malformed_body        not JSON, not an image, truncated, ...
    │   ├── EmptyBody            400   empty_body            there is no body
    │   ├── Unauthorized         401   unauthorized          no valid API key
    │   ├── Forbidden            403   forbidden             the operator has not enabled it
    │   ├── RateLimited          429   rate_limited          more requests than the key is good for
    │   ├── InvalidValue         422   invalid_value         a field is missing, unknown, out of range, NaN, ...
    │   ├── InvalidShape         422   invalid_shape         an array of the wrong shape or dtype
    │   ├── TooManyRows          422   too_many_rows         more samples in one request than allowed
    │   ├── NotExplainable       422   not_explainable       the bundle has no graph that explains it
    │   ├── NotFinite            422   not_finite            the model gives no number for such inputs
    │   ├── BodyTooLarge         413   body_too_large        in bytes, or in the memory that it would take
    │   ├── TooManyPixels        413   too_many_pixels       a picture, or slices
    │   ├── UnsupportedMedia     415   unsupported_media     content type or encoding inside it
    │   ├── NotAcceptable        406   not_acceptable        no form that `accept` allows
    │   ├── ReleaseRefused       409   release_refused       a release that cannot be made; the detail says why
    │   ├── MethodNotAllowed     405   method_not_allowed    the route takes others, which `allow` lists
    │   ├── BodyTimeout          408   body_timeout          the body did not arrive in time
    │   └── ClientGone           499   client_gone           hung up; counted, for nobody is there to read it
    ├── Missing                        what was asked for is not here
    │   ├── UnknownRoute         404   unknown_route         nothing is there
    │   ├── UnknownModel         404   unknown_model         no model of that name, or of that kind
    │   ├── UnknownVersion       404   unknown_version       the model has another version
    │   └── LoadFailed           422   load_failed           the bundle on disk is broken
    ├── Overloaded                     try again
    │   ├── TooManyConnections   503   too_many_connections  all of them at work
    │   ├── QueueFull            429   queue_full            as many samples wait for the model as may
    │   ├── MemoryFull           503   memory_full           other requests take up what it needs
    │   ├── DeviceMemoryFull     503   device_memory_full    the GPU has none left for the batch
    │   ├── DeviceLost           503   device_lost           the GPU does not answer any more
    │   ├── Draining             503   draining              the service is going down
    │   ├── NotReady             503   not_ready             models are being loaded, or this one does not load
    │   └── DeadlineExceeded     504   deadline_exceeded     the time was up
    └── Fault                          our side; the text of the exception stays in the log
        ├── InferenceFailed      500   inference_failed      the model failed on these inputs
        └── InternalError        500   internal_error        anything else

A `code` never changes once published. The body is RFC 9457 `application/problem+json`.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import orjson

TITLES = {status.value: status.phrase for status in HTTPStatus}

Headers = list[tuple[bytes, bytes]]
CLOSE = (b"connection", b"close")


# Characters of what a client is told; names that it sent itself may be part of either.
MAX_DETAIL, MAX_FIELD = 1000, 200


class QuartetError(Exception):
    """`detail` is for the client to read, `field` the path of the offending part: `applicants[2].age_years`."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_s: int | None = None
    errors: Sequence[Mapping[str, object]] = ()  # all of a table, of which this is the first
    error_count = 0
    expected = False  # whether it is what was asked for, as in the answer to a probe: neither counted nor logged

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = _shortened(detail, MAX_DETAIL)
        self.field = None if field is None else _shortened(field, MAX_FIELD)

    def headers(self) -> Headers:
        """What HTTP says of it beside the status and the body."""
        return [] if self.retry_after_s is None else [(b"retry-after", b"%d" % self.retry_after_s)]


class ClientError(QuartetError):
    status = 400


class MalformedRequest(ClientError):
    code = "malformed_request"


class HeadTooLarge(ClientError):
    status, code = 431, "head_too_large"


class HeadTimeout(ClientError):
    status, code = 408, "head_timeout"


class MalformedBody(ClientError):
    code = "malformed_body"


class EmptyBody(ClientError):
    code = "empty_body"


class Unauthorized(ClientError):
    status, code = 401, "unauthorized"

    def headers(self) -> Headers:
        return [(b"www-authenticate", b"Bearer")]


class Forbidden(ClientError):
    status, code = 403, "forbidden"


class RateLimited(ClientError):
    status, code = 429, "rate_limited"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class InvalidValue(ClientError):
    status, code = 422, "invalid_value"


class InvalidShape(ClientError):
    status, code = 422, "invalid_shape"


class TooManyRows(ClientError):
    status, code = 422, "too_many_rows"


class NotExplainable(ClientError):
    status, code = 422, "not_explainable"


class NotFinite(ClientError):
    status, code = 422, "not_finite"


class BodyTooLarge(ClientError):
    status, code = 413, "body_too_large"

    def headers(self) -> Headers:
        return [CLOSE]  # for the rest of the body is still on its way


class TooManyPixels(ClientError):
    status, code = 413, "too_many_pixels"


class UnsupportedMedia(ClientError):
    status, code = 415, "unsupported_media"


class NotAcceptable(ClientError):
    status, code = 406, "not_acceptable"


class MethodNotAllowed(ClientError):
    status, code = 405, "method_not_allowed"

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"Allowed here: {self.allowed}.")

    def headers(self) -> Headers:
        return [(b"allow", self.allowed.encode())]


class ReleaseRefused(ClientError):
    status, code = 409, "release_refused"


class BodyTimeout(ClientError):
    status, code = 408, "body_timeout"

    def headers(self) -> Headers:
        return [CLOSE]  # as above


class ClientGone(ClientError):
    status, code = 499, "client_gone"


class Missing(QuartetError):
    status = 404


class UnknownRoute(Missing):
    code = "unknown_route"


class UnknownModel(Missing):
    code = "unknown_model"


class UnknownVersion(Missing):
    code = "unknown_version"


class LoadFailed(Missing):
    status, code = 422, "load_failed"


class Overloaded(QuartetError):
    status = 503
    retry_after_s: int | None = 1


class TooManyConnections(Overloaded):
    code = "too_many_connections"


class QueueFull(Overloaded):
    status, code = 429, "queue_full"


class MemoryFull(Overloaded):
    code = "memory_full"


class DeviceMemoryFull(Overloaded):
    code = "device_memory_full"


class DeviceLost(Overloaded):
    code = "device_lost"


class Draining(Overloaded):
    code = "draining"


class NotReady(Overloaded):
    code = "not_ready"

    @classmethod
    def told(cls, state: str) -> "NotReady":
        """The answer to a probe."""
        answer = cls(state)
        answer.expected = True
        return answer


class DeadlineExceeded(Overloaded):
    status, code = 504, "deadline_exceeded"
    retry_after_s = None


class Fault(QuartetError):
    """What the client reads is fixed: the cause goes to the log, never over the wire."""

    def __init__(self) -> None:
        super().__init__("The service failed to answer. Quote the request id when you report it.")


class InferenceFailed(Fault):
    code = "inference_failed"


class InternalError(Fault):
    code = "internal_error"


def forget_path(error: BaseException) -> None:
    """Let go of the frames that an error has come through, once it is handled.

    They hold the request, and a future among them the error: a circle that only the garbage collector would break.
    """
    chain: list[BaseException | None] = [error]
    while chain:
        if (one := chain.pop()) is not None:
            chain += one.__context__, one.__cause__
            one.__traceback__ = one.__context__ = one.__cause__ = None


def problem(error: QuartetError, request_id: str, trace_id: str | None = None) -> bytes:
    """The RFC 9457 body of an error."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES.get(error.status, "Error"),
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
    }
    if trace_id is not None:
        body["trace_id"] = trace_id
    if error.field is not None:
        body["field"] = error.field
    if error.errors:
        body |= {"errors": error.errors, "error_count": error.error_count}
    return orjson.dumps(body)


def _shortened(text: str, most: int) -> str:
    """The text, cut where it is too long; half of a surrogate pair, which UTF-8 has no form for, becomes `?`."""
    cut = text if len(text) <= most else f"{text[:most]}..."
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()
