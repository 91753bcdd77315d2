"""Texts -> one label each, with its probabilities and the words that spoke for it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from service.bundle import Arrays, Manifest, TextClassification, Tokeniser, Word
from service.codecs.arrays import read_array
from service.errors import EmptyBody, InvalidValue, MalformedBody, NotExplainable
from service.limits import Limits
from service.messages import JSON, TEXT, Answer, Request
from service.task import AnswerForm, Body, Example, Option, Payload, Prepared, Task

FIELD = "texts"
EXPLAIN = Option("explain", "Add to each prediction the words that spoke for it, and those against.")
MOST_WORDS = 10  # that are shown of a text
WORD_SIZE = 128  # bytes of memory for a word and where it stood

Words = Sequence[Sequence[Word]]


class ClassifyTextsRequest(BaseModel, extra="forbid"):
    texts: list[str]
    model: str | None = None
    version: str | None = None
    explain: bool = Field(default=False, description="Say with each prediction which words made it.")


class SpeakingWord(BaseModel):
    text: str
    start: int = Field(description="Where it stands in the text, in characters.")
    end: int
    weight: float = Field(description="What it adds to the score of the label; below 0: it spoke against it.")


class TextPrediction(AnswerForm):
    """A prediction. What was not asked for is left out."""

    label: str
    confidence: float = Field(description="Probability of the likeliest label.")
    probabilities: list[float] = Field(description="One per label, summing to 1.")
    words: list[SpeakingWord] | None = Field(default=None, description="Up to ten, the weightiest first.")

    @model_serializer(mode="wrap")
    def _without_absent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


class ClassifyTextsAnswer(BaseModel):
    model: dict[str, str]
    labels: list[str] = Field(description="In the order of the probabilities.")
    predictions: list[TextPrediction]


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    texts, document = read_array(request.body, FIELD, fields, limits)
    return Body(list(texts), document)


def read_lines(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    """A text per line, as Unix or Windows end them; an empty line is an empty text."""
    limits.claim(4 * len(request.body))
    try:
        text = request.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The text is not in UTF-8: byte {error.start} belongs to no character.") from None
    if not text:
        raise EmptyBody("The body has no text.")
    text = text.removesuffix("\n")
    limits.check_rows(text.count("\n") + 1, FIELD)
    return Body([line.removesuffix("\r") for line in text.split("\n")])


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Raises NotExplainable. The context is the words of each text, where they are to be shown."""
    task, explain = manifest.task, payload.options.get("explain", False)
    assert isinstance(task, TextClassification)
    if explain and "contributions" not in {tensor.name for tensor in manifest.outputs}:
        raise NotExplainable(f"{manifest.name} cannot name words: ask another, or leave `explain` out.", "model")
    texts = np.empty(len(payload.samples), object)
    for i, text in enumerate(payload.samples):
        if not isinstance(text, str):
            raise InvalidValue("Must be a text.", f"{FIELD}[{i}]")
        if len(text) > task.longest:
            raise InvalidValue(f"Has more than {task.longest} characters: send a part of it.", f"{FIELD}[{i}]")
        texts[i] = text
    if task.tokeniser is None:
        return Prepared({manifest.inputs[0].name: texts})
    words = _words(texts, task.tokeniser, limits)
    return Prepared({manifest.inputs[0].name: filled(words)}, words if explain else None)


def _words(texts: NDArray[Any], tokeniser: Tokeniser, limits: Limits) -> Words:
    found = []
    for i, text in enumerate(texts):
        limits.check_time()
        limits.claim(WORD_SIZE * min(len(text), tokeniser.most))
        found.append(tokeniser.words(text))
        if len(found[-1]) > tokeniser.most:
            raise InvalidValue(f"Has more than {tokeniser.most} words: send a part of it.", f"{FIELD}[{i}]")
    limits.claim(8 * len(found) * max(map(len, found)))
    return found


def filled(words: Words) -> NDArray[Any]:
    """Texts [N, words], behind those of each text empty ones."""
    array = np.full((len(words), max(map(len, words))), "", object)
    for row, those in zip(array, words, strict=True):
        row[: len(those)] = [word.text for word in those]
    return array


def write_json(outputs: Arrays, words: Words | None, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, TextClassification)
    rows = outputs["probabilities"]
    predictions: list[dict[str, Any]] = [
        {"label": task.labels[best], "confidence": row[best], "probabilities": row}
        for best, row in zip(rows.argmax(axis=1).tolist(), rows, strict=True)
    ]
    if words is not None:
        best_N = outputs["probabilities"].argmax(axis=1)
        for i, (one, those) in enumerate(zip(predictions, words, strict=True)):
            one["words"] = _speaking(those, outputs["contributions"][i, best_N[i]])
    body = {"model": manifest.identity, "labels": task.labels, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def _speaking(words: Sequence[Word], weights: NDArray[np.float32]) -> list[dict[str, Any]]:
    """The weightiest of the words that have a weight."""
    order = np.argsort(-np.abs(weights[: len(words)]), kind="stable")[:MOST_WORDS]
    return [words[i]._asdict() | {"weight": weights[i]} for i in order.tolist() if weights[i]]


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    task, given = manifest.task, inputs[manifest.inputs[0].name].tolist()
    assert isinstance(task, TextClassification)
    texts = [" ".join(filter(None, words)) for words in given] if task.tokeniser else given

    def checking(rows: list[int]) -> Callable[[bytes], None]:
        golden = outputs["probabilities"][rows]

        def check(answer: bytes) -> None:
            given = [one["probabilities"] for one in orjson.loads(answer)["predictions"]]
            if np.shape(given) != golden.shape or not np.allclose(given, golden, rtol=1e-3, atol=1e-3):
                raise ValueError(f"{given} are not the golden outputs {golden.tolist()}")

        return check

    def told(answer: bytes) -> None:
        checking(list(range(len(texts))))(answer)
        for one, text in zip(orjson.loads(answer)["predictions"], texts, strict=True):
            if any(text[word["start"] : word["end"]].lower() != word["text"] for word in one["words"]):
                raise ValueError(f"{one['words']} do not stand in {text!r}")

    yield Example("JSON", orjson.dumps({FIELD: texts}), JSON, checking(list(range(len(texts)))))
    if short := [i for i, text in enumerate(texts) if "\n" not in text]:
        lines = "".join(f"{texts[i]}\n" for i in short)
        yield Example("lines", lines.encode(), f"{TEXT}; charset=utf-8", checking(short))
    if "contributions" in outputs:
        yield Example("JSON, explained", orjson.dumps({FIELD: texts}), JSON, told, "explain=true")


TASK = Task(
    name="classify_texts",
    path="/v1/texts/classify",
    summary="Classify texts",
    kind="text-classification",
    readers={JSON: read_json, TEXT: read_lines},
    writers={JSON: write_json},
    request_form=ClassifyTextsRequest,
    answer_form=ClassifyTextsAnswer,
    prepare=prepare,
    examples=examples,
    options=(EXPLAIN,),
)
