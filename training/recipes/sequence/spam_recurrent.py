"""Whether an e-mail is spam, by a network that reads it in its order, and the words that say so.

Network: that of text-sentiment, with GRU for LSTM: an embedding of 16 numbers a word and how much commoner the word is
in spam than in ham, two bidirectional layers of 24 units each way with recurrent dropout, and attention: the score is a
sum over the words. It learns from stretches of 192 words, a new one of each mail in every epoch, and then reads all.
Source: Chollet, Deep Learning with Python, chapter 6 (recurrent dropout, stacked and bidirectional layers); Gal and
Ghahramani, A theoretically grounded application of dropout in recurrent neural networks, NeurIPS 2016; Wang and
Manning, Baselines and bigrams, ACL 2012, for the log-count ratios that rate the words.
Data: that of spam, with the same split: 5,870 different e-mails of 2002 and 2003, 1,776 of them spam, subject and text
without markup or any other header; a fifth is held out and a tenth validates. The texts are their writers'.
Expected: 98.8 % of the mails; TF-IDF with logistic regression has 97.9 %, spam 98.6 %. Run time: 6 minutes on one core.
Limits: mails of twenty years ago, in English; the ham is that of developers and of mailing lists. It goes through a
mail word by word, which takes longer than the sum that spam is; of the 582 validation mails it got 7 wrong and spam 9,
which is no difference. So it stands beside spam and not in its place.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.data import mails
from training.kinds import reading, texts
from training.kinds.mails import TASK, TOKENISER, recipe
from training.networks.reader import PADDING
from training.run import Run

# B batch, W words, V vocabulary

READ = 1024  # words of a validation mail, in training


@dataclass(frozen=True, kw_only=True)
class Hyper(reading.Hyper):
    epochs: int = 12
    batch: int = 128
    least: int = 3
    embedding: int = 16
    width: int = 24
    hidden_words: float = 0.3
    stretch: int = 192


def train(run: Run[Hyper]) -> nn.Module:
    hyper, split = run.hyper, mails(run.hyper.most)
    words = texts.split_of(TOKENISER, split.train.texts)
    vocabulary = texts.vocabulary_of(words, hyper.least)
    identifiers_NW, label_N = texts.identifiers_of(words, vocabulary), torch.from_numpy(split.train.labels)
    held_NW = texts.identifiers_of(texts.split_of(TOKENISER, split.validation.texts), vocabulary)
    return reading.train(
        run,
        "gru",
        vocabulary,
        rated(identifiers_NW, label_N, texts.FIRST + len(vocabulary)),
        (identifiers_NW, F.one_hot(label_N, len(TASK.labels)).float()),
        (held_NW[:, :READ], torch.from_numpy(split.validation.labels)),
        lambda identifiers_BW: stretches(identifiers_BW, hyper.stretch),
    )


def rated(identifiers_NW: Tensor, label_N: Tensor, size: int) -> Tensor:
    """Of each word [V, 2]: half the logarithm of how much commoner it is among mails of spam, and 1 if it is known."""
    count_2V = torch.ones(2, size)
    for row, label in zip(identifiers_NW, label_N.tolist(), strict=True):
        count_2V[label, row.unique()] += 1
    ham_V, spam_V = count_2V / (2 + torch.bincount(label_N, minlength=2))[:, None]
    ratings_V2 = torch.stack([(spam_V / ham_V).log() / 2, torch.ones(size)], 1)
    ratings_V2[: texts.FIRST] = 0
    return ratings_V2


def stretches(identifiers_BW: Tensor, size: int) -> Tensor:
    """So many words of each text, from a random place on; all of a shorter one."""
    length_B = (identifiers_BW != PADDING).sum(1)
    start_B = (torch.rand(len(length_B), device=length_B.device) * (length_B - size + 1).clamp(min=1)).long()
    places_BW = start_B[:, None] + torch.arange(min(size, identifiers_BW.shape[1]), device=length_B.device)
    return identifiers_BW.gather(1, places_BW)


RECIPE = recipe(
    description="Says whether an e-mail is spam by reading it in its order, and which words made it so.",
    hyper=Hyper(),
    train=train,
)
