"""Words become identifiers in the graph as in training, copies of a text stay together, and parts add up to scores."""

import numpy as np
import onnxruntime
import pytest
import torch

from service.bundle import Tokeniser
from training import data
from training.kinds import texts
from training.recipes.sequence.spam import SetOfWords
from training.recipes.sequence.spam_recurrent import rated, stretches

TOKENISER = Tokeniser(pattern=r"\w+", most=4)


def test_the_front_gives_the_identifiers_of_training() -> None:
    vocabulary = ["a", "größer", "no"]
    words = [["no", "a", "a"], ["größer", "never"], [""]]
    served = texts.Served(torch.nn.Identity(), vocabulary)
    session = onnxruntime.InferenceSession(texts.front(served).SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"words": texts.words_array(words)})
    assert got.tolist() == texts.identifiers_of(words, vocabulary).tolist()
    assert got.tolist() == [[4, 2, 2], [3, texts.UNKNOWN, 0], [0, 0, 0]]


def test_a_vocabulary_has_the_words_of_several_texts() -> None:
    assert texts.vocabulary_of([["b", "b"], ["a", "b"], ["a", ""]], 2) == ["a", "b"]


def test_of_a_long_text_the_first_words_are_read_and_of_an_empty_one_an_empty_word() -> None:
    assert texts.split_of(TOKENISER, ["One two, three four five", "?"]) == [["one", "two", "three", "four"], [""]]


def test_a_word_counts_once_however_often_it_occurs() -> None:
    network = SetOfWords(5)
    torch.nn.init.normal_(network.weight)
    once, thrice = network(torch.tensor([[2, 3, 0, 0]])), network(torch.tensor([[2, 3, 2, 2]]))
    assert torch.allclose(once.sum(1), thrice.sum(1))
    assert torch.allclose(once.sum(1)[0], network.weight[[2, 3]].sum(0))
    assert not once[0, 2:].any()


def test_parts_of_scores_add_up_to_probabilities() -> None:
    network = SetOfWords(5)
    torch.nn.init.normal_(network.weight)
    probabilities, parts_BKW = texts.Served(network, "abc")(torch.tensor([[2, 3, 4], [2, 0, 0]]))
    assert torch.allclose(probabilities, (parts_BKW.sum(2) + network.bias).softmax(1))
    assert torch.allclose(parts_BKW.sum(1), torch.zeros(2, 3), atol=1e-6)


def test_a_word_is_rated_by_how_much_commoner_it_is_in_one_class() -> None:
    """Of three ham and one spam text; 2 is in all of them, 3 in the spam alone, twice, and 4 in no text."""
    identifiers = torch.tensor([[2, 0, 0], [2, 0, 0], [2, 0, 0], [2, 3, 3]])
    ratings = rated(identifiers, torch.tensor([0, 0, 0, 1]), 5)
    odds = torch.tensor([(2 / 3) / (4 / 5), (2 / 3) / (1 / 5), (1 / 3) / (1 / 5)])
    torch.testing.assert_close(ratings[2:, 0], odds.log() / 2)
    assert not ratings[:2].any()


def test_a_stretch_is_so_many_words_of_a_text_in_their_order() -> None:
    texts_BW = torch.tensor([[2, 3, 4, 5, 6], [7, 8, 0, 0, 0], [2, 3, 4, 0, 0]])
    seen = torch.stack([stretches(texts_BW, 3) for _ in range(50)])
    assert {tuple(row) for row in seen[:, 0].tolist()} == {(2, 3, 4), (3, 4, 5), (4, 5, 6)}
    assert {tuple(row) for row in seen[:, 1].tolist()} == {(7, 8, 0)}
    assert {tuple(row) for row in seen[:, 2].tolist()} == {(2, 3, 4)}


@pytest.mark.parametrize("split", [data.snippets(), data.mails(300)], ids=["snippets", "mails"])
def test_what_is_held_out_is_nowhere_else(split: data.TextSplit) -> None:
    def letters(part: data.Texts) -> set[str]:
        return {"".join(filter(str.isalpha, text.lower())) for text in part.texts}

    assert not letters(split.test) & (letters(split.train) | letters(split.validation))
    for part in split:
        assert len(part.texts) == len(part.labels) == len(part.ratings)
        assert set(np.unique(part.labels)) == {0, 1}


def test_mails_are_read_without_their_headers() -> None:
    mails = data.mails(300).train.texts
    assert not any(mail.startswith(("Return-Path:", "Received:", "From ")) for mail in mails)
    assert sum("received: from" in mail.lower() for mail in mails) < 10  # what people quote
