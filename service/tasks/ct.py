"""CT denoising: slices in Hounsfield units -> the same slices with less noise."""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, CtDenoising, Manifest
from service.codecs import dicom, pictures
from service.codecs.arrays import numeric_array, parse_object, read_npy, write_npy
from service.codecs.forms import read_form, write_form
from service.codecs.noise import noise_hu
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import DICOM, FORM, JSON, NPY, PNG, Answer, Request
from service.task import Body, Example, Payload, Prepared, Task
from service.tasks.ct_options import NOISE, STRENGTH, VIEW, WINDOW, View
from service.tasks.denoised import DIFFERENCE, HEADERS, Denoised
from service.tasks.spacing import SPACING, Spacing, check_spacing
from service.tasks.tensors import check_lengths

HOLDING_SEVERAL = (NPY, JSON)


class DenoiseRequest(BaseModel, extra="forbid"):
    """Slices [N, H, W] in Hounsfield units, and the size of their pixels: one number, or two."""

    slices: list[list[list[float]]]
    spacing_mm: float | list[float] | None = None
    strength: float | None = Field(default=None, ge=0, le=1)
    noise: float | None = Field(default=None, ge=0)
    window: str | None = None
    view: View | None = None
    model: str | None = None
    version: str | None = None


class NoiseFound(BaseModel):
    """Of each slice, the standard deviation of its noise in Hounsfield units."""

    before: list[float]
    after: list[float]


class DenoiseAnswer(BaseModel):
    """Slices [N, H, W] in Hounsfield units, the noise in them, and the root mean square of each one's change."""

    model: dict[str, str]
    slices: list[list[list[float]]]
    noise_hu: NoiseFound
    change_hu: list[float]


class Context(NamedTuple):
    """What came: the slices [N, H, W] in HU and as DICOM, where they came so; and whether an array was [H, W]."""

    hu: NDArray[np.float32]
    padding: NDArray[np.bool_] | None
    sources: list[dicom.Slice]
    flat: bool
    options: Mapping[str, Any]

    def denoised(self, outputs: Arrays, manifest: Manifest) -> Denoised:
        strength = self.options.get(STRENGTH.name, 1.0)
        return Denoised.blended(self.hu, outputs[manifest.outputs[0].name], strength, self.padding)


