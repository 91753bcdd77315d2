"""CT denoising: slices in Hounsfield units -> the same slices with less noise."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, CtDenoising, Manifest
from service.codecs import dicom
from service.codecs.archives import Archive, read_archive
from service.codecs.arrays import numeric_array, parse_object, read_npy
from service.codecs.forms import read_form
from service.codecs.noise import noise_hu
from service.codecs.related import Related, read_related
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import DICOM, FORM, JSON, NPY, PNG, RELATED, ZIP, Request
from service.task import Body, Payload, Prepared, Task
from service.tasks.ct_examples import examples
from service.tasks.ct_options import DEIDENTIFY, NOISE, STRENGTH, VIEW, WINDOW, View
from service.tasks.ct_warnings import warnings_of
from service.tasks.ct_writers import (
    Context,
    warning_headers,
    write_array,
    write_dicom,
    write_json,
    write_preview,
)
from service.tasks.denoised import HEADERS
from service.tasks.spacing import SPACING, Spacing, check_spacing
from service.tasks.tensors import check_lengths

NOTHING: Mapping[str, object] = {}
INFLATED = 4  # bytes that a zip archive may hold for each pixel of the limit
FILES = {RELATED: "parts", ZIP: "zip"}  # forms that hold several of DICOM, and how one is called by its number


class DenoiseRequest(BaseModel, extra="forbid"):
    """Slices [N, H, W] in Hounsfield units, and the size of their pixels: one number, or two."""

    slices: list[list[list[float]]]
    spacing_mm: float | list[float] | None = None
    strength: float | None = Field(default=None, ge=0, le=1)
    noise: float | None = Field(default=None, ge=0)
    window: str | None = None
    view: View | None = None
    deidentify: bool | None = None
    model: str | None = None
    version: str | None = None


class NoiseFound(BaseModel):
    """Of each slice, the standard deviation of its noise in Hounsfield units."""

    before: list[float]
    after: list[float]


class DenoiseAnswer(BaseModel):
    """Slices [N, H, W] in HU, the noise in them, the root mean square of each one's change, and what is doubtful."""

    model: dict[str, str]
    slices: list[list[list[float]]]
    noise_hu: NoiseFound
    change_hu: list[float]
    warnings: list[str]


