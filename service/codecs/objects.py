"""Small JSON objects, whose fields are looked at one by one, as Python objects."""

from collections.abc import Set
from typing import Any

import orjson

from service.errors import InvalidValue, MalformedBody


def read_object(body: bytes, known: Set[str] | None = None) -> dict[str, Any]:
    """Raises MalformedBody, and InvalidValue when it is no object or has other fields than `known`; None: any."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"Not JSON: {error.msg} at character {error.pos}.") from None
    if not isinstance(document, dict):
        raise InvalidValue("The body must be an object.")
    if known is not None and (unknown := document.keys() - known):
        raise InvalidValue("Unknown field.", min(unknown))
    return document
