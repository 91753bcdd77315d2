"""Classifiers of texts, which take words: vocabulary, networks, the loop and the evaluation beside a classical one.

What is served takes a text's words as the manifest's tokeniser finds them. The vocabulary is the front of the graph;
words that it does not have share a place in it. Scores are sums over words, so each word's part in them is known.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Arrays, Axis, Metric, TextClassification, Tokeniser
from service.bundle import Tensor as Declared
from training.data import Texts, TextSplit
from training.export.graph import IR_VERSION, OPSET
from training.given import texts as given
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, calibration, histogram, proportion
from training.measures.paired import Rows, classes
from training.networks.reader import PADDING
from training.recipe import Recipe
from training.report import pictures
from training.run import Run
from training.schedule import one_cycle, running_average

# B batch, W words, E numbers of an embedding, K labels

UNKNOWN, FIRST = PADDING + 1, PADDING + 2  # identifiers
WEIGHTIEST = 3  # words, taken away to see whether they mattered
REGULARISATIONS = 0.3, 1.0, 3.0, 10.0, 30.0


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """What `fit` needs to know. A word is known when it is in `least` texts; `most` texts are read, None: all."""

    seed: int = 1
    epochs: int = 8
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    average_decay: float = 0.99
    least: int = 2
    most: int | None = None


class Served(nn.Module):
    """Identifiers [B, W] to probabilities [B, K] and what each word adds to the scores [B, K, W].

    `network` gives the words' parts of scores [B, W, K] and has a `bias` [K]. What a word adds to all labels alike
    changes no probability and is left out.
    """

    def __init__(self, network: nn.Module, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self.network, self.vocabulary = network, tuple(vocabulary)

    def forward(self, identifiers_BW: Tensor) -> tuple[Tensor, Tensor]:
        parts_BWK = self.network(identifiers_BW)
        parts_BWK = parts_BWK - parts_BWK.mean(2, keepdim=True)
        return F.softmax(parts_BWK.sum(1) + self.network.bias, 1), parts_BWK.transpose(1, 2)


def front(served: nn.Module) -> onnx.ModelProto:
    """Words [B, W] to identifiers."""
    vocabulary = served.vocabulary
    assert isinstance(vocabulary, tuple)
    node = helper.make_node(
        "LabelEncoder",
        ["words"],
        ["identifiers"],
        domain="ai.onnx.ml",
        keys_strings=["", *vocabulary],
        values_int64s=[PADDING, *range(FIRST, FIRST + len(vocabulary))],
        default_int64=UNKNOWN,
    )
    words, identifiers = (
        helper.make_tensor_value_info(name, dtype, ["batch", "words"])
        for name, dtype in (("words", TensorProto.STRING), ("identifiers", TensorProto.INT64))
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 4)]
    graph = helper.make_graph([node], "front", [words], [identifiers])
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def split_of(tokeniser: Tokeniser, texts: Iterable[str]) -> list[list[str]]:
    """The words of each text, the first `most` of them."""
    return [[word.text for word in tokeniser.words(text)][: tokeniser.most] for text in texts]


def vocabulary_of(texts: Sequence[Sequence[str]], least: int) -> list[str]:
    """The words that are in at least so many texts, sorted."""
    counts = Counter(word for words in texts for word in set(words))
    return sorted(word for word, count in counts.items() if count >= least and word)


def identifiers_of(texts: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> Tensor:
    """Int64 [N, W], as the front gives them."""
    known: Mapping[str, int] = {"": PADDING} | {word: place for place, word in enumerate(vocabulary, FIRST)}
    rows = [torch.tensor([known.get(word, UNKNOWN) for word in words]) for words in texts]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def fit(
    run: Run[Any],
    network: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    view: Callable[[Tensor], Tensor] = lambda identifiers_BW: identifiers_BW,
) -> nn.Module:
    """Train `network` on identifiers [N, W] and how probable each label is [N, K]; the average of its weights.

    `view` is what it reads of a batch in training.
    """
    hyper: Hyper = run.hyper
    (seen, wanted), (held, label) = ([tensor.to(run.device) for tensor in pair] for pair in (train, validation))
    network = network.to(run.device)
    average = running_average(network, hyper.average_decay)
    optimizer = torch.optim.AdamW(network.parameters(), lr=hyper.learning_rate, weight_decay=hyper.weight_decay)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=len(seen), batch=hyper.batch)
    for _ in run.epochs(network=network, average=average, optimizer=optimizer, scheduler=scheduler):
        network.train()
        losses = []
        for identifiers_BW, wanted_BK in run.batches(seen, wanted, size=hyper.batch):
            loss = F.cross_entropy(scores_of(network, view(identifiers_BW)), wanted_BK)
            run.step(loss, optimizer)
            scheduler.step()
            average.update_parameters(network)
            losses.append(loss.detach())
        scores_NK = in_use(average.module, held)
        run.log(
            train_loss=float(torch.stack(losses).mean()),
            validation_loss=float(F.cross_entropy(scores_NK, label)),
            validation_error=float((scores_NK.argmax(1) != label).float().mean()),
        )
    return average.module


def scores_of(network: nn.Module, identifiers_BW: Tensor) -> Tensor:
    """[B, K], of no more words than the longest text has."""
    longest = int((identifiers_BW != PADDING).sum(1).max())
    scores: Tensor = network(identifiers_BW[:, : max(1, longest)]).sum(1) + network.bias
    return scores


@torch.no_grad()
def in_use(network: nn.Module, identifiers: Tensor, size: int = 200) -> Tensor:
    network.eval()
    return torch.cat([scores_of(network, rows) for rows in torch.split(identifiers, size)])


def words_array(texts: Sequence[Sequence[str]]) -> NDArray[np.str_]:
    """Texts [N, words], as the graph takes them."""
    longest = max(map(len, texts))
    return np.array([[*words, *[""] * (longest - len(words))] for words in texts])


def ask(predict: Predict, texts: Sequence[Sequence[str]], size: int = 64) -> Iterator[tuple[int, Arrays]]:
    """What the graph gives for each text, those of about a length together, and the text's number."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        outputs = predict({"words": words_array([texts[i] for i in rows])})
        for place, row in enumerate(rows):
            yield row, {name: array[place] for name, array in outputs.items()}


