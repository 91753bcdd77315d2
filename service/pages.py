"""What the service says of itself: health, metrics, models, documentation."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from service import openapi
from service.bundle import MAIN, Manifest
from service.codecs.bars import Panel, draw
from service.drift import FeatureDrift, report
from service.engine.repository import Repository
from service.engine.served_model import ServedModel
from service.errors import NotAcceptable, NotReady, UnknownModel, UnknownRoute
from service.http.exchange import Scope
from service.http.throttling import Throttled
from service.messages import JSON, PNG, Answer, preferred
from service.metrics import Metrics

MODEL_PATH = re.compile(r"/v1/models/([a-z0-9-]{1,64})(?:/(drift)|/card/([a-z0-9-]{1,64}\.png))?")

# Swagger UI comes with BentoML, which serves it below /static_content: the page needs no other host. All addresses are
# relative, for a proxy may have put a prefix before them.
DOCS = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Quartet</title>
<link rel="stylesheet" href="static_content/swagger-ui.css"></head>
<body><div id="ui"></div><script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "openapi.json", dom_id: "#ui", deepLinking: true})</script></body></html>
"""
# The playground: plain files, read once. Its scripts and styles are its own and none stands in the page.
PLAYGROUND = Path(__file__).parent / "playground"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GUARDED = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
FORWARDED = re.compile(rb"(?:/[\w.~-]{1,64}){1,8}/?", re.ASCII)

Page = Callable[[], Awaitable[Answer]]


class Pages:
    def __init__(self, repository: Repository, metrics: Metrics) -> None:
        self.repository = repository
        self._metrics = metrics
        self._exposition = Throttled(metrics.page)
        self._document = b""
        self._described: list[tuple[str, str, str | None]] | None = None
        self._describing = asyncio.Lock()
        self._pages: dict[str, Page] = {
            **_playground(),
            "/docs": self.docs,
            "/livez": self.livez,
            "/healthz": self.livez,
            "/readyz": self.readyz,
            "/metrics": self.scrape,
            "/v1/models": self.models,
        }

    def find(self, path: str, scope: Scope) -> Page | None:
        page = self._pages.get(path)
        if path == "/openapi.json":
            return partial(self.openapi, prefix_of(scope))
        if page is None and (match := MODEL_PATH.fullmatch(path)):
            if match[3]:
                return partial(self.picture, match[1], match[3])
            return partial(self.drift, match[1], _accept(scope)) if match[2] else partial(self.model, match[1])
        return page

    async def docs(self) -> Answer:
        return Answer(DOCS, "text/html; charset=utf-8")

    async def openapi(self, prefix: str) -> Answer:
        """`prefix` is what a proxy put before the paths; where it says nothing, the document's own address tells."""
        async with self._describing:
            manifests, defaults = self.repository.manifests(), self._defaults()
            described = [(one.name, one.version, defaults.get(one.task.kind)) for one in manifests]
            if described != self._described:
                self._document = await asyncio.to_thread(self._describe, manifests, defaults)
                self._described = described
        servers = orjson.dumps({"servers": [{"url": prefix or "."}]})
        return Answer(servers[:-1] + b"," + self._document[1:])

    def _defaults(self) -> dict[str, str]:
        """By kind, where there is one."""
        defaults: dict[str, str] = {}
        for kind in {one.task.kind for one in self.repository.manifests()}:
            with suppress(UnknownModel, NotReady):
                defaults[kind] = self.repository.default(kind)
        return defaults

    def _describe(self, manifests: list[Manifest], defaults: dict[str, str]) -> bytes:
        settings = self.repository.settings
        examples = openapi.examples_of(settings.models_dir, manifests, set(defaults.values()))
        return orjson.dumps(openapi.document(manifests, settings.api_keys is not None, defaults, examples))

    async def livez(self) -> Answer:
        return Answer(b"alive\n", "text/plain")

    async def readyz(self) -> Answer:
        """Raises NotReady, which says what is missing."""
        if not self.repository.ready:
            raise NotReady.told(self.repository.state)
        return Answer(orjson.dumps({"status": "ready"}))

    async def scrape(self) -> Answer:
        return Answer(await self._exposition(), CONTENT_TYPE_LATEST)

    async def models(self) -> Answer:
        return Answer(orjson.dumps({"models": [self._summary(model) for model in self.repository.models.values()]}))

    async def model(self, name: str) -> Answer:
        """Raises UnknownModel."""
        model = self.repository.pick(name, None)
        described = self._summary(model) | _manifest(model.manifest) | {"card": model.card}
        return Answer(orjson.dumps(described))

    async def picture(self, name: str, file: str) -> Answer:
        """One that the model's card shows. Raises UnknownModel, UnknownRoute."""
        model = self.repository.pick(name, None)
        shown = f"]({file})" in model.card
        content = await asyncio.to_thread(model.bundle.picture, file) if shown else None
        if content is None:
            raise UnknownRoute(f"The card of {name} has no such picture here.")
        return Answer(content, PNG, ((b"x-content-type-options", b"nosniff"), *_headers(model.manifest)))

    async def drift(self, name: str, accept: bytes) -> Answer:
        """Raises UnknownModel, NotAcceptable."""
        media_type = preferred(accept, (JSON, PNG))
        if media_type is None:
            raise NotAcceptable(f"The answer can be {JSON} or {PNG}.", "accept")
        model = self.repository.pick(name, None)
        told = report(model.manifest, model.watch, self._metrics.windows(name, model.manifest.version))
        if media_type == JSON:
            return Answer(told.model_dump_json().encode())
        panels = [_panel(one) for one in told.features]
        return Answer(await asyncio.to_thread(draw, panels), PNG, _headers(model.manifest))

    def _summary(self, model: ServedModel) -> dict[str, Any]:
        manifest = model.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "family": manifest.family,
            "kind": manifest.task.kind,
            "default": self._answers(manifest),
            "description": manifest.description,
            "provider": model.provider,
            "precision": model.precision,
            "loaded": model.loaded is not None,
            "metrics": [metric.model_dump(mode="json") for metric in manifest.metrics],
        }

    def _answers(self, manifest: Manifest) -> bool:
        """Whether it answers where a request of its kind names no model."""
        with suppress(UnknownModel, NotReady):
            return self.repository.default(manifest.task.kind) == manifest.name
        return False


