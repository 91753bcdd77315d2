"""Pictures and short clips from outside: a folder for each class, or these below train/, validation/ and test/."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.bundle import DigitClassification
from service.codecs.handwriting import read_digit
from training.data.clips import Clips, frames_of
from training.data.given import Given
from training.data.images import Images, Split
from training.data.store import DataError
from training.given import sizes
from training.given.report import Report
from training.given.schema import Schema, schema_of, source
from training.given.sides import ALIAS, SIDES, TEST, TRAIN, VALIDATION, fingerprint, split
from training.recipe import Recipe

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
MOST_PIXELS = 100_000_000

Pixels = NDArray[np.uint8]
Labelled = tuple[Pixels, NDArray[np.int64]]


class File(NamedTuple):
    path: Path
    label: int
    side: str | None


def folder(
    reader: Callable[[], Split], labels: tuple[object, ...] | None = None
) -> Callable[[Recipe[Any], Path], Given]:
    """How a recipe takes pictures in place of the Split that `reader` gives; its task's labels by default."""

    def given(recipe: Recipe[Any], path: Path) -> Given:
        names = tuple(str(one) for one in labels or vars(recipe.task)["labels"])
        image = next(one for one in (*recipe.inputs, *recipe.outputs) if one.name == "image")
        height, width = (int(side) for side in image.shape[1:3])
        white = int(image.range[1]) if image.range else 255
        digits = isinstance(recipe.task, DigitClassification) or names == tuple(map(str, range(10)))

        def read(row: int, file: Path, report: Report) -> Pixels:
            return _read(row, file, (height, width, white), digits, report)

        def both(train: Labelled, held: Labelled) -> Split:
            return Split(Images(*train, white=white), Images(*held, white=white))

        found = _given(path, names, read, both, (reader.__name__, recipe.sources[0]))
        return replace(found, hyper=found.hyper | sizes.fitting(recipe.hyper, len(found.value.train)))

    return given


def clips(reader: Callable[[], tuple[Clips, Clips]]) -> Callable[[Recipe[Any], Path], Given]:
    """The same of animations, in place of the clips that `reader` gives to train with and to measure."""

    def given(recipe: Recipe[Any], path: Path) -> Given:
        labels = tuple(str(one) for one in vars(recipe.task)["labels"])
        frames, height, width = (int(side) for side in recipe.inputs[0].shape[1:])

        def read(row: int, file: Path, report: Report) -> Pixels:
            return _clip(row, file, (frames, height, width), report)

        def both(train: Labelled, held: Labelled) -> tuple[Clips, Clips]:
            return Clips(*train), Clips(*held)

        found = _given(path, labels, read, both, (reader.__name__, recipe.sources[0]))
        return replace(found, hyper=found.hyper | sizes.fitting(recipe.hyper, len(found.value[0].labels)))

    return given


def _given(
    path: Path,
    labels: tuple[str, ...],
    read: Callable[[int, Path, Report], Pixels],
    both: Callable[[Labelled, Labelled], Any],
    stead: tuple[str, str],
) -> Given:
    """`both` makes of what trains and of what is held out what the recipe's reader gives."""
    schema = schema_of(path)
    if not path.is_dir():
        raise DataError(f"{path} is no folder: pictures come in a folder for each class")
    files = [*_files(path, labels, schema)]
    report = Report(path, lambda row: files[row].path.relative_to(path).as_posix())
    pixels = [read(row, file.path, report) for row, file in enumerate(files)]
    keys = [fingerprint(one.tobytes()) for one in pixels]
    _two_classes(keys, files, labels, report)
    told = [file.side for file in files]
    sides = split(keys, _identities(files, schema, report), _told(told, report), report)
    classes = np.array([file.label for file in files], np.int64)
    for side in SIDES:
        counts = Counter(classes[sides == side].tolist())
        report.per_class(side, {label: counts[index] for index, label in enumerate(labels)})
    text = report.check(*SIDES)
    stack = np.stack(pixels)
    order = np.concatenate([np.flatnonzero(sides == VALIDATION), np.flatnonzero(sides == TRAIN)])
    validating = int((sides == VALIDATION).sum())
    order = _shuffled(order, keys, validating)
    held = np.flatnonzero(sides == TEST)
    reader, replaces = stead
    return Given(
        source=source(path, schema, (file.path.read_bytes() for file in files)),
        replaces=replaces,
        reader=reader,
        value=both((stack[order], classes[order]), (stack[held], classes[held])),
        report=text,
        hyper={
            "validation": (validating := int((sides == VALIDATION).sum())),
            "labelled": _few(classes[order], validating),
        },
    )


