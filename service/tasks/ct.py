"""CT denoising: slices in Hounsfield units -> the same slices with less noise."""

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel

from service.bundle import Arrays, CtDenoising, Manifest
from service.codecs import dicom, pictures
from service.codecs.arrays import numeric_array, parse_object, read_npy, write_npy
from service.codecs.forms import read_form
from service.errors import InvalidShape, InvalidValue, UnsupportedMedia
from service.limits import Limits
from service.messages import DICOM, FORM, JSON, NPY, PNG, Answer, Payload, Request, optional_text
from service.tasks.spacing import Spacing, check_slices, check_spacing, parse_spacing

REQUEST_MEDIA = (DICOM, FORM, NPY, JSON)
ANSWER_MEDIA = (DICOM, NPY, PNG, JSON)
HOLDING_SEVERAL = (NPY, JSON)
OPTIONS = ("spacing_mm",)


class DenoiseRequest(BaseModel, extra="forbid"):
    """Slices [N, H, W] in Hounsfield units, and the size of their pixels: one number, or two."""

    slices: list[list[list[float]]]
    spacing_mm: float | list[float] | None = None
    model: str | None = None
    version: str | None = None


class DenoiseAnswer(BaseModel):
    """Slices [N, H, W] in Hounsfield units."""

    model: dict[str, str]
    slices: list[list[list[float]]]


def decode(request: Request, limits: Limits) -> Payload:
    """Samples are DICOM slices, or an array [N, H, W] (or [H, W], then the answer is one, too) in HU."""
    payload = _decode(request, limits)
    _form(payload, request)  # what no answer could hold is not denoised
    return payload


def _decode(request: Request, limits: Limits) -> Payload:
    media, spacing = request.media_type, parse_spacing(request.query.get("spacing_mm"))
    if media == DICOM:
        return Payload([dicom.read_slice(request.body, limits)], spacing_mm=spacing)
    if media == FORM:
        files, fields = read_form(request, "dicom", {"model", "version", "spacing_mm"})
        limits.check_rows(len(files), "dicom")
        slices = dicom.read_slices(files, limits, "dicom")
        said = _one_of(spacing, parse_spacing(fields.get("spacing_mm")))
        return Payload(slices, fields.get("model"), fields.get("version"), spacing_mm=said)
    if media == NPY:
        return Payload(read_npy(request.body), spacing_mm=spacing)
    if media == JSON:
        return _decode_json(request.body, spacing, limits)
    raise UnsupportedMedia(f"Send {', '.join(REQUEST_MEDIA)}.", "content-type")


def _decode_json(body: bytes, spacing: Spacing | None, limits: Limits) -> Payload:
    document = parse_object(body, {"slices", "spacing_mm", "model", "version"}, limits)
    if "slices" not in document:
        raise InvalidValue("Missing.", "slices")
    said = _one_of(spacing, parse_spacing(document.get("spacing_mm")))
    slices = numeric_array(document["slices"], "slices", body)
    model, version = (optional_text(document.get(key), key) for key in ("model", "version"))
    return Payload(slices, model, version, spacing_mm=said)


def _one_of(query: Spacing | None, body: Spacing | None) -> Spacing | None:
    if query is not None and body is not None and query != body:
        raise InvalidValue("The body says something else than the URL.", "spacing_mm")
    return query or body


def _form(payload: Payload, request: Request) -> str:
    """The answer's: that of the request, unless `accept` says otherwise. DICOM and PNG hold one slice.

    Raises NotAcceptable.
    """
    samples = payload.samples
    own = DICOM if isinstance(samples, list) else JSON if request.media_type == JSON else NPY
    offered = tuple(dict.fromkeys((own, NPY, PNG, JSON)))
    rows = len(samples) if isinstance(samples, list) or samples.ndim == 3 else 1
    if rows <= 1:
        why = f"The answer can be {' or '.join(offered)}"
        return request.choose(offered, f"{why}." if own == DICOM else f"{why}; DICOM is the answer to DICOM only.")
    several = tuple(media for media in offered if media in HOLDING_SEVERAL)
    alone = "send one per request for another form"
    return request.choose(several, f"{rows} slices fit into {' or '.join(several)} only; {alone}.")


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """Float32 [N, H, W] in HU."""
    task = manifest.task
    assert isinstance(task, CtDenoising)
    hu = _stack(payload.samples)
    check_slices(hu.shape, _spacing(payload, task), task, limits, "slices")
    if not np.isfinite(hu).all():
        raise InvalidValue("Every value must be a finite number of Hounsfield units.")
    return {manifest.inputs[0].name: hu}


def _spacing(payload: Payload, task: CtDenoising) -> Spacing | None:
    """A slice's own, else what is said of it; of several slices the last one's, once the others are right."""
    spacing = payload.spacing_mm
    if not isinstance(payload.samples, list):
        return spacing
    for i, one in enumerate(payload.samples):
        if one.spacing_mm and spacing and spacing != one.spacing_mm:
            raise InvalidValue("The DICOM object has another PixelSpacing.", "spacing_mm")
        check_spacing(one.spacing_mm or spacing, task, f"dicom[{i}].PixelSpacing")
    return payload.samples[-1].spacing_mm or spacing


def _stack(samples: "list[dicom.Slice] | NDArray[np.generic]") -> NDArray[np.float32]:
    if not isinstance(samples, list):
        if samples.ndim not in (2, 3):
            raise InvalidShape(f"The array must be [H, W] or [N, H, W], got {list(samples.shape)}.")
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is refused as such
            return np.ascontiguousarray(samples if samples.ndim == 3 else samples[None], np.float32)
    if len({one.hu.shape for one in samples}) > 1:
        raise InvalidShape("All slices of a request must have the same size.", "dicom")
    return np.stack([one.hu for one in samples])


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    assert isinstance(manifest.task, CtDenoising)
    hu, samples = outputs[manifest.outputs[0].name], payload.samples
    media = _form(payload, request)
    if media == JSON:
        body = {"model": manifest.identity, "slices": hu}
        return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))
    if media == NPY:
        flat = not isinstance(samples, list) and samples.ndim == 2
        return Answer(write_npy(hu[0] if flat else hu), NPY)
    if media == PNG:
        return Answer(pictures.write_png(windowed(hu[0], manifest.task.window)), PNG)
    algorithm = f"{manifest.name} {manifest.version}"
    return Answer(dicom.write_derived(samples[0], hu[0], algorithm), DICOM)


def windowed(hu: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey 0..255 from `low` to `high` HU."""
    low, high = window
    grey: NDArray[np.uint8] = np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return grey
