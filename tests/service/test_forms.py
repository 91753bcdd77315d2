"""multipart/form-data: parts in order, fields as text, damage refused."""

import contextlib

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.codecs.forms import MAX_PARTS, read_form
from service.errors import InvalidValue, MalformedBody, QuartetError
from service.messages import Request

BOUNDARY = "frontier"
KNOWN = {"model", "version"}
PART = (
    b'--frontier\r\ncontent-disposition: form-data; name="image"\r\n'
    b"content-transfer-encoding: %s\r\n\r\n%s\r\n--frontier--\r\n"
)


def form(files: list[bytes], fields: dict[str, str] | None = None) -> Request:
    """A form as an HTTP client writes it."""
    parts = [("image", (f"{i}.png", file)) for i, file in enumerate(files)]
    sent = httpx.Request("POST", "http://here", files=parts, data=fields)
    return Request(sent.read(), {b"content-type": sent.headers["content-type"].encode()})


def raw(body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Request:
    return Request(body, {b"content-type": content_type.encode("latin-1")})


@given(
    st.lists(st.binary(max_size=200), min_size=1, max_size=5),
    st.dictionaries(
        st.sampled_from(["model", "version"]), st.text(st.characters(codec="ascii", exclude_characters="\r\n"))
    ),
)
def test_what_a_client_sends_is_read_back(files: list[bytes], fields: dict[str, str]) -> None:
    assert read_form(form(files, fields), "image", KNOWN) == (files, fields)


def test_a_part_without_a_filename_counts_too() -> None:
    body = b'--frontier\r\ncontent-disposition: form-data; name="image"\r\n\r\nbytes\r\n--frontier--\r\n'
    assert read_form(raw(body), "image", KNOWN) == ([b"bytes"], {})


def test_files_may_have_any_name() -> None:
    assert read_form(form([b"x", b"y"]), "dicom", KNOWN) == ([b"x", b"y"], {})


def test_a_form_without_a_file_says_which_part_it_lacks() -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_form(
            raw(b'--frontier\r\ncontent-disposition: form-data; name="model"\r\n\r\nx\r\n--frontier--\r\n'),
            "dicom",
            KNOWN,
        )
    assert refusal.value.field == "dicom"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_needs_its_boundary(content_type: str) -> None:
    with pytest.raises(MalformedBody, match="boundary"):
        read_form(raw(b"x", content_type), "image", KNOWN)


def test_a_form_of_endless_parts_is_refused() -> None:
    with pytest.raises(InvalidValue, match=str(MAX_PARTS)):
        read_form(form([b""] * (MAX_PARTS + 1)), "image", KNOWN)


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9, 0.98])
def test_a_truncated_form_is_refused(keep: float) -> None:
    """Also where only its last part is: nothing that was sent may be left out silently."""
    whole = form([b"a" * 300, b"b" * 300])
    part = whole.body[: int(len(whole.body) * keep)]
    with pytest.raises(MalformedBody):
        read_form(raw(part, whole.headers[b"content-type"].decode()), "image", KNOWN)


@given(st.binary(max_size=300) | st.binary(max_size=100).map(lambda tail: b"--frontier\r\n" + tail))
@example(b"--frontier\r\ncontent-disposition: form-data\r\n\r\nx\r\n--frontier--\r\n")
@example(b"--frontier\r\n\r\nx\r\n--frontier--\r\n")
@example(PART % (b"base64", b"%%%"))
@example(PART % (b"nonsense", b"x"))
def test_any_body_gives_parts_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(QuartetError):
        read_form(raw(body), "image", KNOWN)


@pytest.mark.parametrize(
    "boundary",
    [
        "boundary*=utf-8'en'frontier",
        'boundary="a;b"',
        "boundary=" + "x" * 5000,
        "boundary=\xe9",
        "boundary*0=fron; boundary*1=tier",
    ],
)
def test_any_boundary_gives_parts_or_a_refusal(boundary: str) -> None:
    with contextlib.suppress(QuartetError):
        read_form(raw(b"--frontier\r\n", f"multipart/form-data; {boundary}"), "image", KNOWN)


def test_a_field_that_is_unknown_or_given_twice_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="Unknown field: there are image, model, version") as refusal:
        read_form(form([b"x"], {"modle": "convnet"}), "image", KNOWN)
    assert refusal.value.field == "modle"
    text = b'--frontier\r\ncontent-disposition: form-data; name="model"\r\n\r\nconvnet\r\n'
    with pytest.raises(InvalidValue, match="twice") as refusal:
        read_form(raw(text * 2 + PART % (b"binary", b"x")), "image", KNOWN)
    assert refusal.value.field == "model"
