"""Pictures drawn again from their latent codes, by a model that draws such pictures and has a graph `encode`."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import ENCODE, MAIN, Arrays, Manifest
from service.codecs import pictures
from service.codecs.arrays import write_npy
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer
from service.task import Example, Payload, Prepared, Task
from service.tasks import encodings, images


class ReconstructAnswer(BaseModel):
    model: dict[str, str]
    reconstructions: list[str] = Field(description="PNG pictures in base64.")


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """What `encode` takes; the main graph draws what it gives."""
    return encodings.prepare(payload, manifest, limits)._replace(graphs=(ENCODE, MAIN))


def write_sheet(outputs: Arrays, _: Any, manifest: Manifest) -> Answer:
    return Answer(pictures.write_png(pictures.sheet(_pictures(outputs, manifest))), PNG)


def write_json(outputs: Arrays, _: Any, manifest: Manifest) -> Answer:
    drawn = [pictures.png_text(picture) for picture in _pictures(outputs, manifest)]
    return Answer(orjson.dumps({"model": manifest.identity, "reconstructions": drawn}))


def write_array(outputs: Arrays, _: Any, manifest: Manifest) -> Answer:
    return Answer(write_npy(_pictures(outputs, manifest)), NPY)


def _pictures(outputs: Arrays, manifest: Manifest) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(np.clip(outputs[manifest.outputs[0].name], 0, 255)).astype(np.uint8)
    return levels


def examples(manifest: Manifest, _: Arrays, outputs: Arrays) -> Iterator[Example]:
    yield from encodings.requests(manifest, outputs, _of_count)


def _of_count(count: int) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        if (given := len(orjson.loads(answer)["reconstructions"])) != count:
            raise ValueError(f"{given} pictures, not {count}")

    return check


TASK = Task(
    name="reconstruct_samples",
    path="/v1/samples/reconstruct",
    summary="Draw pictures again from their latent codes",
    kind="sample-generation",
    graph=ENCODE,
    readers=images.READERS,
    writers={PNG: write_sheet, JSON: write_json, NPY: write_array},
    request_form=encodings.EncodeRequest,
    answer_form=ReconstructAnswer,
    prepare=prepare,
    examples=examples,
    options=(encodings.LABEL,),
    part="image",
)
