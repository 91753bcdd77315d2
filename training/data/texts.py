"""Texts with a label each: rated snippets, and e-mails."""

import email
import hashlib
import html
import io
import json
import re
import tarfile
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.given import replaceable
from training.data.sources import RATED_SNIPPETS, SPAM_ASSASSIN
from training.data.store import fetch

FOLDER = "hutto_ICWSM_2014"
BESIDE = "tweets", "amazonReviewSnippets", "nytEditorialSnippets"  # what is no film review
LETTERS = re.compile(r"[^\W\d_]+")
MARKUP = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
HELD_OUT, VALIDATING = 51, 77  # of 256: a fifth is held out, a tenth validates


class Texts(NamedTuple):
    """`labels` [N], and `ratings` [N], what people thought of the texts, from -4 to 4; 0 where none were asked."""

    texts: list[str]
    labels: NDArray[np.int64]
    ratings: NDArray[np.float32]

    def rows(self, chosen: NDArray[np.bool_]) -> "Texts":
        texts = [text for text, is_chosen in zip(self.texts, chosen, strict=True) if is_chosen]
        return Texts(texts, self.labels[chosen], self.ratings[chosen])


class TextSplit(NamedTuple):
    train: Texts
    validation: Texts
    test: Texts


@replaceable
@cache
def snippets() -> TextSplit:
    """Snippets of film reviews that people did not find neutral: 0 for negative, 1 for positive.

    Tweets, product reviews and editorials are beside them in training, all of them.
    """
    raw = fetch(RATED_SNIPPETS.name).read()[f"{FOLDER}.tar"]
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        films = _rated(archive, "movieReviewSnippets")
        films = films.rows(np.abs(films.ratings) >= 0.5)
        beside = [_rated(archive, name) for name in BESIDE]
    split = _split(films)
    train = Texts(
        [text for part in (split.train, *beside) for text in part.texts],
        np.concatenate([split.train.labels, *(part.labels for part in beside)]),
        np.concatenate([split.train.ratings, *(part.ratings for part in beside)]),
    )
    return TextSplit(train, split.validation, split.test)


def _rated(archive: tarfile.TarFile, name: str) -> Texts:
    file = archive.extractfile(f"{FOLDER}/{name}_GroundTruth.txt")
    assert file is not None
    rows = [line.split("\t") for line in file.read().decode(errors="replace").splitlines() if line]
    ratings = np.array([float(rating) for _, rating, _ in rows], np.float32)
    return Texts([text for *_, text in rows], (ratings > 0).astype(np.int64), ratings)


@cache
def rated_words() -> dict[str, float]:
    """Words and what people rated them, from -4, negative, to 4."""
    lines = fetch(RATED_SNIPPETS.name).read()["vader_lexicon.txt"].decode().splitlines()
    return {word: float(rating) for word, rating, *_ in (line.split("\t") for line in lines if line)}


@replaceable
@cache
def mails(most: int | None = None) -> TextSplit:
    """Subjects and texts of e-mails, of each the first copy: 0 for ham, 1 for spam. At `most` so many are read."""
    found: dict[str, tuple[str, bool]] = {}
    mails = (content for name, content in fetch(SPAM_ASSASSIN.name).files() if name.endswith(".json"))
    for mail in islice(map(json.loads, mails), most):
        text = "\n".join(_parts(mail["text"]))
        found.setdefault(_fingerprint(text), (text, mail["group"].startswith("spam")))
    labels = np.array([is_spam for _, is_spam in found.values()], np.int64)
    return _split(Texts([text for text, _ in found.values()], labels, np.zeros(len(labels), np.float32)))


def _parts(raw: str) -> Iterator[str]:
    """The subject, and every text without its markup."""
    message = email.message_from_string(raw)
    yield str(message.get("subject") or "")
    for part in message.walk():
        payload = part.get_payload(decode=True) if part.get_content_maintype() == "text" else None
        if isinstance(payload, bytes):
            text = payload.decode("latin-1")
            marked = part.get_content_subtype() == "html" or "<html" in text[:2000].lower()
            yield html.unescape(MARKUP.sub(" ", text)) if marked else text


def _split(texts: Texts) -> TextSplit:
    """By the letters of each text, so that copies stay together."""
    places = np.array([int(_fingerprint(text)[:2], 16) for text in texts.texts])
    validating = (places >= HELD_OUT) & (places < VALIDATING)
    return TextSplit(texts.rows(places >= VALIDATING), texts.rows(validating), texts.rows(places < HELD_OUT))


def letters_of(text: str) -> str:
    """What copies of a text have in common: its words in small letters."""
    return " ".join(LETTERS.findall(text.lower()))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(letters_of(text).encode()).hexdigest()