def evaluate(predict: Predict, split: TextSplit, task: TextClassification) -> Evaluation:
    """Accuracy beside that of a classical classifier of the same texts, and whether the words that it names matter."""
    assert task.tokeniser is not None
    texts, label = split_of(task.tokeniser, split.test.texts), split.test.labels
    answers = dict(ask(predict, texts))
    probabilities = np.stack([answers[i]["probabilities"] for i in range(len(texts))])
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    classical = baseline(split, task.tokeniser)
    count, right = len(label), predicted == label
    named = [np.argsort(-answers[i]["contributions"][best])[:WEIGHTIEST] for i, best in enumerate(predicted)]
    generator = np.random.default_rng(0)
    drawn = [generator.permutation(len(words))[:WEIGHTIEST] for words in texts]
    changed = partial(_changed, predict, texts, predicted)
    lengths = [len(words) for words in split_of(task.tokeniser, split.train.texts)]
    return Evaluation(
        metrics=(
            proportion("accuracy", int(right.sum()), count, description="test texts classified correctly"),
            proportion(
                "accuracy of TF-IDF logistic regression",
                int((classical == label).sum()),
                count,
                description="words and pairs of them, the same split, regularised as the validation texts want it",
            ),
            _better(right, classical == label),
            calibration(confidence, right),
            changed("answers changed without their 3 weightiest words", named),
            changed("answers changed without any 3 words", drawn),
        ),
        pictures={"confusion-matrix": pictures.confusion_matrix(label, predicted, task.labels)},
        reference=(histogram("words", lengths, np.unique(np.quantile(lengths, np.linspace(0, 1, 17)))),),
    )


def training_outputs(predict: Predict, split: TextSplit, tokeniser: Tokeniser) -> Arrays:
    """The probabilities of some training texts."""
    texts = split_of(tokeniser, outputs.some(np.array(split.train.texts, object)).tolist())
    return {"probabilities": np.stack([answer["probabilities"] for _, answer in ask(predict, texts)])}


def _better(right: NDArray[np.bool_], classical: NDArray[np.bool_]) -> Metric:
    """Where the two disagree, how often the network is the one that is right."""
    apart = right != classical
    if not apart.any():  # nothing tells
        name = "right where the two disagree"
        return Metric(name=name, value=0.5, low=0, high=1, count=len(right), description="they never do")
    return proportion(
        "right where the two disagree",
        int(right[apart].sum()),
        int(apart.sum()),
        description="share of the texts that only one of the two classifies correctly",
    )


