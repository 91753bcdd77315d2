"""Requests from the command line: a file goes to the task that it is for, the answer to the screen or a file.

What may be sent, asked for and answered is read from the tasks, so that every new one can be asked at once.
"""

import argparse
import mimetypes
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

from service.messages import CSV, DICOM, JSON, NPY
from service.task import Option, Task
from service.tasks import TASKS

URL, KEY = "ASK_QUARTET_URL", "ASK_QUARTET_KEY"  # not settings of the service, whose names begin with QUARTET_
TIMEOUT_S = 300.0
SUFFIXES = {".npy": NPY, ".dcm": DICOM, ".dicom": DICOM, ".csv": CSV}
BEGINNINGS = ((b"\x93NUMPY", NPY), (b"{", JSON), (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))


class AskError(Exception):
    """What cannot be asked, or was refused, in words for the one who typed it."""


def main(words: Sequence[str]) -> None:
    """`words` begin with `ask` or `samples`. Raises AskError."""
    there = names()
    if words[0] == "samples":
        words = ["ask", SAMPLES, *words[1:]]
    parser = argparse.ArgumentParser(
        prog="quartet ask",
        description="Send files, or words alone, to a task.",
        epilog="example: quartet ask digits photo.jpg",
    )
    tasks = parser.add_subparsers(required=True, metavar="TASK", help=", ".join(there))
    for name, task in there.items():
        add(tasks, name, task)
    given = vars(parser.parse_args(words[1:]))
    ask(given.pop("task"), given.pop("files"), given.pop("output"), _client(given.pop("url"), given.pop("key")), given)


def names() -> dict[str, Task]:
    """The tasks by a word for each: `/v1/digits/classify` is `digits`; where a path has several, `samples/generate`.

    Those of one model are `activations` and `predict`.
    """
    words = {task.path: task.path.removeprefix("/v1/").split("/") for task in TASKS}
    firsts = [parts[0] for parts in words.values()]
    named = {}
    for task in TASKS:
        parts = words[task.path]
        alone = parts[0] if firsts.count(parts[0]) == 1 else "/".join(parts)
        named[parts[-1] if task.kind is None else alone] = task
    return dict(sorted(named.items()))


SAMPLES = next(name for name, task in names().items() if task.path == "/v1/samples/generate")


def add(tasks: Any, name: str, task: Task) -> None:
    """The parser of one task, with the task's options, or the fields of the body where all that it reads is words."""
    formatted = argparse.RawDescriptionHelpFormatter
    parser = tasks.add_parser(
        name, description=f"{task.summary}.", epilog=_example(name, task), formatter_class=formatted
    )
    parser.set_defaults(task=task, files=[])
    parser.add_argument("--model", required=task.kind is None, help="in place of the default")
    parser.add_argument("--version", help="refused when the service has another one")
    if tuple(task.readers) == (JSON,):
        for field, about in task.request_form.model_fields.items():
            if field not in ("model", "version"):
                parser.add_argument(_flag(field), dest=field, metavar="VALUE", help=about.description)
    else:
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help=f"{', '.join(task.readers)}; - is stdin"
        )
        add_options(parser, task.options)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=f"{', '.join(task.writers)}, by its suffix")
    parser.add_argument("--url", help=f"of the service; else {URL}, else http://127.0.0.1:3000")
    parser.add_argument("--key", help=f"API key; else {KEY}")


def _example(name: str, task: Task) -> str:
    reads, writes = next(iter(task.readers)), next(iter(task.writers))
    what = "--count 16" if "count" in task.request_form.model_fields else f"FILE{_suffix(reads)}"
    return f"example:\n  quartet ask {name} {what}{'' if writes == JSON else f' -o ANSWER{_suffix(writes)}'}"


def _suffix(media: str) -> str:
    known = {found: suffix for suffix, found in reversed(SUFFIXES.items())}
    return known.get(media) or mimetypes.guess_extension(media) or ""


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
    for option in options:
        _add_option(parser, option)


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.schema.get("type") == "boolean":
        parser.add_argument(
            _flag(option.name), dest=option.name, action="store_const", const="true", help=option.description
        )
    else:
        parser.add_argument(_flag(option.name), dest=option.name, metavar="VALUE", help=option.description)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _client(url: str | None, key: str | None) -> httpx.Client:
    key = key or os.environ.get(KEY)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(
        base_url=url or os.environ.get(URL, "http://127.0.0.1:3000"), headers=headers, timeout=TIMEOUT_S
    )


