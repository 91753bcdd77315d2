"""What regular expressions, splitters and caches find hard: long runs of one thing in headers, queries and paths."""

import random

from load_tests.bodies import JSON, applicants, as_json, as_npy, digit, slice_hu
from load_tests.hostile.bombs.parcel import amount
from load_tests.hostile.seeds import ACTIVATIONS, CLASSIFY, DENOISE, GENERATE, INFER, SCORE
from load_tests.hostile.shot import Shot

UNITS = (
    *b"1 a A 0 . - + e 1. e1 ; , = & % %20 %ff ( ) [ { \" ' \\ / :".split(),
    *b"a= a=b; a=b& ;q= q=1, a/b, * */*, 00-".split(),
    *(b" ", b"\t", b"\xff"),
)
ENDS = (b"", b"x", b"!", b"\0", b"=", b'"', b"1", b";q=1", b" ")
HEADERS = (
    *b"accept accept-encoding content-type content-encoding x-timeout-ms x-priority x-request-id".split(),
    *b"x-model-version traceparent inference-header-content-length authorization x-api-key".split(),
    *b"user-agent if-none-match host origin".split(),
)
MOST = 60_000  # bytes, as much as the head of a request may have
SOUND = (
    (CLASSIFY, as_npy(digit(7)).content, b"application/x-npy"),
    (ACTIVATIONS, as_npy(digit(7)).content, b"application/x-npy"),
    (SCORE, as_json({"applicants": applicants()[:1]}).content, JSON.encode()),
    (DENOISE, as_npy(slice_hu()[:32, :32]).content, b"application/x-npy"),
    (GENERATE, b'{"count":1,"seed":1}', JSON.encode()),
    (INFER, b"{}", JSON.encode()),
)
PAGES = ("/v1/models", "/v1/models/digits", "/metrics", "/openapi.json", "/readyz", "/docs", "/v2", "/v2/models/digits")


def run(chance: random.Random) -> bytes:
    """A long run of one thing, and something else at its end."""
    unit = chance.choice(UNITS)
    return chance.choice((b"", b"a", b"1", b"00-")) + unit * amount(chance, MOST // len(unit)) + chance.choice(ENDS)


def heads(chance: random.Random) -> Shot:
    """In a header."""
    path, body, media_type = chance.choice(SOUND)
    headers = {b"content-type": media_type}
    name = chance.choice(HEADERS)
    value = run(chance)
    if name == b"content-type":
        value = chance.choice((media_type, b"multipart/form-data", b"text/csv")) + b";" + value
    return Shot("POST", path, b"", headers | {name: value}, body)


def queries(chance: random.Random) -> Shot:
    """In the query, which caches may keep."""
    path, body, media_type = chance.choice(SOUND)
    name = chance.choice((b"", b"model=", b"version=", b"many=", b"explain=", b"a=", b"k%d=" % chance.randrange(10**9)))
    return Shot("POST", path, name + run(chance), {b"content-type": media_type}, body)


def paths(chance: random.Random) -> Shot:
    """In the path."""
    piece = run(chance).decode("latin-1")
    path = chance.choice(
        (
            "/{}",
            "/v1/models/{}",
            "/v1/models/{}/predict",
            "/v2/models/{}/infer",
            "/v2/models/digits/versions/{}/infer",
            "/v2/repository/models/{}/load",
            "/static_content/{}",
        )
    )
    return Shot(chance.choice(("GET", "POST")), path.format(piece), b"", {b"content-type": JSON.encode()}, b"{}")


def pages(chance: random.Random) -> Shot:
    """A page that is dear to make."""
    headers = {b"accept-encoding": chance.choice((b"gzip", b"zstd", b"deflate", b"identity", b"br"))}
    return Shot(chance.choice(("GET", "HEAD")), chance.choice(PAGES), chance.choice((b"", run(chance))), headers, b"")


BOMBS = (heads, queries, paths, pages)