def _changed(
    predict: Predict,
    texts: Sequence[Sequence[str]],
    predicted: NDArray[np.int64],
    name: str,
    without: Sequence[NDArray[np.int64]],
) -> Metric:
    """How many answers change when of each text the words at these places are taken away."""
    left = [
        [word for place, word in enumerate(words) if place not in set(gone.tolist())] or [""]
        for words, gone in zip(texts, without, strict=True)
    ]
    changed = sum(answer["probabilities"].argmax() != predicted[i] for i, answer in ask(predict, left))
    return proportion(name, int(changed), len(texts))


def baseline(split: TextSplit, tokeniser: Tokeniser) -> NDArray[np.int64]:
    """What TF-IDF and logistic regression, fitted on the training texts, say of the test texts."""
    vectoriser = TfidfVectorizer(analyzer=_words_and_pairs, sublinear_tf=True)
    rows = [split_of(tokeniser, part.texts) for part in split]
    train, validation, test = vectoriser.fit_transform(rows[0]), *map(vectoriser.transform, rows[1:])
    fitted = [LogisticRegression(C=c, max_iter=1000).fit(train, split.train.labels) for c in REGULARISATIONS]
    best = max(fitted, key=lambda one: one.score(validation, split.validation.labels))
    return np.asarray(best.predict(test), np.int64)


def _words_and_pairs(words: Sequence[str]) -> list[str]:
    return [*words, *(f"{first} {second}" for first, second in zip(words, words[1:], strict=False))]


def spot_check(data: Callable[[], TextSplit], tokeniser: Tokeniser, count: int) -> Callable[[Predict], Metric]:
    """The accuracy on about `count` test texts, evenly from the first to the last."""

    def check(predict: Predict) -> Metric:
        test = data().test
        every = max(1, len(test.texts) // count)
        texts, label = split_of(tokeniser, test.texts[::every]), test.labels[::every]
        right = sum(answer["probabilities"].argmax() == label[i] for i, answer in ask(predict, texts))
        return proportion("accuracy", int(right), len(texts))

    return check


def rows(predict: Predict, split: TextSplit, task: TextClassification) -> Rows:
    """Which test texts are classified correctly, and how the labels fare."""
    assert task.tokeniser is not None
    answers = dict(ask(predict, split_of(task.tokeniser, split.test.texts)))
    answer = np.array([answers[i]["probabilities"].argmax() for i in range(len(answers))])
    return classes(answer, split.test.labels, task.labels)


def examples(data: Callable[[], TextSplit], tokeniser: Tokeniser, count: int = 6) -> Arrays:
    """Short training texts of every label."""
    train: Texts = data().train
    texts = split_of(tokeniser, train.texts[:200])
    short = sorted(range(len(texts)), key=lambda i: (len(texts[i]) < 5, len(texts[i])))
    chosen = [[i for i in short if train.labels[i] == label][: count // 2] for label in (0, 1)]
    return {"words": words_array([texts[i] for rows in chosen for i in rows])}


def recipe(
    data: Callable[[], TextSplit], task: TextClassification, buckets: tuple[int, ...], **fields: Any
) -> Recipe[Any]:
    """The recipe of a classifier of texts, with what all of them have; `fields` are Recipe's, and take precedence."""
    tokeniser, labels = task.tokeniser, len(task.labels)
    assert tokeniser is not None
    usual: dict[str, Any] = {
        "inputs": (Declared(name="words", dtype="string", shape=("batch", "words"), description="in their order"),),
        "outputs": (
            Declared(name="probabilities", dtype="float32", shape=("batch", labels), range=(0, 1)),
            Declared(
                name="contributions",
                dtype="float32",
                shape=("batch", labels, "words"),
                description="what each word adds to the score of each label, of which the soft-max is taken",
            ),
        ),
        "axes": {"words": Axis(most=tokeniser.most, buckets=buckets)},
        "front": front,
        "evaluate": lambda predict, _: evaluate(predict, data(), task),
        "rows": lambda predict: rows(predict, data(), task),
        "examples": lambda: examples(data, tokeniser),
        "training_outputs": lambda predict: training_outputs(predict, data(), tokeniser),
        "max_batch": 32,
        "given": given.texts(data, task.labels),
    }
    return Recipe(task=task, **(usual | fields))