def read_dicom(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return Body([dicom.read_image(request.body, limits)])


def read_parts(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    files, given = read_form(request, "dicom", fields)
    return _files(files, limits, "dicom", given)


def read_series(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return _files(read_related(request, DICOM), limits, FILES[RELATED])


def read_zip(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return _files(read_archive(request.body, limits, INFLATED * limits.max_pixels), limits, FILES[ZIP])


def _files(files: list[bytes], limits: Limits, field: str, given: Mapping[str, object] = NOTHING) -> Body:
    limits.check_rows(len(files), field)
    return Body(dicom.read_images(files, limits, field), given)


def read_array(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    """[N, H, W], or [H, W], and then the answer is one, too."""
    return Body(read_npy(request.body))


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    document = parse_object(request.body, {"slices", *fields}, limits)
    if "slices" not in document:
        raise InvalidValue("Missing.", "slices")
    return Body(numeric_array(document.pop("slices"), "slices", request.body), document)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Float32 [N, H, W] in HU."""
    task, samples, tensor = manifest.task, payload.samples, manifest.inputs[0]
    assert isinstance(task, CtDenoising)
    spacing = payload.options.get(SPACING.name)
    sources = samples if isinstance(samples, list) else []
    _check_each(sources, spacing, task, FILES.get(payload.media_type, "dicom"))
    hu = _stack(samples)
    limits.check_rows(len(hu), "slices")
    if len(hu) > 1 and payload.options.get(VIEW.name, "denoised") != "denoised":
        raise InvalidValue(f"It is a picture of one slice, and these are {len(hu)}.", VIEW.name)
    check_lengths(hu.shape, tensor, manifest.axes, limits, "slices")
    if not np.isfinite(hu).all():
        raise InvalidValue("Every value must be a finite number of Hounsfield units.")
    if not sources:
        check_spacing(spacing, task)
    padding = _padding(hu, sources, tensor.range)
    inputs = {tensor.name: hu} | _noise(payload, manifest, hu, padding)
    doubts = warnings_of(hu, sources, spacing, task.caution)
    pseudonyms = dicom.Pseudonyms() if payload.options.get(DEIDENTIFY.name) else None
    context = Context(hu, padding, sources, not sources and samples.ndim == 2, payload.options, doubts, pseudonyms)
    return Prepared(
        inputs,
        context,
        media_types=_offered(payload, len(hu)),
        why=_why(payload, len(hu)),
        pieces=list(_pieces(inputs, context)),
        headers=warning_headers(doubts),
    )


def _pieces(inputs: Arrays, context: Context) -> Iterator[Callable[[], Prepared]]:
    """Each object by itself."""
    first = 0
    for source in context.sources:
        part = slice(first, first + len(source.hu))
        padding = None if context.padding is None else context.padding[part]
        own = context._replace(hu=context.hu[part], padding=padding, sources=[source])
        yield partial(Prepared, {name: array[part] for name, array in inputs.items()}, own)
        first = part.stop


def _padding(
    hu: NDArray[np.float32], sources: list[dicom.Image], within: tuple[float, float] | None
) -> NDArray[np.bool_] | None:
    """What the slices say of themselves, and what lies outside the range that the model was made for."""
    padding = np.zeros(hu.shape, bool) if within is None else (hu < within[0]) | (hu > within[1])
    first = 0
    for source in sources:
        if source.padding is not None:
            padding[first : first + len(source.hu)] |= source.padding
        first += len(source.hu)
    return padding if padding.any() else None


def _noise(payload: Payload, manifest: Manifest, hu: NDArray[np.float32], padding: NDArray[np.bool_] | None) -> Arrays:
    """For a graph that wants to be told: what the client says of it, or what is found."""
    given = payload.options.get(NOISE.name)
    if NOISE.name not in {tensor.name for tensor in manifest.inputs}:
        if given is not None:
            raise InvalidValue(f"{manifest.name} finds the noise by itself and cannot be told: leave it out.", "noise")
        return {}
    if given is not None:
        return {NOISE.name: np.full(len(hu), given, np.float32)}
    paddings = [None] * len(hu) if padding is None else padding
    return {NOISE.name: np.array([noise_hu(*pair) for pair in zip(hu, paddings, strict=True)], np.float32)}


def _offered(payload: Payload, rows: int) -> tuple[str, ...]:
    """The form of the request before others. PNG holds one slice, DICOM one object, and is the answer to DICOM only."""
    if payload.options.get(VIEW.name, "denoised") != "denoised":
        return (PNG,)
    picture = (PNG,) if rows == 1 else ()
    if not isinstance(payload.samples, list):
        return (JSON, NPY, *picture) if payload.media_type == JSON else (NPY, *picture, JSON)
    own = (payload.media_type,) if payload.media_type in FILES else ()
    single = (DICOM,) if len(payload.samples) == 1 else ()
    return tuple(dict.fromkeys((*own, *single, NPY, *picture, JSON, *FILES)))


def _why(payload: Payload, rows: int) -> str:
    forms = " or ".join(_offered(payload, rows))
    if forms == PNG:
        return f"A view is a picture: accept {PNG}."
    if rows > 1:
        return f"{rows} slices fit into {forms} only; send one per request for another form."
    if isinstance(payload.samples, list):
        return f"The answer can be {forms}."
    return f"The answer can be {forms}; DICOM is the answer to DICOM only."


def _check_each(images: list[dicom.Image], spacing: Spacing | None, task: CtDenoising, field: str) -> None:
    """A slice's own spacing, else what is said of it."""
    for i, image in enumerate(images):
        for own in {frame.spacing_mm for frame in image.frames}:
            if own and spacing and spacing != own:
                raise InvalidValue("The DICOM object has another PixelSpacing.", "spacing_mm")
            check_spacing(own or spacing, task, f"{field}[{i}].PixelSpacing")


def _stack(samples: "list[dicom.Image] | NDArray[np.generic]") -> NDArray[np.float32]:
    if not isinstance(samples, list):
        if samples.ndim not in (2, 3):
            raise InvalidShape(f"The array must be [H, W] or [N, H, W], got {list(samples.shape)}.")
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is refused as such
            return np.ascontiguousarray(samples if samples.ndim == 3 else samples[None], np.float32)
    if len({one.hu.shape[1:] for one in samples}) > 1:
        raise InvalidShape("All slices of a request must have the same size.", "dicom")
    return samples[0].hu if len(samples) == 1 else np.concatenate([one.hu for one in samples])


TASK = Task(
    name="denoise_ct",
    path="/v1/ct/denoise",
    summary="Reduce the noise of CT slices",
    kind="ct-denoising",
    readers={
        DICOM: read_dicom,
        FORM: read_parts,
        RELATED: read_series,
        ZIP: read_zip,
        NPY: read_array,
        JSON: read_json,
    },
    writers={
        DICOM: write_dicom,
        RELATED: write_dicom,
        ZIP: write_dicom,
        NPY: write_array,
        PNG: write_preview,
        JSON: write_json,
    },
    request_form=DenoiseRequest,
    answer_form=DenoiseAnswer,
    prepare=prepare,
    examples=examples,
    options=(SPACING, STRENGTH, NOISE, WINDOW, VIEW, DEIDENTIFY),
    series={RELATED: partial(Related, DICOM), ZIP: partial(Archive, "dcm")},
    headers=HEADERS,
    part="dicom",
)
