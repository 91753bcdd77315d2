"""What filters of spam have in common: the labels, how mails are taken apart, and their recipe."""

from typing import Any

from service.bundle import TextClassification, Tokeniser
from training.data import mails
from training.kinds import texts
from training.recipe import Recipe

TOKENISER = Tokeniser(pattern=r"\w+(?:'\w+)*|[!$%?]", most=4096)
TASK = TextClassification(labels=("ham", "spam"), tokeniser=TOKENISER)


def recipe(**fields: Any) -> Recipe[Any]:
    """The recipe of such a filter; `fields` are Recipe's."""
    return texts.recipe(
        mails,
        TASK,
        (64, 256, 1024, 4096),
        sources=("spam-assassin",),
        examples=lambda: texts.examples(lambda: mails(100), TOKENISER),
        trial={"most": 200},
        source_figure="none",
        **fields,
    )
