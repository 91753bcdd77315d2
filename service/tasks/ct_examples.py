"""Right requests for CT denoising, made from a bundle's golden slices, and what their answers must be."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bundle import Arrays, CtDenoising, Manifest
from service.codecs import dicom, pictures
from service.codecs.archives import read_archive, write_archive
from service.codecs.arrays import write_npy
from service.codecs.forms import write_form
from service.codecs.related import write_related
from service.limits import Limits
from service.messages import DICOM, JSON, NPY, PNG, ZIP
from service.task import Example


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
    yield Example("a series", *write_related([file, file], DICOM), _array_check(denoised[[0, 0]], 2.0), accept=NPY)
    archive = write_archive([file, file], "dcm")
    yield Example("a series in a zip archive", archive, ZIP, _archive_check(denoised[[0, 0]]), "deidentify=true")
    yield Example(
        "before and after", file, DICOM, _preview_check(np.hstack([hu[0], hu[0]])), "view=compare&window=lung"
    )


def _array_check(golden: NDArray[np.float32], within: float) -> Callable[[bytes], None]:
    """A check that an answer is the golden slices, on average within so many HU: a file has whole ones."""

    def check(answer: bytes) -> None:
        _compare(np.load(io.BytesIO(answer), allow_pickle=False), golden, within)

    return check


def _slices_check(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    return lambda answer: _compare(np.array(orjson.loads(answer)["slices"]), golden, 0.1)


def _dicom_check(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        _compare(dicom.read_image(answer, Limits(1, golden.size)).hu[0], golden, 2.0)

    return check


def _archive_check(golden: NDArray[np.float32]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        limits = Limits(len(golden), golden.size)
        images = dicom.read_images(read_archive(answer, limits, len(answer)), limits, "zip")
        _compare(np.concatenate([one.hu for one in images]), golden, 2.0)

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
