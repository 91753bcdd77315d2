"""Real data for training: where it comes from (`sources`), how it gets here (`store`) and what it holds (readers)."""

from training.data.clips import Clips, emoji_clips
from training.data.ct import Volume, chest_ct, phantom_ct
from training.data.german import german_credit
from training.data.housing import city_profit, portland_housing
from training.data.images import CLOTHES, Images, Split, fashion_mnist, mnist, multifeature_digits, small_digits
from training.data.series import cafe_turnover
from training.data.sources import SOURCES, Package, Source
from training.data.store import DataError, Fetched, data_folder, fetch, provenance
from training.data.texts import Texts, TextSplit, mails, rated_words, snippets

__all__ = [
    "CLOTHES",
    "SOURCES",
    "Clips",
    "DataError",
    "Fetched",
    "Images",
    "Package",
    "Source",
    "Split",
    "TextSplit",
    "Texts",
    "Volume",
    "cafe_turnover",
    "chest_ct",
    "city_profit",
    "data_folder",
    "emoji_clips",
    "fashion_mnist",
    "fetch",
    "german_credit",
    "mails",
    "mnist",
    "multifeature_digits",
    "phantom_ct",
    "portland_housing",
    "provenance",
    "rated_words",
    "small_digits",
    "snippets",
]
