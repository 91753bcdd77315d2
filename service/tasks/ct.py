"""CT denoising: slices in Hounsfield units -> the same slices with less noise."""

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel

from service.bundle import Arrays, CtDenoising, Manifest
from service.codecs import dicom, pictures
from service.codecs.arrays import numeric_array, parse_object, read_npy, write_npy
from service.codecs.forms import read_form, write_form
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import DICOM, FORM, JSON, NPY, PNG, Answer, Request
from service.task import Body, Example, Payload, Prepared, Task
from service.tasks.spacing import SPACING, Spacing, check_spacing
from service.tasks.tensors import check_lengths

HOLDING_SEVERAL = (NPY, JSON)


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


class Context(NamedTuple):
    """The slice that came in DICOM, where one did alone, and whether an array came as [H, W]."""

    source: dicom.Slice | None
    flat: bool


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
    check_lengths(hu.shape, tensor, manifest.axes, limits, "slices")
    if not np.isfinite(hu).all():
        raise InvalidValue("Every value must be a finite number of Hounsfield units.")
    if not isinstance(samples, list):
        check_spacing(spacing, task)
    source = samples[0] if isinstance(samples, list) and len(samples) == 1 else None
    context = Context(source, not isinstance(samples, list) and samples.ndim == 2)
    return Prepared({tensor.name: hu}, context, media_types=_offered(payload, len(hu)), why=_why(payload, len(hu)))


def _offered(payload: Payload, rows: int) -> tuple[str, ...]:
    """The form of the request before others. DICOM and PNG hold one slice, and DICOM is the answer to DICOM only."""
    own = DICOM if isinstance(payload.samples, list) else JSON if payload.media_type == JSON else NPY
    offered = tuple(dict.fromkeys((own, NPY, PNG, JSON)))
    return offered if rows == 1 else tuple(media for media in offered if media in HOLDING_SEVERAL)


def _why(payload: Payload, rows: int) -> str:
    forms = " or ".join(_offered(payload, rows))
    if rows > 1:
        return f"{rows} slices fit into {forms} only; send one per request for another form."
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


def write_json(outputs: Arrays, _: Context, manifest: Manifest) -> Answer:
    body = {"model": manifest.identity, "slices": outputs[manifest.outputs[0].name]}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def write_array(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    hu = outputs[manifest.outputs[0].name]
    return Answer(write_npy(hu[0] if context.flat else hu), NPY)


def write_preview(outputs: Arrays, _: Context, manifest: Manifest) -> Answer:
    assert isinstance(manifest.task, CtDenoising)
    return Answer(pictures.write_png(windowed(outputs[manifest.outputs[0].name][0], manifest.task.window)), PNG)


def write_dicom(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    assert context.source is not None  # DICOM was not offered otherwise
    algorithm = f"{manifest.name} {manifest.version}"
    return Answer(dicom.write_derived(context.source, outputs[manifest.outputs[0].name][0], algorithm), DICOM)


def windowed(hu: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey 0..255 from `low` to `high` HU."""
    low, high = window
    grey: NDArray[np.uint8] = np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return grey


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, CtDenoising)
    hu, denoised = inputs[manifest.inputs[0].name], outputs[manifest.outputs[0].name]
    low, high = manifest.task.spacing_mm or (0.6, 0.6)
    spacing = (low + high) / 2
    query, file = f"spacing_mm={spacing:g}", dicom.write_example(hu[0], (spacing, spacing))
    yield Example("slices", write_npy(hu), NPY, _resembling(denoised, 0.1), query, NPY)
    small = {"slices": hu[:1].tolist(), "spacing_mm": spacing}
    yield Example("JSON", orjson.dumps(small), JSON, _told(denoised[:1]))
    yield Example("DICOM", file, DICOM, _derived(denoised[0]), accept=DICOM)
    yield Example("DICOM to an array", file, DICOM, _resembling(denoised[:1], 2.0), accept=NPY)
    yield Example("DICOM to a preview", file, DICOM, _preview(denoised[0]), accept=PNG)
    yield Example("DICOM in a form", *write_form("dicom", [file]), _resembling(denoised[:1], 2.0), accept=NPY)


def _resembling(golden: NDArray[np.float32], within: float) -> Callable[[bytes], None]:
    """A check that an answer is the golden slices, on average within so many HU: a file has whole ones."""

    def check(answer: bytes) -> None:
        _compare(np.load(io.BytesIO(answer), allow_pickle=False), golden, within)

    return check


def _told(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    return lambda answer: _compare(np.array(orjson.loads(answer)["slices"]), golden, 0.1)


def _derived(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        _compare(dicom.read_slice(answer, Limits(1, golden.size)).hu, golden, 2.0)

    return check


def _preview(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
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
    options=(SPACING,),
    part="dicom",
)