def ask(
    task: Task, files: Sequence[Path], output: Path | None, client: httpx.Client, fields: Mapping[str, str | None]
) -> None:
    """Send each file, or the fields alone where there is none, and show or write the answers. Raises AskError."""
    said = {name: value for name, value in fields.items() if value is not None}
    if output is not None and len(files) > 1 and not output.is_dir():
        raise AskError(f"{output} takes one answer: name a folder that is there for the answers of {len(files)} files.")
    with client:
        for request in [_of_file(task, file, said) for file in files] or [_of_words(said)]:
            _write(_send(client, task, request, _accept(task, output)), output, request["name"])


def _of_file(task: Task, file: Path, said: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise AskError(f"{file}: {error.strerror}") from None
    media = media_type(file, content)
    if media not in task.readers:
        raise AskError(f"{file} is {media or 'of an unknown form'}. {task.path} reads {', '.join(task.readers)}.")
    return {"name": file.name, "params": dict(said), "content": content, "headers": {"content-type": media}}


def _of_words(said: Mapping[str, str]) -> dict[str, Any]:
    """A task whose request is only words, as samples are: all of them in a JSON body."""
    return {"name": "answer", "params": {}, "json": {name: _value(text) for name, text in said.items()}}


def _value(text: str) -> Any:
    """What JSON makes of it; else the text itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def media_type(file: Path, content: bytes) -> str:
    """By the name of the file, else by its first bytes; empty where neither says."""
    guessed = SUFFIXES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0]
    if guessed is None and content[128:132] == b"DICM":
        return DICOM
    return guessed or next((media for begin, media in BEGINNINGS if content.startswith(begin)), "")


def _accept(task: Task, output: Path | None) -> str:
    if output is None or output.is_dir():
        return JSON if JSON in task.writers else next(iter(task.writers))
    media = media_type(output, b"") or next(iter(task.writers))
    if media not in task.writers:
        raise AskError(f"{task.path} does not answer in {media} but in {', '.join(task.writers)}.")
    return media


def _send(client: httpx.Client, task: Task, request: dict[str, Any], accept: str) -> httpx.Response:
    said = request["params"] if "content" in request else request["json"]
    path = task.path.format(name=said.pop("model")) if task.kind is None else task.path
    headers = {"accept": accept, **request.get("headers", {})}
    body = {name: request[name] for name in ("content", "json") if name in request}
    return _answer(client, "POST", path, params=request["params"] or None, headers=headers, **body)


def _answer(client: httpx.Client, method: str, path: str, **request: Any) -> httpx.Response:
    try:
        response = client.request(method, path, **request)
    except httpx.TransportError as error:
        raise AskError(f"No service answers at {client.base_url} ({error}). Start one with: quartet serve") from None
    if response.is_error:
        raise AskError(told(response))
    return response


def told(response: httpx.Response) -> str:
    """What a refusal says, in one line."""
    try:
        problem = response.json()
        field = f"{problem['field']}: " if "field" in problem else ""
        return f"{response.status_code} {problem['code']}: {field}{problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.reason_phrase}"


def _write(response: httpx.Response, output: Path | None, name: str) -> None:
    if output is not None:
        target = output / f"{name}.json" if output.is_dir() else output
        target.write_bytes(response.content)
        print(f"{target}: {len(response.content):,} bytes")
    elif response.headers["content-type"] == JSON:
        print(orjson.dumps(response.json(), option=orjson.OPT_INDENT_2).decode())
    elif sys.stdout.isatty():
        raise AskError(f"The answer is {response.headers['content-type']}: say where to write it with -o FILE")
    else:
        sys.stdout.buffer.write(response.content)


def print_models(url: str | None) -> None:
    """The models of a running service, a line each. Raises AskError."""
    with _client(url, None) as client:
        response = _answer(client, "GET", "/v1/models")
    for model in sorted(response.json()["models"], key=lambda one: (one["kind"], one["name"])):
        figures = [f"{one['name']} {one['value']:.4g} {one['unit']}".strip() for one in model["metrics"][:1]]
        print(f"{model['name']:28}{model['kind']:24}{model['version']:18}{' '.join(figures)}")
