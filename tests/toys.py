"""Tiny bundles, written through the bundle contract, whose arithmetic a test can do itself in NumPy."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from service.bundle import (
    BACK,
    ENCODE,
    Arrays,
    Axis,
    Cascade,
    ClipClassification,
    CtDenoising,
    DigitClassification,
    ImageClassification,
    ImageTransformation,
    SampleGeneration,
    SampleTranslation,
    Tensor,
    TensorPrediction,
    TextClassification,
)
from tests.bundle_writer import DTYPES, Beside, write
from tests.toy_sequences import forecasts, words
from tests.toy_tables import credit, marks, ranges, sales, table

INK = np.random.default_rng(0).normal(0, 0.01, (784, 10)).astype(np.float32)
WEAVE = np.random.default_rng(4).normal(0, 0.01, (784, 3)).astype(np.float32)
PAINT = np.random.default_rng(2).normal(0, 20, (4, 64)).astype(np.float32)


def probabilities(images: NDArray[np.float32], ink: NDArray[np.float32] = INK) -> NDArray[np.float32]:
    """What `digits` answers to images [N, 28, 28]."""
    scores = np.exp(images.reshape(-1, 784) / 255 @ ink)
    return scores / scores.sum(axis=1, keepdims=True)


def things(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `images` answers to images [N, 28, 28]."""
    scores = np.exp(images.reshape(-1, 784) / 255 @ WEAVE)
    return scores / scores.sum(axis=1, keepdims=True)


