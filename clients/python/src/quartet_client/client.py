"""The client that blocks. Made of async_client.py by `python make_sync.py`; change it there."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx

from quartet_client import bodies, tensors, tracing
from quartet_client.answers import Digits, ImageLabels, ModelSummary, Rows, Samples, Scores, TextLabels
from quartet_client.bodies import FilePath, Picture, Slice, Table
from quartet_client.call import JSON, Call, OnError, Options, call
from quartet_client.errors import ConnectionFailed, DeadlineExceeded, QuartetError, error_of
from quartet_client.retrying import Attempts

if TYPE_CHECKING:
    import numpy as np
    import pydicom
    from numpy.typing import NDArray

T = TypeVar("T")
PNG = "image/png"


class Client:
    """A pool of connections to one service; share it between threads and close it at the end.

    `base_url` may have a path, where the service is behind one. `timeout` is in seconds for a whole call; the service
    is told, so that it does not compute what comes too late. `retries` says how often a call is sent again that was
    refused for lack of room or cut off; the pauses grow and honour `Retry-After`.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:3000",
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        key = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
        sent = {"user-agent": "quartet-client", **key, **(headers or {})}
        self._http = httpx.Client(base_url=base_url, headers=sent, transport=transport)
        self._timeout, self._retries = timeout, retries
        self.digits = DigitsEndpoint(self)
        self.images = ImagesEndpoint(self)
        self.credit = CreditEndpoint(self)
        self.tables = TablesEndpoint(self)
        self.texts = TextsEndpoint(self)
        self.ct = CtEndpoint(self)
        self.samples = SamplesEndpoint(self)

    def model(self, name: str) -> "ModelEndpoint":
        """Any model by its name, by tensors."""
        return ModelEndpoint(self, name)

    def models(self) -> list[ModelSummary]:
        """All that the service has."""
        asked = Call("/v1/models", lambda got: [ModelSummary.of(one) for one in got.json()["models"]], method="GET")
        return self.send(asked)

    def ready(self) -> bool:
        """Whether the service can answer: its models are loaded. Raises ConnectionFailed where it is not there."""
        try:
            response = self._http.get("/readyz", timeout=self._timeout)
        except httpx.TransportError as error:
            raise ConnectionFailed(f"No answer from {self._http.base_url}: {error!r}") from error
        return response.status_code == httpx.codes.OK

    def send(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and read the answer.

        Raises AnswerError where the service refuses, ConnectionFailed where it does not answer, DeadlineExceeded.
        """
        attempts = Attempts(self._retries, self._timeout if call.timeout is None else call.timeout)
        while True:
            try:
                return _read(call, self._answer(call, attempts.left()))
            except QuartetError as problem:
                pause = attempts.pause(problem)
            time.sleep(pause)

    def _answer(self, call: Call[T], seconds: float) -> httpx.Response:
        request = call.request(self._http, {"x-timeout-ms": f"{max(1, int(seconds * 1000))}", **tracing.headers()})
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        try:
            return self._http.send(request)
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"No answer within {seconds:.3g} s.") from error
        except httpx.TransportError as error:
            raise ConnectionFailed(f"No answer from {self._http.base_url}: {error!r}") from error

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _read(call: Call[T], response: httpx.Response) -> T:
    if response.is_error:
        raise error_of(response)
    try:
        return call.read(response)
    except (KeyError, TypeError, ValueError) as error:
        raise QuartetError(f"{response.url} did not answer as Quartet does: {error!r}") from error


class Endpoint:
    def __init__(self, client: Client) -> None:
        self._client = client


class DigitsEndpoint(Endpoint):
    def classify(
        self,
        images: "Picture | Sequence[Picture]",
        *,
        many: bool = False,
        explain: bool = False,
        **options: Unpack[Options],
    ) -> Digits:
        """Read handwritten digits.

        `images`: a picture file, its bytes, a Pillow image, a list of these; or an array [28, 28] or [N, 28, 28] of 0
        to 255. `many` looks for several digits in each picture, `explain` adds heat maps.
        """
        asked = {"many": many or None, "explain": explain or None}
        body = bodies.pictures(images)
        return self._client.send(call("/v1/digits/classify", Digits.read, options, parameters=asked, **body))


class ImagesEndpoint(Endpoint):
    def classify(
        self, images: "Picture | Sequence[Picture]", *, explain: bool = False, **options: Unpack[Options]
    ) -> ImageLabels:
        """Say what pictures show. `images` as for digits; an array has the size of the model."""
        body = bodies.pictures(images)
        asked = {"explain": explain or None}
        return self._client.send(call("/v1/images/classify", ImageLabels.read, options, parameters=asked, **body))


class CreditEndpoint(Endpoint):
    def score(
        self, applicants: Table, *, explain: bool = False, on_error: OnError = "refuse", **options: Unpack[Options]
    ) -> Scores:
        """The probability that applicants do not pay back, and a decision.

        `applicants`: a mapping, several, a pandas frame, a CSV file or its bytes. `explain` adds points and reasons.
        `on_error="skip"` answers the rows that are right: `rows` says which, `errors` what is wrong with the others.
        """
        body = bodies.rows(applicants, "applicants")
        asked = {"explain": explain or None, "on_error": None if on_error == "refuse" else on_error}
        return self._client.send(call("/v1/credit/score", Scores.read, options, parameters=asked, **body))


class TablesEndpoint(Endpoint):
    def predict(self, rows: Table, *, on_error: OnError = "refuse", **options: Unpack[Options]) -> Rows:
        """A class or numbers for rows of a table. `rows`, with the model's attributes, and `on_error` as for credit."""
        body = bodies.rows(rows, "rows")
        asked = {"on_error": None if on_error == "refuse" else on_error}
        return self._client.send(call("/v1/tables/predict", Rows.read, options, parameters=asked, **body))


class TextsEndpoint(Endpoint):
    def classify(self, texts: str | Sequence[str], **options: Unpack[Options]) -> TextLabels:
        """The class of each text."""
        given = [texts] if isinstance(texts, str) else list(texts)
        return self._client.send(call("/v1/texts/classify", TextLabels.read, options, json={"texts": given}))


class CtEndpoint(Endpoint):
    @overload
    def denoise(
        self, slice: "pydicom.Dataset", *, spacing_mm: float | None = None, **options: Unpack[Options]
    ) -> "pydicom.Dataset": ...
    @overload
    def denoise(
        self, slice: "NDArray[np.generic]", *, spacing_mm: float | None = None, **options: Unpack[Options]
    ) -> "NDArray[np.generic]": ...
    @overload
    def denoise(
        self, slice: FilePath | bytes, *, spacing_mm: float | None = None, **options: Unpack[Options]
    ) -> bytes: ...
    def denoise(self, slice: Slice, *, spacing_mm: float | None = None, **options: Unpack[Options]) -> Any:
        """Reduce the noise of a slice; the answer has the form of the question.

        A pydicom data set, a DICOM file or its bytes; or Hounsfield units [H, W] or [N, H, W], which need `spacing_mm`,
        the size of their pixels.
        """
        body = bodies.ct_slice(slice)
        media = body["headers"]["content-type"]
        read = _data_set if hasattr(slice, "save_as") else _array if hasattr(slice, "__array__") else _content
        asked = {"spacing_mm": spacing_mm}
        return self._client.send(call("/v1/ct/denoise", read, options, accept=media, parameters=asked, **body))

    def denoise_series(
        self, slices: "Iterable[pydicom.Dataset]", **options: Unpack[Options]
    ) -> "Iterator[pydicom.Dataset]":
        """Slice by slice, so that a series never has to fit into memory. They come back as one new series."""
        for one in slices:
            yield self.denoise(one, **options)

    def preview(self, slice: Slice, *, spacing_mm: float | None = None, **options: Unpack[Options]) -> bytes:
        """The denoised slice as a PNG picture."""
        body = bodies.ct_slice(slice)
        asked = {"spacing_mm": spacing_mm}
        return self._client.send(call("/v1/ct/denoise", _content, options, accept=PNG, parameters=asked, **body))


class SamplesEndpoint(Endpoint):
    def generate(
        self,
        count: int = 1,
        *,
        label: str | int | Sequence[str | int] | None = None,
        seed: int | None = None,
        latents: Sequence[Sequence[float]] | None = None,
        **options: Unpack[Options],
    ) -> Samples:
        """Draw pictures. `label` is one for all or one for each; the same `seed` gives the same samples."""
        body = _wish(count, label, seed, latents)
        return self._client.send(call("/v1/samples/generate", Samples.read, options, json=body))

    def sheet(
        self,
        count: int = 1,
        *,
        label: str | int | Sequence[str | int] | None = None,
        seed: int | None = None,
        latents: Sequence[Sequence[float]] | None = None,
        **options: Unpack[Options],
    ) -> bytes:
        """All samples in one PNG picture."""
        body = _wish(count, label, seed, latents)
        return self._client.send(call("/v1/samples/generate", _content, options, accept=PNG, json=body))


class ModelEndpoint(Endpoint):
    def __init__(self, client: Client, name: str) -> None:
        super().__init__(client)
        self.name = name

    def describe(self) -> Mapping[str, Any]:
        """Its signature, figures, provenance and card, as JSON has them."""
        return self._client.send(Call(f"/v1/models/{self.name}", lambda got: got.json(), method="GET"))

    def predict(
        self, inputs: Mapping[str, Any], *, spacing_mm: float | None = None, **options: Unpack[Options]
    ) -> dict[str, Any]:
        """Tensors in, tensors out, the batch first. Arrays travel as raw bytes and are answered as arrays."""
        asked = tensors.predict(self.name, inputs, options, {"spacing_mm": spacing_mm})
        outputs: dict[str, Any] = self._client.send(asked)
        return outputs

    def activations(self, images: "Picture | Sequence[Picture]", **options: Unpack[Options]) -> Mapping[str, Any]:
        """What each layer of an image classifier makes of pictures."""
        body = bodies.pictures(images)
        path = f"/v1/models/{self.name}/activations"
        return self._client.send(call(path, lambda got: got.json(), options, accept=JSON, **body))


def _wish(
    count: int,
    label: str | int | Sequence[str | int] | None,
    seed: int | None,
    latents: Sequence[Sequence[float]] | None,
) -> dict[str, Any]:
    each = label is not None and not isinstance(label, str | int)
    wish = {"count": count, "labels" if each else "label": label, "seed": seed, "latents": latents}
    return {name: value for name, value in wish.items() if value is not None}


def _content(response: httpx.Response) -> bytes:
    return response.content


def _array(response: httpx.Response) -> Any:
    return bodies.array(response.content)


def _data_set(response: httpx.Response) -> Any:
    return bodies.data_set(response.content)
