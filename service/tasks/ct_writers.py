"""The forms in which denoised CT slices are answered."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bundle import Arrays, CtDenoising, Manifest
from service.codecs import dicom, pictures
from service.codecs.arrays import write_npy
from service.messages import DICOM, JSON, NPY, PNG, Answer
from service.tasks.ct_options import NOISE, STRENGTH, VIEW, WINDOW
from service.tasks.denoised import DIFFERENCE, Denoised

Headers = tuple[tuple[bytes, bytes], ...]


class Context(NamedTuple):
    """What came: the slices [N, H, W] in HU and as DICOM, where they came so; and whether an array was [H, W].

    `pseudonyms` are for those who ask to be answered without the patient.
    """

    hu: NDArray[np.float32]
    padding: NDArray[np.bool_] | None
    sources: list[dicom.Image]
    flat: bool
    options: Mapping[str, Any]
    warnings: list[str]
    pseudonyms: dicom.Pseudonyms | None = None

    def denoised(self, outputs: Arrays, manifest: Manifest) -> Denoised:
        strength = self.options.get(STRENGTH.name, 1.0)
        return Denoised.blended(self.hu, outputs[manifest.outputs[0].name], strength, self.padding)

    def headers(self, denoised: Denoised) -> Headers:
        """The figures, and the warnings."""
        return (*denoised.headers(), *warning_headers(self.warnings))


def warning_headers(warnings: list[str]) -> Headers:
    """As DICOMweb gives them: PS3.18 section 8.4.3."""
    return tuple((b"warning", f'299 quartet "{one}"'.encode()) for one in warnings)


def write_json(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    denoised = context.denoised(outputs, manifest)
    body = {
        "model": manifest.identity,
        "slices": denoised.after,
        "noise_hu": {"before": denoised.noise_before, "after": denoised.noise_after},
        "change_hu": denoised.change,
        "warnings": context.warnings,
    }
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), JSON, context.headers(denoised))


def write_array(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    denoised = context.denoised(outputs, manifest)
    return Answer(write_npy(denoised.after[0] if context.flat else denoised.after), NPY, context.headers(denoised))


def write_preview(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    assert isinstance(manifest.task, CtDenoising)
    denoised, view = context.denoised(outputs, manifest), context.options.get(VIEW.name, "denoised")
    window = context.options.get(WINDOW.name) or (DIFFERENCE if view == "difference" else manifest.task.window)
    return Answer(pictures.write_png(denoised.picture(view, window)), PNG, context.headers(denoised))


def write_dicom(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    """One object."""
    denoised = context.denoised(outputs, manifest)
    said = [f"{name} {context.options[name]:g}" for name in (STRENGTH.name, NOISE.name) if name in context.options]
    text = f"Noise reduced by {manifest.name} {manifest.version}{''.join(f', {one}' for one in said)}"
    text = " ".join([f"{text}.", denoised.told(), *context.warnings, "Not for diagnostic use."])
    derivation = dicom.Derivation(manifest.name, manifest.version, text, ", ".join(said), context.pseudonyms)
    body = dicom.write_derived(context.sources[0], denoised.after, derivation)
    return Answer(body, DICOM, context.headers(denoised))
