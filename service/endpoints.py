"""The endpoints, declared once: the lane's routes, BentoML's APIs and the OpenAPI document are made from this table."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel

from service.bundle import Arrays, Manifest
from service.limits import Limits
from service.messages import Answer, Payload, Request
from service.tasks import activations, credit, ct, digits, images, samples, tensors


class Endpoint(NamedTuple):
    """A route and the stages behind it.

    Bundles whose task is of `kind` may answer (None: any); `default` does when the request names none.
    """

    name: str
    path: str
    summary: str
    kind: str | None
    default: str
    decode: Callable[[Request, Limits], Payload]
    prepare: Callable[[Payload, Manifest, Limits], Arrays]
    present: Callable[[Arrays, Payload, Manifest, Request], Answer]
    request_media: tuple[str, ...]
    answer_media: tuple[str, ...]
    request_form: type[BaseModel]
    answer_form: type[BaseModel]
    options: tuple[str, ...] = ()  # in the query or the body: OPTIONS of the OpenAPI document tells what they do

    @property
    def parameters(self) -> tuple[str, ...]:
        """What the query may say where the path names no model."""
        return ("model", "version", *self.options)


def _endpoint(task: Any, **fields: Any) -> Endpoint:
    return Endpoint(
        decode=task.decode,
        prepare=task.prepare,
        present=task.present,
        request_media=task.REQUEST_MEDIA,
        answer_media=task.ANSWER_MEDIA,
        options=getattr(task, "OPTIONS", ()),
        **fields,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _endpoint(
        digits,
        name="classify_digits",
        path="/v1/digits/classify",
        summary="Classify pictures of handwritten digits",
        kind="digit-classification",
        default="digits",
        request_form=digits.ClassifyRequest,
        answer_form=digits.ClassifyAnswer,
    ),
    _endpoint(
        images,
        name="classify_images",
        path="/v1/images/classify",
        summary="Classify pictures of things",
        kind="image-classification",
        default="fashion-cnn",
        request_form=images.ClassifyImagesRequest,
        answer_form=images.ClassifyImagesAnswer,
    ),
    _endpoint(
        credit,
        name="score_credit",
        path="/v1/credit/score",
        summary="Score credit applicants",
        kind="credit-scoring",
        default="credit-logistic",
        request_form=credit.ScoreRequest,
        answer_form=credit.ScoreAnswer,
    ),
    _endpoint(
        ct,
        name="denoise_ct",
        path="/v1/ct/denoise",
        summary="Reduce the noise of CT slices",
        kind="ct-denoising",
        default="ct-denoiser",
        request_form=ct.DenoiseRequest,
        answer_form=ct.DenoiseAnswer,
    ),
    _endpoint(
        samples,
        name="generate_samples",
        path="/v1/samples/generate",
        summary="Generate samples",
        kind="sample-generation",
        default="cvae",
        request_form=samples.GenerateRequest,
        answer_form=samples.GenerateAnswer,
    ),
)

PREDICT = _endpoint(
    tensors,
    name="predict_tensors",
    path="/v1/models/{name}/predict",
    summary="Tensors in and out, by the signature of any model",
    kind=None,
    default="",
    request_form=tensors.PredictRequest,
    answer_form=tensors.PredictAnswer,
)

ACTIVATIONS = _endpoint(
    activations,
    name="show_activations",
    path="/v1/models/{name}/activations",
    summary="What each layer of an image classifier makes of a picture",
    kind=None,
    default="",
    request_form=digits.ClassifyRequest,
    answer_form=activations.ActivationsAnswer,
)

# What can be asked of any one model, by the last part of the path.
OF_A_MODEL = {one.path.rpartition("/")[2]: one for one in (PREDICT, ACTIVATIONS)}