def _headers(manifest: Manifest) -> tuple[tuple[bytes, bytes], ...]:
    return (b"x-model", manifest.name.encode()), (b"x-model-version", manifest.version.encode())


def _accept(scope: Scope) -> bytes:
    return b", ".join(value for name, value in scope["headers"] if name == b"accept") or b"*/*"


def _panel(one: FeatureDrift) -> Panel:
    told = "too few" if one.psi is None else f"PSI {one.psi:.3f}, p {one.p_value:.2g}"
    return Panel(one.feature, f"{one.rows} rows: {told}", one.reference, one.counts or ())


def _playground() -> dict[str, Page]:
    """Its files by path; the page itself lies at `/`, above the others, so that what it asks for is below it."""
    pages: dict[str, Page] = {}
    for file in sorted(PLAYGROUND.iterdir()):
        path = "/" if file.name == "index.html" else f"/playground/{file.name}"
        answer = Answer(file.read_bytes(), f"{TYPES[file.suffix]}; charset=utf-8", GUARDED)
        pages[path] = partial(_static, answer)
    return pages


async def _static(answer: Answer) -> Answer:
    return answer


def prefix_of(scope: Scope) -> str:
    """What a proxy that strips it put before the paths, by `x-forwarded-prefix` or the server's root path, else ""."""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-prefix", b"").strip()
    given = forwarded.decode() if FORWARDED.fullmatch(forwarded) else str(scope.get("root_path", ""))
    return given.rstrip("/")


def _manifest(manifest: Manifest) -> dict[str, Any]:
    """All of it, and the signature of the main graph, which is what a client asks for first."""
    main = {"inputs", "outputs"}
    return manifest.model_dump(mode="json") | manifest.graphs[MAIN].model_dump(mode="json", include=main)