def read_dicom(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return Body([dicom.read_slice(request.body, limits)])


def read_parts(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    files, given = read_form(request, "dicom", fields)
    limits.check_rows(len(files), "dicom")
    return Body(dicom.read_slices(files, limits, "dicom"), given)


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
    if isinstance(samples, list):
        _check_each(samples, spacing, task)
    hu = _stack(samples)
    limits.check_rows(len(hu), "slices")
    if len(hu) > 1 and payload.options.get(VIEW.name, "denoised") != "denoised":
        raise InvalidValue(f"It is a picture of one slice, and these are {len(hu)}.", VIEW.name)
    check_lengths(hu.shape, tensor, manifest.axes, limits, "slices")
    if not np.isfinite(hu).all():
        raise InvalidValue("Every value must be a finite number of Hounsfield units.")
    if not isinstance(samples, list):
        check_spacing(spacing, task)
    sources = samples if isinstance(samples, list) else []
    padding = _padding(hu, sources, tensor.range)
    inputs = {tensor.name: hu} | _noise(payload, manifest, hu, padding)
    context = Context(hu, padding, sources, not sources and samples.ndim == 2, payload.options)
    return Prepared(inputs, context, media_types=_offered(payload, len(hu)), why=_why(payload, len(hu)))


def _padding(
    hu: NDArray[np.float32], sources: list[dicom.Slice], within: tuple[float, float] | None
) -> NDArray[np.bool_] | None:
    """What the slices say of themselves, and what lies outside the range that the model was made for."""
    padding = np.zeros(hu.shape, bool) if within is None else (hu < within[0]) | (hu > within[1])
    for one, source in zip(padding, sources, strict=False):
        if source.padding is not None:
            one |= source.padding
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
    """The form of the request before others. DICOM and PNG hold one slice, and DICOM is the answer to DICOM only."""
    own = DICOM if isinstance(payload.samples, list) else JSON if payload.media_type == JSON else NPY
    offered = tuple(dict.fromkeys((own, NPY, PNG, JSON)))
    if payload.options.get(VIEW.name, "denoised") != "denoised":
        offered = (PNG,)
    return offered if rows == 1 else tuple(media for media in offered if media in HOLDING_SEVERAL)


def _why(payload: Payload, rows: int) -> str:
    forms = " or ".join(_offered(payload, rows))
    if rows > 1:
        return f"{rows} slices fit into {forms} only; send one per request for another form."
    if forms == PNG:
        return f"A view is a picture: accept {PNG}."
    if isinstance(payload.samples, list):
        return f"The answer can be {forms}."
    return f"The answer can be {forms}; DICOM is the answer to DICOM only."


def _check_each(slices: list[dicom.Slice], spacing: Spacing | None, task: CtDenoising) -> None:
    """A slice's own spacing, else what is said of it."""
    for i, one in enumerate(slices):
        if one.spacing_mm and spacing and spacing != one.spacing_mm:
            raise InvalidValue("The DICOM object has another PixelSpacing.", "spacing_mm")
        check_spacing(one.spacing_mm or spacing, task, f"dicom[{i}].PixelSpacing")


def _stack(samples: "list[dicom.Slice] | NDArray[np.generic]") -> NDArray[np.float32]:
    if not isinstance(samples, list):
        if samples.ndim not in (2, 3):
            raise InvalidShape(f"The array must be [H, W] or [N, H, W], got {list(samples.shape)}.")
        with np.errstate(over="ignore"):  # what does not fit float32 becomes infinite and is refused as such
            return np.ascontiguousarray(samples if samples.ndim == 3 else samples[None], np.float32)
    if len({one.hu.shape for one in samples}) > 1:
        raise InvalidShape("All slices of a request must have the same size.", "dicom")
    return np.stack([one.hu for one in samples])


def write_json(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    denoised = context.denoised(outputs, manifest)
    body = {
        "model": manifest.identity,
        "slices": denoised.after,
        "noise_hu": {"before": denoised.noise_before, "after": denoised.noise_after},
        "change_hu": denoised.change,
    }
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), JSON, denoised.headers())


def write_array(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    denoised = context.denoised(outputs, manifest)
    return Answer(write_npy(denoised.after[0] if context.flat else denoised.after), NPY, denoised.headers())


def write_preview(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    assert isinstance(manifest.task, CtDenoising)
    denoised, view = context.denoised(outputs, manifest), context.options.get(VIEW.name, "denoised")
    window = context.options.get(WINDOW.name) or (DIFFERENCE if view == "difference" else manifest.task.window)
    return Answer(pictures.write_png(denoised.picture(view, window)), PNG, denoised.headers())


def write_dicom(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    (source,) = context.sources  # DICOM was not offered otherwise
    denoised, algorithm = context.denoised(outputs, manifest), f"{manifest.name} {manifest.version}"
    return Answer(dicom.write_derived(source, denoised.after[0], algorithm), DICOM, denoised.headers())


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, CtDenoising)
    hu, denoised = inputs[manifest.inputs[0].name], outputs[manifest.outputs[0].name]
    low, high = manifest.task.spacing_mm or (0.6, 0.6)
    spacing = (low + high) / 2
    query, file = f"spacing_mm={spacing:g}", dicom.write_example(hu[0], (spacing, spacing))
    yield Example("slices", write_npy(hu), NPY, _array_check(denoised, 0.1), query, NPY)
    small = {"slices": hu[:1].tolist(), "spacing_mm": spacing}
    yield Example("JSON", orjson.dumps(small), JSON, _slices_check(denoised[:1]))
    yield Example("DICOM", file, DICOM, _dicom_check(denoised[0]), accept=DICOM)
    yield Example("DICOM to an array", file, DICOM, _array_check(denoised[:1], 2.0), accept=NPY)
    yield Example("DICOM to a preview", file, DICOM, _preview_check(denoised[0]), accept=PNG)
    yield Example("DICOM in a form", *write_form("dicom", [file]), _array_check(denoised[:1], 2.0), accept=NPY)


def _array_check(golden: NDArray[np.float32], within: float) -> Callable[[bytes], None]:
    """A check that an answer is the golden slices, on average within so many HU: a file has whole ones."""

    def check(answer: bytes) -> None:
        _compare(np.load(io.BytesIO(answer), allow_pickle=False), golden, within)

    return check


def _slices_check(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    return lambda answer: _compare(np.array(orjson.loads(answer)["slices"]), golden, 0.1)


def _dicom_check(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        _compare(dicom.read_slice(answer, Limits(1, golden.size)).hu, golden, 2.0)

    return check


def _preview_check(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        shape = pictures.read(answer, Limits(1, golden.size)).pixels.shape
        if shape[:2] != golden.shape:
            raise ValueError(f"a preview of {shape}, not {golden.shape}")

    return check


def _compare(given: NDArray[Any], golden: NDArray[np.float32], within: float) -> None:
    if given.shape != golden.shape:
        raise ValueError(f"slices of {given.shape}, not {golden.shape}")
    if (distance := float(np.abs(given - golden).mean())) > within:
        raise ValueError(f"{distance:.2f} HU from the golden slices on average")


TASK = Task(
    name="denoise_ct",
    path="/v1/ct/denoise",
    summary="Reduce the noise of CT slices",
    kind="ct-denoising",
    readers={DICOM: read_dicom, FORM: read_parts, NPY: read_array, JSON: read_json},
    writers={DICOM: write_dicom, NPY: write_array, PNG: write_preview, JSON: write_json},
    request_form=DenoiseRequest,
    answer_form=DenoiseAnswer,
    prepare=prepare,
    examples=examples,
    options=(SPACING, STRENGTH, NOISE, WINDOW, VIEW),
    headers=HEADERS,
    part="dicom",
)
