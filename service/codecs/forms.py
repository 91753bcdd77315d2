"""`multipart/form-data` bodies."""

import logging
from collections.abc import Iterable, Set
from typing import Any

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError

from service.errors import InvalidValue, MalformedBody
from service.messages import Request

MAX_PARTS = 1024
BOUNDARY = b"------------------------quartet"
HEAD = b"--" + BOUNDARY + b'\r\ncontent-disposition: form-data; name="%s"; filename="file"\r\n\r\n'

# It warns of every damaged form, quoting from it.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def read_form(request: Request, part: str, known: Set[str]) -> tuple[list[bytes], dict[str, str]]:
    """The contents of all parts named `part`, in order, and every other field as text.

    Where there is none, all files are taken, whatever they are called. Raises InvalidValue for a field that is not
    `known`, and for one that is given twice.
    """
    boundary = request.media_parameters.get("boundary")
    if not boundary or not isinstance(boundary, str):  # the extended form of RFC 2231 is parsed to a tuple
        raise MalformedBody("multipart/form-data needs a boundary.", "content-type")
    files: list[bytes] = []
    others: list[bytes] = []  # under other names
    fields: dict[str, str] = {}

    def keep(name: bytes | None, value: bytes) -> None:
        key = (name or b"").decode("utf-8", "replace")
        if len(files) + len(others) + len(fields) >= MAX_PARTS:
            raise InvalidValue(f"More than {MAX_PARTS} parts.", key)
        if key == part:
            files.append(value)
        elif key in fields:
            raise InvalidValue("Given twice.", key)
        else:
            fields[key] = value.decode("utf-8", "replace")

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        content = file.file_object.read()
        if file.field_name == part.encode() or (file.field_name or b"").decode("utf-8", "replace") in known:
            keep(file.field_name, content)
        else:
            others.append(content)

    ended: list[bool] = []
    try:
        parser = FormParser(
            "multipart/form-data",
            on_field=lambda field: keep(field.field_name, field.value or b""),
            on_file=on_file,
            on_end=lambda: ended.append(True),
            boundary=boundary,
            config={"MAX_MEMORY_FILE_SIZE": len(request.body) + 1},
        )
        parser.write(request.body)
        parser.finalize()
    except FormParserError:
        raise MalformedBody("The multipart body is damaged.") from None
    if not ended:  # a part that was cut off would be left out silently
        raise MalformedBody("The multipart body ends before its last boundary.")
    if files and others:
        raise InvalidValue(f"Some files are called {part}, others not: call all of them {part}.", part)
    files = files or others
    if not files:
        raise InvalidValue(f"The form has no file, and no part named {part}.", part)
    if unknown := fields.keys() - known:
        raise InvalidValue(f"Unknown field: there are {part}, {', '.join(sorted(known))}.", min(unknown))
    return files, fields


def write_form(part: str, files: Iterable[bytes]) -> tuple[bytes, str]:
    """A body that holds the files, and its media type."""
    parts = (HEAD % part.encode() + file + b"\r\n" for file in files)
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY, f"multipart/form-data; boundary={BOUNDARY.decode()}"