def _few(labels: NDArray[np.int64], validating: int, count: int = 10) -> tuple[int, ...]:
    """The first pictures of each class that train, for what learns of a few labels."""
    rows = [np.flatnonzero(labels[validating:] == label)[:count] + validating for label in np.unique(labels)]
    return tuple(int(row) for row in np.concatenate(rows))


def _shuffled(order: NDArray[np.int64], keys: list[str], validating: int) -> NDArray[np.int64]:
    """Each side in the order of its fingerprints: the first pictures are of all classes."""
    parts = (order[:validating], order[validating:])
    return np.concatenate([np.array(sorted(part, key=lambda row: keys[row]), np.int64) for part in parts])


def _files(path: Path, labels: tuple[str, ...], schema: Schema) -> Iterator[File]:
    """Raises DataError with a folder that is no class."""
    known = {form: index for index, label in enumerate(labels) for form in (label.lower(), _slug(label))}
    found = sorted(one for one in path.rglob("*") if one.is_file() and one.suffix.lower() in ENDINGS)
    for file in found:
        *above, name = file.relative_to(path).parts[:-1] or ("",)
        place = schema.labels.get(name, name)
        if place.lower() not in known and _slug(place) not in known:
            raise DataError(f"{path.name}/{name or file.name} is no class: there must be a folder {', '.join(labels)}")
        side = ALIAS.get(above[0].lower(), above[0].lower()) if above else None
        yield File(file, known.get(place.lower(), known.get(_slug(place), 0)), side)
    if not found:
        raise DataError(f"{path.name} holds no pictures: there must be a folder for each of {', '.join(labels)}")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _told(sides: list[str | None], report: Report) -> list[str] | None:
    """The sides that the folders tell, where they do."""
    if not any(sides):
        return None
    for row, side in enumerate(sides):
        if side is None:
            report.wrong(row, "is below none of train, validation and test, where others are")
    return [side or TRAIN for side in sides]


def _identities(files: list[File], schema: Schema, report: Report) -> list[str] | None:
    if not schema.identity:
        return None
    try:
        pattern = re.compile(schema.identity)
    except re.error as error:
        raise DataError(f"schema.json, identity: no regular expression, {error}") from None
    if pattern.groups != 1:
        raise DataError("schema.json, identity: one group must say whom a picture is about, as in (patient[0-9]+)")
    found = [pattern.search(file.path.name) for file in files]
    for row, match in enumerate(found):
        if match is None:
            report.wrong(row, "the name does not say whom it is about, as schema.json's identity wants it")
    return [match[1] if match else "" for match in found]


def _two_classes(keys: list[str], files: list[File], labels: tuple[str, ...], report: Report) -> None:
    """The same picture with two labels teaches nothing right."""
    seen: dict[str, dict[int, int]] = defaultdict(dict)
    for row, (key, file) in enumerate(zip(keys, files, strict=True)):
        seen[key].setdefault(file.label, row)
    for places in seen.values():
        if len(places) > 1:
            (first, row), (second, other) = [*places.items()][:2]
            report.wrong(other, f"the same picture is {labels[first]}, {report.where(row)}, and {labels[second]}")


def _read(row: int, file: Path, form: tuple[int, int, int], digits: bool, report: Report) -> NDArray[np.uint8]:
    """A picture as the service prepares it for such a model, its levels from 0 to white."""
    height, width, white = form
    empty = np.full((height, width), row % 256, np.uint8)
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                report.wrong(row, f"has more than {MOST_PIXELS:,} pixels")
                return empty
            grey = np.asarray(ImageOps.exif_transpose(opened).convert("L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        report.wrong(row, "is no picture that can be read")
        return empty
    if digits and white == 255 and grey.shape != (height, width):
        digit = read_digit(grey, (height, width))
        if digit is None:
            report.wrong(row, "there is no digit in it")
            return empty
        return np.rint(digit.image).astype(np.uint8)
    if grey.shape != (height, width):
        grey = np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC))
    levels: NDArray[np.uint8] = np.rint(grey.astype(np.float32) * (white / 255)).astype(np.uint8)
    return levels


def _clip(row: int, file: Path, form: tuple[int, int, int], report: Report) -> Pixels:
    """The frames of an animation as the recipe's own are, so many and of that size."""
    empty = np.full(form, row % 256, np.uint8)
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                report.wrong(row, f"has more than {MOST_PIXELS:,} pixels")
                return empty
            found = frames_of(opened, form[0], (form[2], form[1]))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        report.wrong(row, "is no animation that can be read")
        return empty
    if not found:
        report.wrong(row, f"has fewer than {form[0]} frames")
        return empty
    return np.stack(found)
