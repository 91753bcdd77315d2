"""Whether an answer to a hostile request is one that a service may give."""

import csv
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import zstandard
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from pydicom import dcmread

from load_tests.wire import Reply
from service.codecs.cells import NAMED
from service.codecs.related import read_related
from service.messages import DICOM, Request


def objections(path: str, reply: Reply | None) -> Iterator[str]:
    """What is wrong with the answer."""
    if reply is None:
        yield "no answer"
    elif reply.status >= 500:
        yield f"status {reply.status}: {reply.body[:300]!r}"
    elif reply.status >= 400:
        yield from _refusal(path, reply)
    elif reply.status == 200:
        yield from _answer(reply._replace(body=_decoded(reply)))


def _refusal(path: str, reply: Reply) -> Iterator[str]:
    try:
        body = json.loads(reply.body)
    except ValueError:
        yield f"a refusal that is not JSON: {reply.body[:300]!r}"
        return
    if not reply.headers.get("x-request-id"):
        yield "a refusal without a request id"
    if path.startswith("/v2"):
        if not isinstance(body.get("error"), str):
            yield f"a refusal that is not in the protocol's form: {body}"
        return
    if reply.headers.get("content-type") != "application/problem+json":
        yield f"a refusal of the type {reply.headers.get('content-type')}"
    if body.get("status") != reply.status or body.get("request_id") != reply.headers["x-request-id"]:
        yield f"a problem that says something else than the headers: {body}"
    if not (body.get("code") and body.get("detail") and body.get("title")):
        yield f"a problem without code, detail and title: {body}"


def _answer(reply: Reply) -> Iterator[str]:
    media = reply.headers["content-type"].partition(";")[0]
    try:
        READERS[media](reply)
    except Exception as error:  # whatever a reader has to say about it
        yield f"an answer that is no {media}: {type(error).__name__}: {error}"


def _decoded(reply: Reply) -> bytes:
    coding = reply.headers.get("content-encoding", "identity")
    return DECODERS[coding](reply.body)


def _read_json(reply: Reply) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    json.loads(reply.body, parse_constant=refuse)


def _read_binary(reply: Reply) -> None:
    length = int(reply.headers["inference-header-content-length"])
    document = json.loads(reply.body[:length])
    sizes = [one["parameters"]["binary_data_size"] for one in document["outputs"] if "data" not in one]
    if length + sum(sizes) != len(reply.body):
        raise ValueError(f"{len(reply.body)} bytes, {length} of JSON and tensors of {sizes}")


DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


def _read_related(reply: Reply) -> None:
    request = Request(reply.body, {b"content-type": reply.headers["content-type"].encode()})
    for part in read_related(request, DICOM):
        _ = dcmread(io.BytesIO(part)).pixel_array


def _read_zip(reply: Reply) -> None:
    with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} is damaged")


def _read_picture(reply: Reply) -> None:
    Image.open(io.BytesIO(reply.body)).load()


SEPARATORS = {name: separator for separator, name in NAMED.items()}


def _read_csv(reply: Reply) -> None:
    """The separator is that of the request."""
    separator = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}.get(
        said := reply.headers["x-csv-separator"], said
    )
    header, *rows = csv.reader(io.StringIO(reply.body.decode("utf-8-sig")), delimiter=separator)
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a row has more or fewer cells than the header")


READERS = {
    "text/plain": lambda reply: list(text_string_to_metric_families(reply.body.decode())),
    "text/html": lambda reply: reply.body.decode(),
    "application/json": _read_json,
    "application/x-npy": lambda reply: np.load(io.BytesIO(reply.body), allow_pickle=False),
    **dict.fromkeys(("image/png", "image/webp", "image/gif"), _read_picture),
    "text/csv": _read_csv,
    "multipart/related": _read_related,
    "application/zip": _read_zip,
    "application/dicom": lambda reply: dcmread(io.BytesIO(reply.body)).pixel_array,
    "application/octet-stream": _read_binary,
}