def lighter(clips: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `clips` answers to clips [N, 3, 8, 8]."""
    scores = np.exp(clips[:, [0, 2]].mean((2, 3)) / 16)
    return scores / scores.sum(axis=1, keepdims=True)


def painted(latent: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
    """What `samples` answers: images [N, 8, 8]."""
    return (latent @ PAINT + 100 + 10 * label[:, None]).reshape(-1, 8, 8).astype(np.float32)


def digits(models: Path, name: str = "toy-digits", ink: NDArray[np.float32] = INK, **options: Any) -> Path:
    """Its weights are `ink` [784, 10]."""
    images = np.random.default_rng(3).integers(0, 256, (4, 28, 28)).astype(np.float32)
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "ink"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    return write(
        models,
        name,
        DigitClassification(labels=tuple(range(10))),
        nodes,
        {"flat": np.array([-1, 784]), "ink": ink / 255},
        [Tensor(name="image", dtype="float32", shape=("batch", 28, 28), range=(0, 255))],
        [Tensor(name="probabilities", dtype="float32", shape=("batch", 10))],
        ({"image": images}, {"probabilities": probabilities(images, ink)}),
        **options,
    )


def wary(models: Path, name: str = "toy-wary", **options: Any) -> Path:
    """The digits toy that is familiar with much ink, the mean grey being its `familiarity`, and that explains itself.

    Its layers are the picture, halved to `half` [1, 28, 28], and its scores, `scores` [10]; its class maps are `half`
    times the number of the class.
    """
    images = np.random.default_rng(3).integers(0, 256, (4, 28, 28)).astype(np.float32)
    nodes = [
        helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "ink"], ["scores"]),
    ]
    constants = {"flat": np.array([-1, 784]), "ink": INK / 255}
    image = Tensor(name="image", dtype="float32", shape=("batch", 28, 28), range=(0, 255))
    why = [
        *nodes,
        helper.make_node("Unsqueeze", ["image", "channel"], ["channels"]),
        helper.make_node("Mul", ["channels", "one_half"], ["half"]),
        helper.make_node("Mul", ["half", "number"], ["class_maps"]),
    ]
    numbers = np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1)
    explanation = (
        Tensor(name="class_maps", dtype="float32", shape=("batch", 10, 28, 28)),
        Tensor(name="half", dtype="float32", shape=("batch", 1, 28, 28)),
        Tensor(name="scores", dtype="float32", shape=("batch", 10)),
    )
    more = {"channel": np.array([1]), "one_half": np.float32(0.5), "number": numbers}
    return write(
        models,
        name,
        DigitClassification(labels=tuple(range(10)), acceptance_threshold=20),
        [
            *nodes,
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ReduceMean", ["pixels", "last"], ["familiarity"], keepdims=0),
        ],
        constants | {"last": np.array([1])},
        [image],
        [
            Tensor(name="probabilities", dtype="float32", shape=("batch", 10)),
            Tensor(name="familiarity", dtype="float32", shape=("batch",)),
        ],
        ({"image": images}, {"probabilities": probabilities(images), "familiarity": images.mean(axis=(1, 2))}),
        explanation=(why, constants | more, explanation),
        **options,
    )


def images(models: Path, name: str = "toy-images", **options: Any) -> Path:
    """Three kinds of things, in pictures of 28x28."""
    pictures = np.random.default_rng(5).integers(0, 256, (4, 28, 28)).astype(np.float32)
    return write(
        models,
        name,
        ImageClassification(labels=("shirt", "sneaker", "bag")),
        [
            helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
            helper.make_node("MatMul", ["pixels", "weave"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        {"flat": np.array([-1, 784]), "weave": WEAVE / 255},
        [Tensor(name="image", dtype="float32", shape=("batch", 28, 28), range=(0, 255))],
        [Tensor(name="probabilities", dtype="float32", shape=("batch", 3))],
        ({"image": pictures}, {"probabilities": things(pictures)}),
        **options,
    )


def clips(models: Path, name: str = "toy-clips", **options: Any) -> Path:
    """Whether three frames of 8x8 get lighter: the scores are sixteenths of the means of the first and of the last."""
    shown = np.random.default_rng(9).integers(0, 256, (4, 3, 8, 8)).astype(np.float32)
    return write(
        models,
        name,
        ClipClassification(labels=("darker", "lighter")),
        [
            helper.make_node("ReduceMean", ["clip", "sides"], ["grey"], keepdims=0),
            helper.make_node("Gather", ["grey", "ends"], ["both"], axis=1),
            helper.make_node("Div", ["both", "sixteen"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        {"sides": np.array([2, 3]), "ends": np.array([0, 2]), "sixteen": np.float32(16)},
        [Tensor(name="clip", dtype="float32", shape=("batch", 3, 8, 8), range=(0, 255))],
        [Tensor(name="probabilities", dtype="float32", shape=("batch", 2))],
        ({"clip": shown}, {"probabilities": lighter(shown)}),
        **options,
    )


def negatives(models: Path, name: str = "toy-negatives", **options: Any) -> Path:
    """Black for white and white for black."""
    pictures = np.random.default_rng(6).integers(0, 256, (4, 28, 28)).astype(np.float32)
    side = ("batch", 28, 28)
    return write(
        models,
        name,
        ImageTransformation(),
        [helper.make_node("Sub", ["white", "image"], ["negative"])],
        {"white": np.float32(255)},
        [Tensor(name="image", dtype="float32", shape=side, range=(0, 255))],
        [Tensor(name="negative", dtype="float32", shape=side, range=(0, 255))],
        ({"image": pictures}, {"negative": 255 - pictures}),
        **options,
    )


def ct(models: Path, name: str = "toy-ct", **options: Any) -> Path:
    """Halves every Hounsfield value."""
    hu = np.arange(2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16)
    return write(
        models,
        name,
        CtDenoising(window=(-160, 240)),
        [helper.make_node("Mul", ["hu", "half"], ["denoised"])],
        {"half": np.float32(0.5)},
        [Tensor(name="hu", dtype="float32", shape=("batch", "height", "width"))],
        [Tensor(name="denoised", dtype="float32", shape=("batch", "height", "width"))],
        ({"hu": hu}, {"denoised": hu / 2}),
        axes={"height": Axis(least=16, most=1024), "width": Axis(least=16, most=1024)},
        **options,
    )


def told_ct(models: Path, name: str = "toy-told-ct", **options: Any) -> Path:
    """Takes the noise that it is told from every Hounsfield value."""
    hu, noise = np.arange(2 * 16 * 16, dtype=np.float32).reshape(2, 16, 16), np.array([3, 5], np.float32)
    return write(
        models,
        name,
        CtDenoising(window=(-160, 240)),
        [
            helper.make_node("Unsqueeze", ["noise", "sides"], ["level"]),
            helper.make_node("Sub", ["hu", "level"], ["denoised"]),
        ],
        {"sides": np.array([1, 2])},
        [
            Tensor(name="hu", dtype="float32", shape=("batch", "height", "width")),
            Tensor(name="noise", dtype="float32", shape=("batch",)),
        ],
        [Tensor(name="denoised", dtype="float32", shape=("batch", "height", "width"))],
        ({"hu": hu, "noise": noise}, {"denoised": hu - noise[:, None, None]}),
        axes={"height": Axis(least=16, most=1024), "width": Axis(least=16, most=1024)},
        **options,
    )


def samples(models: Path, name: str = "toy-samples", **options: Any) -> Path:
    """Its `encode` gives the first four pixels, each a hundredth, as the code."""
    latent, label = np.eye(4, dtype=np.float32), np.arange(4)
    nodes = [
        helper.make_node("MatMul", ["latent", "paint"], ["strokes"]),
        helper.make_node("Cast", ["label"], ["number"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["number", "ten"], ["tens"]),
        helper.make_node("Unsqueeze", ["tens", "last"], ["column"]),
        helper.make_node("Add", ["strokes", "column"], ["sum"]),
        helper.make_node("Add", ["sum", "hundred"], ["flat"]),
        helper.make_node("Reshape", ["flat", "square"], ["image"]),
    ]
    constants = {"paint": PAINT, "ten": np.float32(10), "hundred": np.float32(100)}
    constants |= {"last": np.array([1]), "square": np.array([-1, 8, 8])}
    image = Tensor(name="image", dtype="float32", shape=("batch", 8, 8), range=(0, 255))
    code = Tensor(name="latent", dtype="float32", shape=("batch", 4))
    number = Tensor(name="label", dtype="int64", shape=("batch",), range=(0, 9))
    drawn = painted(latent, label)
    encode = Beside(
        [
            helper.make_node("Reshape", ["image", "flat"], ["pixels"]),
            helper.make_node("MatMul", ["pixels", "first"], ["latent"]),
        ],
        {"flat": np.array([-1, 64]), "first": np.eye(64, 4, dtype=np.float32) / 100},
        [image, number],
        [code],
        ({"image": drawn, "label": label}, {"latent": drawn.reshape(-1, 64)[:, :4] / 100}),
    )
    return write(
        models,
        name,
        SampleGeneration(latent_size=4, labels=tuple("0123456789")),
        nodes,
        constants,
        [code, number],
        [image],
        ({"latent": latent, "label": label}, {"image": drawn}),
        beside={ENCODE: encode},
        **options,
    )


def translations(models: Path, name: str = "toy-translations", **options: Any) -> Path:
    """Black for white, and half as bright on the way back."""
    pictures = np.random.default_rng(8).integers(0, 256, (4, 8, 8)).astype(np.float32)
    image = Tensor(name="image", dtype="float32", shape=("batch", 8, 8), range=(0, 255))
    made = image.model_copy(update={"name": "translation"})
    back = Beside(
        [helper.make_node("Mul", ["image", "half"], ["translation"])],
        {"half": np.float32(0.5)},
        [image],
        [made],
        ({"image": pictures}, {"translation": pictures / 2}),
    )
    return write(
        models,
        name,
        SampleTranslation(domains=("bright", "dark")),
        [helper.make_node("Sub", ["white", "image"], ["translation"])],
        {"white": np.float32(255)},
        [image],
        [made],
        ({"image": pictures}, {"translation": 255 - pictures}),
        beside={BACK: back},
        **options,
    )


def tensors(models: Path, name: str = "toy-tensors", **options: Any) -> Path:
    """y = 2 x + k."""
    x, k = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2])
    nodes = [
        helper.make_node("Cast", ["k"], ["number"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["number", "last"], ["column"]),
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("Add", ["double", "column"], ["y"]),
    ]
    return write(
        models,
        name,
        TensorPrediction(),
        nodes,
        {"two": np.float32(2), "last": np.array([1])},
        [
            Tensor(name="x", dtype="float32", shape=("batch", 3), range=(-100, 100)),
            Tensor(name="k", dtype="int64", shape=("batch",)),
        ],
        [Tensor(name="y", dtype="float32", shape=("batch", 3))],
        ({"x": x, "k": k}, {"y": 2 * x + k[:, None]}),
        **options,
    )


def doubted(x: NDArray[np.float32]) -> Arrays:
    """What the toy of a cascade answers."""
    sure = x[:, 0] >= 0
    y = np.where(sure[:, None], 2 * x, x * np.array([-10, -20])[x[:, 2].astype(int).clip(0, 1)][:, None])
    return {"y": y.astype(np.float32), "margin": x[:, 0], "look": np.where(sure, 1, 2).astype(np.float32)}


def doubtful(models: Path, name: str = "toy-doubtful", **options: Any) -> Path:
    """y = 2 x; where x begins with less than 0, a second graph says -10 x, or -20 x where x ends with 1.

    The second graph fails where x ends with anything but 0 and 1.
    """
    x = np.array([[1, 2, 0], [-1, 2, 0], [0, 5, 1], [-3, 1, 1]], np.float32)
    taken = Tensor(name="x", dtype="float32", shape=("batch", 3), range=(-100, 100))
    y, look = (Tensor(name=one, dtype="float32", shape=("batch", *more)) for one, more in (("y", (3,)), ("look", ())))
    constants = {"first": np.int64(0), "last": np.int64(2), "one": np.array([1]), "zero": np.float32(0)}
    numbered = [
        helper.make_node("Gather", ["x", "first"], ["margin"], axis=1),
        helper.make_node("Mul", ["margin", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "number"], ["look"]),
    ]
    again = [
        helper.make_node("Gather", ["x", "last"], ["end"], axis=1),
        helper.make_node("Cast", ["end"], ["place"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["factors", "place"], ["factor"]),
        helper.make_node("Unsqueeze", ["factor", "one"], ["column"]),
        helper.make_node("Mul", ["x", "column"], ["y"]),
        *numbered,
    ]
    factors = {"factors": np.array([-10, -20], np.float32), "number": np.float32(2)}
    second = Beside(again, constants | factors, [taken], [y, look], ({}, {}))
    return write(
        models,
        name,
        TensorPrediction(),
        [helper.make_node("Mul", ["x", "two"], ["y"]), *numbered],
        constants | {"two": np.float32(2), "number": np.float32(1)},
        [taken],
        [y, Tensor(name="margin", dtype="float32", shape=("batch",)), look],
        ({"x": x}, doubted(x)),
        beside={"second-look": second},
        **{"changes": {"cascade": Cascade(graph="second-look", output="margin", below=0)}} | options,
    )


def echo(models: Path, name: str = "toy-echo", **options: Any) -> Path:
    """Gives back a tensor of every dtype: `in_int64` as `out_int64`."""
    golden = {dtype: np.array([[1, 0, 1]]).astype(dtype) for dtype in DTYPES}
    return write(
        models,
        name,
        TensorPrediction(),
        [helper.make_node("Identity", [f"in_{dtype}"], [f"out_{dtype}"]) for dtype in DTYPES],
        {},
        [Tensor.model_validate({"name": f"in_{dtype}", "dtype": dtype, "shape": ("batch", 3)}) for dtype in DTYPES],
        [Tensor.model_validate({"name": f"out_{dtype}", "dtype": dtype, "shape": ("batch", 3)}) for dtype in DTYPES],
        (
            {f"in_{dtype}": array for dtype, array in golden.items()},
            {f"out_{dtype}": array for dtype, array in golden.items()},
        ),
        **options,
    )


def series(models: Path, name: str = "toy-series", **options: Any) -> Path:
    """The mean of a series, and the series doubled; padded to 4, 8 or 32 steps with a number that a mask must hide."""
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [
        helper.make_node("Mul", ["values", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "last"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "last"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["values", "values"], ["doubled"]),
    ]
    steps = ("batch", "steps")
    return write(
        models,
        name,
        TensorPrediction(),
        nodes,
        {"last": np.array([1])},
        [Tensor(name="values", dtype="float32", shape=steps), Tensor(name="mask", dtype="float32", shape=steps)],
        [Tensor(name="mean", dtype="float32", shape=("batch",)), Tensor(name="doubled", dtype="float32", shape=steps)],
        ({"values": values, "mask": np.ones_like(values)}, {"mean": values.mean(axis=1), "doubled": 2 * values}),
        axes={"steps": Axis(most=32, buckets=(4, 8, 32), padding=1000, mask="mask")},
        **options,
    )


def texts(models: Path, name: str = "toy-texts", **options: Any) -> Path:
    """Gives back a text, and whether it is the word `yes`."""
    words = np.array(["yes", "grün"])
    return write(
        models,
        name,
        TensorPrediction(),
        [helper.make_node("Identity", ["text"], ["same"]), helper.make_node("Equal", ["text", "yes"], ["agrees"])],
        {"yes": np.array(["yes"], object)},
        [Tensor(name="text", dtype="string", shape=("batch",))],
        [Tensor(name="same", dtype="string", shape=("batch",)), Tensor(name="agrees", dtype="bool", shape=("batch",))],
        ({"text": words}, {"same": words, "agrees": np.array([True, False])}),
        opset=19,  # the first in which texts can be equal
        **options,
    )


def sentences(models: Path, name: str = "toy-sentences", **options: Any) -> Path:
    """Of its words, those between spaces, `yes` speaks three to one for the label `good`, and `no` for `bad`."""
    text = np.array(["yes no yes", "", "no größer"])
    nodes = [
        helper.make_node("StringSplit", ["text"], ["words", "lengths"]),
        helper.make_node(
            "TfIdfVectorizer",
            ["words"],
            ["counts"],
            mode="TF",
            min_gram_length=1,
            max_gram_length=1,
            max_skip_count=0,
            ngram_counts=[0],
            ngram_indexes=[0, 1],
            pool_strings=["no", "yes"],
        ),
        helper.make_node("MatMul", ["counts", "worth"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    return write(
        models,
        name,
        TextClassification(labels=("bad", "good"), longest=1000),
        nodes,
        {"worth": np.log(np.array([[3, 1], [1, 3]], np.float32))},
        [Tensor(name="text", dtype="string", shape=("batch",))],
        [Tensor(name="probabilities", dtype="float32", shape=("batch", 2))],
        ({"text": text}, {"probabilities": np.array([[0.25, 0.75], [0.5, 0.5], [0.75, 0.25]], np.float32)}),
        opset=20,  # the first that splits texts
        **options,
    )


ALL = (
    digits,
    wary,
    images,
    clips,
    negatives,
    credit,
    ct,
    samples,
    translations,
    tensors,
    table,
    ranges,
    marks,
    sales,
    series,
    forecasts,
    texts,
    sentences,
    words,
    doubtful,
)
NAMES = {f"toy-{toy.__name__}" for toy in ALL}


def all_of_them(models: Path) -> Path:
    for toy in ALL:
        toy(models)
    return models
