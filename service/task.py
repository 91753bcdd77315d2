"""What a task is: a route and everything that is particular to it, declared in one module of `service/tasks/`.

    bytes -read-> Payload -prepare-> Prepared -graphs-> outputs -writer-> Answer

Every stage is a function of what it is given: none writes into what another made.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer

from service.bundle import MAIN, Arrays, Manifest
from service.errors import InvalidValue, UnsupportedMedia
from service.limits import Limits
from service.messages import CSV, TEXT, Answer, Request, flag, optional_text, refuse_unknown
from service.recognition import UNSAID, recognise


class AnswerForm(BaseModel):
    """What is None is left out of the JSON, as the writers leave it out."""

    @model_serializer(mode="wrap")
    def _without_absent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


class Body(NamedTuple):
    """What a reader finds: samples in a form of the task's own, and the other fields as they were sent.

    `work` is what is left to decode, in the bytes of a body that takes as long.
    """

    samples: Any
    fields: Mapping[str, object] = {}
    work: int = 0


class Payload(NamedTuple):
    """A request that has been read: `options` holds a value for each of the task's that was asked for."""

    samples: Any
    media_type: str
    model: str | None
    version: str | None
    options: Mapping[str, Any]
    work: int = 0


class Prepared(NamedTuple):
    """What the graphs take and what the writers need beside the outputs.

    `context` has a type of the task's own, and only the task's writers look into it. `media_types` are those that the
    answer can have, where it cannot have all of the task's, and `why` says so. `pieces` make the same again, file by
    file, for an answer that is a series of files; its `headers` are known before the first of them is made.
    """

    inputs: Arrays
    context: Any = None
    graphs: tuple[str, ...] = (MAIN,)
    media_types: tuple[str, ...] = ()
    why: str = ""
    pieces: "Sequence[Callable[[], Prepared]]" = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()


class RowStream(NamedTuple):
    """How a task answers rows of a table while more of them arrive.

    field        that a row stands in, as errors say
    prepare      from the rows of a part and the options
    columns      that the answer adds to a part, by outputs and context
    predictions  of a part, as JSON has them
    """

    field: str
    prepare: Callable[[Any, Mapping[str, Any], Manifest], Prepared]
    columns: Callable[[Arrays, Any, Manifest], Mapping[str, Any]]
    predictions: Callable[[Arrays, Any, Manifest], list[dict[str, Any]]]


Reader = Callable[[Request, Limits, frozenset[str]], Body]  # the set: names of the fields that may come beside samples
Writer = Callable[[Arrays, Any, Manifest], Answer]  # outputs, context


class Series(Protocol):
    """Files in one body, each of which can be sent before the next is made."""

    media_type: str

    def piece(self, file: Answer) -> bytes: ...

    def end(self) -> bytes: ...


class Option(NamedTuple):
    """A parameter of the query, or a field of the body, that changes what is done.

    `parse` takes the value and the name and raises InvalidValue; what it makes of None counts as not asked for. `work`
    is what it adds to that of preparing the request, as `Body` counts it.
    """

    name: str
    description: str
    schema: Mapping[str, Any] = {"type": "boolean"}
    parse: Callable[[object, str], Any] = flag
    work: int = 0


class Example(NamedTuple):
    """A right request and what must be true of its answer: `check` raises ValueError where it is not."""

    name: str
    body: bytes
    media_type: str
    check: Callable[[bytes], None]
    query: str = ""
    accept: str = "*/*"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A route and what lies behind it.

    kind        of the specs whose bundles may answer; None: any, and then the path names the model
    graph       beside the main one, without which a bundle cannot answer
    readers     by the media type of the body
    writers     by the media type of the answer, the one that is given without `accept` first
    part        of a form: the name of what holds a sample
    series      by the media type of the answer, where it is files in a row: what each file becomes that `writers` write
    headers     of the answer, with their schemas
    body_limit  bytes of a body, several times what the largest honest one has; None: as many as the settings allow
    describe    adds to the schemas of the OpenAPI document what the served models say
    examples    from a bundle's golden inputs and outputs
    stream      where rows may be answered while others arrive, `?stream=true`
    """

    name: str
    path: str
    summary: str
    kind: str | None
    graph: str | None = None
    readers: Mapping[str, Reader]
    writers: Mapping[str, Writer]
    request_form: type[BaseModel]
    answer_form: type[BaseModel]
    prepare: Callable[[Payload, Manifest, Limits], Prepared]
    examples: Callable[[Manifest, Arrays, Arrays], Iterator[Example]]
    options: tuple[Option, ...] = ()
    part: str = ""
    series: Mapping[str, Callable[[], Series]] = field(default_factory=dict)
    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body_limit: int | None = None
    stream: RowStream | None = None
    describe: Callable[[dict[str, Any], Sequence[Manifest]], None] | None = None

    @cached_property
    def fields(self) -> frozenset[str]:
        """What a body may hold beside samples, and the query."""
        named = {"version"} if self.kind is None else {"model", "version"}
        return frozenset(named | {option.name for option in self.options})

    def read(self, request: Request, limits: Limits) -> Payload:
        """Raises a QuartetError for whatever the client got wrong that no model has to be known for."""
        if request.query:
            refuse_unknown(request.query, self.fields)
        reader = self._reader(request.media_type)
        body = reader(request, limits, self.fields)
        if not body.fields and not request.query:
            return Payload(body.samples, request.media_type, None, None, {}, body.work)
        model, version, options = self.asked(body.fields, request.query)
        work = body.work + sum(one.work for one in self.options if options.get(one.name))
        return Payload(body.samples, request.media_type, model, version, options, work)

    def asked(
        self, fields: Mapping[str, object], query: Mapping[str, str]
    ) -> tuple[str | None, str | None, dict[str, Any]]:
        """Model, version and options. Raises InvalidValue."""
        options = {}
        for option in self.options:
            name = option.name
            if (name in fields or name in query) and (
                value := _value_of(name, option.parse, fields, query)
            ) is not None:
                options[name] = value
        model = _value_of("model", optional_text, fields, query)
        return model, _value_of("version", optional_text, fields, query), options

    def answers_by(self, manifest: Manifest) -> bool:
        """Whether a bundle is of the kind, and holds what it takes."""
        return self.kind in (None, manifest.task.kind) and (self.graph is None or self.graph in manifest.graphs)

    def recognise(self, request: Request) -> None:
        """Where the sender does not say what the body is, go by its first bytes."""
        if request.media_type in UNSAID:
            found = recognise(request.body)
            textual = (one for one in (TEXT, CSV) if found in (TEXT, CSV) and one in self.readers)
            request.media_type = found if found in self.readers else next(textual, found)

    def _reader(self, media_type: str) -> Reader:
        """Raises UnsupportedMedia."""
        reader = self.readers.get(media_type)
        if reader is None:
            said = f"{media_type} is not read here: send" if media_type else "Send"
            raise UnsupportedMedia(f"{said} {', '.join(self.readers)}.", "content-type")
        return reader


def _value_of(
    name: str, parse: Callable[[object, str], Any], fields: Mapping[str, object], query: Mapping[str, str]
) -> Any:
    """What the body or the URL says; None: neither does. Raises InvalidValue where they say different things."""
    in_body = None if fields.get(name) is None else parse(fields[name], name)
    in_query = parse(query[name], name) if name in query else None
    if in_body is not None and in_query is not None and in_body != in_query:
        raise InvalidValue("The body says something else than the URL.", name)
    return in_query if in_body is None else in_body
