"""What comes in and what goes out: one HTTP request with its whole body, one answer."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import suppress
from email.message import Message
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl

from service.budget import Lease
from service.caching import short_cache
from service.errors import InvalidValue, NotAcceptable

JSON, NPY, PNG, WEBP, GIF, DICOM, CSV, TEXT, FORM, RELATED, ZIP, ARROW, PARQUET, NDJSON = (
    "application/json",
    "application/x-npy",
    "image/png",
    "image/webp",
    "image/gif",
    "application/dicom",
    "text/csv",
    "text/plain",
    "multipart/form-data",
    "multipart/related",
    "application/zip",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
    "application/x-ndjson",
)


# Says that it accepts anything, and reads JSON only.
BENTOML_CLIENT = b"BentoML HTTP Client"


LONGEST = 1024  # media type with its parameters
MOST_RANGES = 64  # of media types that a client accepts
MOST_PARAMETERS = 64  # in a query
YES, NO = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}  # as people and their libraries write them

# Not registered, or for what is read as another, and sent all the same: by browsers, mail programs, libraries.
OTHER_NAMES = {
    "image/jpeg": ("image/jpg", "image/pjpeg"),
    PNG: ("image/apng", "image/x-png"),
    "image/bmp": ("image/x-ms-bmp", "image/x-bmp"),
    JSON: ("text/json", "application/x-json"),
    NPY: ("application/npy", "application/x-numpy"),
    DICOM: ("application/x-dicom", "image/dicom"),
    CSV: ("application/csv", "text/x-csv", "text/comma-separated-values"),
    ZIP: ("application/x-zip-compressed", "application/x-zip"),
    PARQUET: ("application/parquet", "application/x-parquet"),
    NDJSON: ("application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-lines"),
}
MEANT = {other: media for media, others in OTHER_NAMES.items() for other in others}

NO_QUERY: Mapping[str, str] = MappingProxyType({})


class Request:
    """`headers` by lower-case name and `query` undecoded, in bytes as ASGI has them."""

    __slots__ = ("body", "headers", "lease", "media_parameters", "media_type", "query", "request_id")

    def __init__(
        self,
        body: bytes,
        headers: dict[bytes, bytes],
        query: bytes = b"",
        lease: Lease | None = None,
        request_id: bytes = b"",
    ) -> None:
        """`lease` is on the memory that the request takes; whoever made it drops it."""
        self.body, self.lease, self.request_id = body, lease, request_id
        self.headers = headers
        self.query = parse_query(query) if query else NO_QUERY
        self.media_type, self.media_parameters = parse_media_type(self.headers.get(b"content-type", b""))

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def choose(self, offered: tuple[str, ...], why: str = "") -> str:
        """The media type of `offered` that `accept` prefers; the first when it does not mind.

        Raises NotAcceptable, which says `why` there are no others, where that is given.
        """
        if self.headers.get(b"user-agent", b"").startswith(BENTOML_CLIENT):
            return JSON
        chosen = preferred(self.headers.get(b"accept", b"*/*"), offered)
        if chosen is None:
            raise NotAcceptable(why or f"The answer can be {' or '.join(offered)}.", "accept")
        return chosen


class Answer(NamedTuple):
    """`rest` is what follows the body, made while it is read."""

    body: bytes
    media_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    rest: AsyncGenerator[bytes, None] | None = None


@short_cache(longest=256)
def parse_query(query: bytes) -> Mapping[str, str]:
    """Raises InvalidValue for a parameter that is given twice, and for too many."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        raise InvalidValue(f"The query has more than {MOST_PARAMETERS} parameters.") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise InvalidValue("Given twice in the query.", repeated([name for name, _ in pairs]))
    return MappingProxyType(parameters)


@short_cache(longest=LONGEST)
def parse_media_type(value: bytes) -> tuple[str, dict[str, str]]:
    """`image/png; q=1` -> ("image/png", {"q": "1"}). A name that is not registered is taken for what it means.

    What is longer than any media type is none.
    """
    text = value.decode("latin-1")
    parameters: dict[str, str] = {}
    if b";" not in value or len(value) > LONGEST:
        media = text.strip().lower()
    else:
        message = Message()
        message["content-type"] = text
        media = message.get_content_type()
        with suppress(ValueError, TypeError):  # the email package stumbles over parameters in pieces
            parameters = dict(message.get_params(failobj=[])[1:])
    return MEANT.get(media, media), parameters


@short_cache(longest=LONGEST)
def preferred(accept: bytes, offered: tuple[str, ...]) -> str | None:
    """The media type of `offered` with the greatest weight; None where none has any. RFC 9110 section 12.5.1.

    The most specific range that matches a media type says its weight, so that `image/png;q=0, */*` is anything but PNG.
    At equal weights the range that comes first decides, then the order of `offered`.
    """
    ranges: dict[str, tuple[float, int]] = {}  # the weight of each, and how far behind it comes
    for place, part in enumerate(accept.split(b",")[:MOST_RANGES]):
        media, parameters = parse_media_type(part.strip())
        ranges.setdefault(media, (_quality(parameters), -place))
    best, chosen = (0.0, -MOST_RANGES), None
    for candidate in offered:
        matching = (ranges.get(media) for media in (candidate, f"{candidate.split('/')[0]}/*", "*/*"))
        found = next(filter(None, matching), None)
        if found is not None and found[0] > 0 and found > best:
            best, chosen = found, candidate
    return chosen


def _quality(parameters: Mapping[str, str]) -> float:
    """The weight of a range; 0 where it is no number."""
    try:
        weight = float(parameters.get("q", 1))
    except (ValueError, TypeError):  # the latter where it has a character set
        return 0.0
    return weight if weight == weight else 0.0  # NaN is neither more nor less than another


def repeated(names: Sequence[str]) -> str:
    """The first of the names that comes more than once; there is one."""
    return next(name for name in names if names.count(name) > 1)


def refuse_unknown(query: Mapping[str, str], known: Collection[str]) -> None:
    """Raises InvalidValue for a parameter that is not `known`: it may be one that was misspelt."""
    for name in query:
        if name not in known:
            there = (
                f"there {'is' if len(known) == 1 else 'are'} {', '.join(sorted(known))}" if known else "there is none"
            )
            raise InvalidValue(f"Unknown query parameter: {there}.", name)


def flag(value: object, field: str) -> bool:
    """True or false as JSON has it or in words; false where nothing is said. Raises InvalidValue."""
    word = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(word, list | dict):  # which no set can look for
        if word is None or word is False or word in NO:
            return False
        if word is True or word in YES:
            return True
    raise InvalidValue("Must be true or false.", field)


def optional_text(value: object, field: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidValue("Must be a string.", field)
