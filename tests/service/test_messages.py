"""Media types are parsed and chosen as RFC 9110 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidValue, NotAcceptable
from service.messages import JSON, NPY, PNG, Request, optional_text, parse_media_type, preferred

OFFERED = (PNG, JSON, NPY)


@pytest.mark.parametrize(
    ("value", "media", "parameters"),
    [
        (b"image/png", "image/png", {}),
        (b" Image/PNG ", "image/png", {}),
        (b"text/csv; charset=utf-8", "text/csv", {"charset": "utf-8"}),
        (b'multipart/form-data; boundary="a;b"', "multipart/form-data", {"boundary": "a;b"}),
        (b"image/jpg", "image/jpeg", {}),
        (b"image/JPG; q=0.5", "image/jpeg", {"q": "0.5"}),
        (b"image/apng", "image/png", {}),
        (b"application/x-zip-compressed", "application/zip", {}),
        (b"", "", {}),
        (b"application/json; a*0=b; a*=c", "application/json", {}),
    ],
)
def test_a_media_type_is_split_from_its_parameters(value: bytes, media: str, parameters: dict[str, str]) -> None:
    assert parse_media_type(value) == (media, parameters)


@given(st.binary(max_size=60))
def test_no_header_breaks_the_parser(value: bytes) -> None:
    value = value.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    parse_media_type(value)
    preferred(value, OFFERED)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (b"*/*", PNG),
        (b"application/json", JSON),
        (b"application/*", JSON),
        (b"application/json;q=0.5, application/x-npy", NPY),
        (b"text/html, image/*;q=0.1", PNG),
        (b"video/mp4", None),
        (b"image/png;q=0", None),
        (b"image/png;q=abc", None),
        (b"image/png;q*=utf-8''1", None),
        (b"", None),
        (b"image/png;q=0, */*", JSON),
        (b"*/*, image/png;q=0.5", JSON),
        (b"image/*;q=0.2, application/*;q=0.4, application/json;q=0.1", NPY),
        (b"*/*;q=0", None),
        (b"image/png;q=0.1, text/html;q=nan, application/json", JSON),
        (b"image/png;q=nan", None),
        (b"application/json, image/png", JSON),
        (b"text/html," * 100 + b"image/png", None),
        (b"image/png" + b";" * 60_000, None),  # seconds, for the parser of what mails hold
    ],
)
def test_the_form_that_accept_prefers_is_chosen(accept: bytes, chosen: str | None) -> None:
    assert preferred(accept, OFFERED) == chosen


def test_without_accept_the_first_form_is_chosen() -> None:
    assert Request(b"", {}).choose(OFFERED) == PNG


def test_a_form_that_is_not_offered_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotAcceptable, match="image/png or application/json"):
        Request(b"", {b"accept": b"text/html"}).choose(OFFERED)


def test_the_query_is_decoded() -> None:
    assert Request(b"", {}, b"model=convnet&version=a%20b").query == {"model": "convnet", "version": "a b"}


def test_optional_text_is_text_or_nothing() -> None:
    assert optional_text(None, "model") is None
    assert optional_text("convnet", "model") == "convnet"
    with pytest.raises(InvalidValue):
        optional_text(7, "model")
