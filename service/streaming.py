"""Rows that are answered while others arrive: `?stream=true` on the routes of tables.

One part of a few hundred rows at a time goes through the model, behind the requests of others (`x-priority: patient`
is how a stream is), and the next one is read when the answer to the last one is on its way: a client that does not read
is not read from, and memory does not depend on how many rows there are. The time limits of a request are those of a
part.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from service.bundle import Arrays, Manifest
from service.codecs.cells import Table
from service.codecs.parts import Part, Parts, parts_of
from service.engine.batcher import PATIENT, Job
from service.engine.served_model import ServedModel
from service.errors import BodyTimeout, ClientGone, MemoryFull, QuartetError, QueueFull, UnsupportedMedia, problem
from service.http.exchange import Exchange
from service.messages import ARROW, CSV, NDJSON, Answer, Request, flag, parse_query, refuse_unknown
from service.pipeline import Pipeline, headers_of, version_of
from service.stage_pool import HEAVY, Caller, run_stage
from service.task import RowStream, Task
from service.tasks import rows
from service.tasks.row_writers import Writer, writer_of
from service.tasks.rows import SKIP, STREAM, Rows

FORMS = CSV, NDJSON, ARROW
ALIASES = {"application/jsonl": NDJSON, "application/ndjson": NDJSON, "application/json-seq": NDJSON}
PAUSE_S = 0.05  # before a part that found the queue full is tried again
ROOM = 16  # times a chunk: what its cells and their answer take


def asked(task: Task, query: bytes) -> bool:
    """Whether a request wants its rows streamed."""
    if task.stream is None or STREAM.name.encode() not in query:
        return False
    return flag(parse_query(query).get(STREAM.name), STREAM.name)


async def answer(task: Task, exchange: Exchange, pipeline: Pipeline) -> Answer:
    """The answer, once its first part is there: what is wrong until then is refused as ever."""
    assert task.stream is not None
    begun = RowsAnswered(task, task.stream, exchange, pipeline)
    parts = begun.parts()
    first = await anext(parts)
    return Answer(first, begun.media_type, begun.headers, parts)


class RowsAnswered:
    """One streamed request."""

    def __init__(self, task: Task, stream: RowStream, exchange: Exchange, pipeline: Pipeline) -> None:
        """Raises a ClientError for what the head gets wrong, Missing where there is no such model."""
        request = Request(b"", exchange.headers, exchange.scope["query_string"])
        refuse_unknown(request.query, task.fields)
        query = {name: value for name, value in request.query.items() if name != STREAM.name}
        model, version, self.options = task.asked({}, query)
        if b"content-encoding" in exchange.headers:
            raise UnsupportedMedia("A stream is sent as it is: leave content-encoding out.", "content-encoding")
        came = ALIASES.get(request.media_type, request.media_type)
        if came not in FORMS:
            raise UnsupportedMedia(f"A stream is {', '.join(FORMS)}: say which.", "content-type")
        self.media_type = request.choose((came, *(form for form in FORMS if form != came)))
        repository = pipeline.repository
        name = model or repository.default(task.kind or "")
        self._model: ServedModel = repository.pick(name, version_of(exchange.headers, version), task.kind)
        self._exchange, self._pipeline, self._task, self._stream = exchange, pipeline, task, stream
        self._request, self._manifest = request, self._model.manifest
        self._parts: Parts = parts_of(came, stream.field)
        self._writer: Writer = writer_of(self.media_type, stream, self._manifest)
        self._skip = self.options.get("on_error") == SKIP
        self._mark: str | None = None
        self._rows = self._skipped = 0
        self.headers: tuple[tuple[bytes, bytes], ...] = headers_of(self._manifest)

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """The pieces of the answer. Raises what is wrong before the first; later it is in the last piece."""
        begun = False
        try:
            async for part, size in self._incoming():
                right, error = await self._encoded(part, size)
                if right is not None:
                    piece = await self._answered(right, size)
                    yield piece
                    begun = True
                if error is not None:
                    raise error
            yield self._writer.end(self._rows, self._skipped)
        except QuartetError as error:
            if not begun or isinstance(error, ClientGone):
                raise
            self._exchange.refused(error)
            yield self._writer.failed(error, problem(error, self._exchange.request_id.decode("latin-1")))

    async def _incoming(self) -> AsyncIterator[tuple[Part, int]]:
        """Parts of rows, each with the bytes that came last."""
        more = True
        while more:
            chunk, more = await self._chunk()
            caller = self._caller()
            limits = self._pipeline.limits(self._exchange.lease, caller.deadline)
            for found in (self._parts.feed(chunk, limits), None if more else self._parts.end(limits)):
                while found is not None and (part := await run_stage(HEAVY, caller, next, found, None)) is not None:
                    yield part, len(chunk)

    async def _chunk(self) -> tuple[bytes, bool]:
        """What came next of the body, and whether there is more. Raises BodyTimeout, ClientGone, MemoryFull."""
        within = self._pipeline.settings.body_timeout_s
        try:
            async with asyncio.timeout(within):
                message = await self._exchange.receive()
        except TimeoutError:
            raise BodyTimeout(f"Nothing more of the body arrived within {within:g} s.") from None
        if message["type"] == "http.disconnect":
            raise ClientGone("The client hung up.")
        chunk = message.get("body", b"")
        assert self._exchange.lease is not None
        self._exchange.lease.settle(ROOM * len(chunk) + self._parts.size)
        return chunk, message.get("more_body", False)

    def _caller(self) -> Caller:
        """Who waits for a part."""
        deadline = self._pipeline.deadline(self._request, self._task.name)
        return Caller(deadline, self._exchange.client.gone, self._exchange.lease)

    async def _encoded(self, part: Part, size: int) -> tuple[Rows | None, QuartetError | None]:
        """The rows that are answered; without `skip` those before the first that is wrong, and what is."""
        found = await self._encode(part, size)
        if not found.faults or (self._skip and found.faults[0].row is not None):
            return found, None
        error = rows.first_of(found.faults, self._rows)
        wrong = [fault.row for fault in found.faults]
        place = 0 if None in wrong or not self._rows else min(row for row in wrong if row is not None)
        return (await self._encode(_until(part, place), size) if place else None), error

    async def _encode(self, part: Part, size: int) -> Rows:
        spec: Any = self._manifest.task
        if isinstance(part, Table):
            part = part._replace(decimal=self._mark)
        found = await run_stage(HEAVY, self._caller(), rows.encode, part, spec, self._stream.field, self._rows)
        self._mark = self._mark or found.mark
        return found if found.kept is not None else found._replace(kept=tuple(range(len(found.encoded))))

    async def _answered(self, found: Rows, size: int) -> bytes:
        prepared = self._stream.prepare(found, self.options, self._manifest)
        if not self._rows:
            told = found.headers()
            self.headers += tuple(pair for pair in told if pair[0] != b"x-rows-skipped")
        first, self._rows = self._rows, self._rows + found.total
        self._skipped += found.skipped
        write = partial(self._writer.part, found, context=prepared.context, first=first)
        if not len(found.encoded):
            return write(outputs=_nothing(self._manifest, prepared.graphs))
        caller = self._caller()
        while True:
            job = Job(prepared.inputs, caller, PATIENT, prepared.graphs)
            try:
                piece, _ = await self._pipeline.run(
                    perf_counter(), self._model, job, ROOM * size, None, _written, write
                )
                return piece
            except (QueueFull, MemoryFull):
                if monotonic() + PAUSE_S > caller.deadline:
                    raise
                await asyncio.sleep(PAUSE_S)


def _written(outputs: Arrays, write: Callable[..., bytes]) -> bytes:
    return write(outputs=outputs)


def _until(part: Part, place: int) -> Part:
    """The rows before that one."""
    if not isinstance(part, Table):
        return part[:place]
    columns = None if part.columns is None else part.columns.slice(0, place)
    uneven = frozenset(row for row in part.uneven if row < place)
    return part._replace(rows=part.rows[:place], uneven=uneven, columns=columns)


def _nothing(manifest: Manifest, graphs: tuple[str, ...]) -> Arrays:
    """What the graphs give for no row."""
    outputs = [one for graph in graphs for one in manifest.graphs[graph].outputs]
    return {
        one.name: np.zeros((0, *(side for side in one.shape if isinstance(side, int))), one.dtype) for one in outputs
    }
