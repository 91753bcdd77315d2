"""How a network that reads digits does beyond MNIST: on corrupted digits, on those of others, and on what is none."""

import numpy as np

from service.bundle import Arrays, Metric
from training.data import Images, fashion_mnist, mnist, multifeature_digits, small_digits
from training.images.corruptions import CORRUPTIONS, corrupt
from training.images.digit_form import enlarged
from training.images.drawings import drawn_others, ruled_digits
from training.images.fonts import OTHER_HANDWRITING, OTHER_LETTERS, SIGNS, handwritten, printed
from training.images.outliers import pair
from training.images.pages import empty_sheets, photographs, scans
from training.measures.evaluation import Predict, clustered, proportion
from training.measures.scoring import delong_auc
from training.report import pictures

DIGITS = "0123456789"
SCANNED_SIDE = 16  # pixels
MEASURED = 1000  # test digits under each corruption
NEAREST = 40  # pictures of no digit that are shown
PRINTED, HANDWRITTEN = "printed digits", "handwritten digits"
FACES = {PRINTED: 40, HANDWRITTEN: 200}  # digits of each typeface
UNSEEN = {"split": "all", "description": "never trained with"}


def refusals(predict: Predict, test: Images, generator: np.random.Generator) -> tuple[list[Metric], bytes]:
    """How many digits and how many others are refused, and a picture of the others that are most like digits."""
    familiarity = _answers(predict, test.pixels)["familiarity"]
    refused, strangers = int((familiarity < 0).sum()), _strangers(test.pixels, generator)
    strange = {name: _answers(predict, pixels)["familiarity"] for name, pixels in strangers.items()}
    metrics = [proportion("false refusals", refused, len(familiarity), description="test digits that are not accepted")]
    for name, other in strange.items():
        title, description = f"AUROC against {name}", "familiarity tells digits from them"
        metrics.append(delong_auc(title, familiarity, other, description=description))
        metrics.append(proportion(f"{name} refused", int((other < 0).sum()), len(other)))
    nearest = np.argsort(-np.concatenate(list(strange.values())))[:NEAREST]
    return metrics, pictures.image_sheet(np.concatenate(list(strangers.values()))[nearest], 10)


def _strangers(digits: np.ndarray, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Pictures of no digit, or of two."""
    return {
        "Fashion-MNIST": fashion_mnist().test.pixels,
        "noise": _noise(),
        "sparse noise": np.stack([_sparse(generator) for _ in range(MEASURED)]),
        "letters": printed("matplotlib-fonts", OTHER_LETTERS).pixels,
        "handwritten letters": handwritten(OTHER_HANDWRITING, OTHER_LETTERS, 4, generator).pixels,
        "signs": printed("matplotlib-fonts", SIGNS).pixels,
        "handwritten signs": handwritten(OTHER_HANDWRITING, SIGNS, 8, generator).pixels,
        "drawn signs and scribbles": drawn_others(MEASURED // 2, generator),
        "ink on empty sheets": empty_sheets(MEASURED, generator),
        "two digits in one": np.stack([pair(*rows) for rows in _pairs(digits, generator)]),
    }


def elsewhere(predict: Predict, generator: np.random.Generator) -> list[Metric]:
    """Digits that MNIST's writers did not write, and theirs on other paper."""
    small, test = small_digits(), mnist().test
    some = Images(test.pixels[::5], test.labels[::5])
    sets = {
        PRINTED: printed("matplotlib-fonts", DIGITS),
        HANDWRITTEN: handwritten(OTHER_HANDWRITING, DIGITS, 20, generator),
        "digits of a drawing program": ruled_digits(100, generator),
        "scanned digits": scans(some, SCANNED_SIDE),
        "photographed digits": photographs(some, generator),
        "multiple-features digits": enlarged(multifeature_digits(), aspect=1.5),
        "8x8 digits": enlarged(
            Images(
                np.concatenate([small.train.pixels, small.test.pixels]),
                np.concatenate([small.train.labels, small.test.labels]),
                small.test.white,
            )
        ),
    }
    metrics = []
    for name, images in sets.items():
        answers = _answers(predict, images.pixels)
        right = answers["probabilities"].argmax(1) == images.labels
        accepted = answers["familiarity"] >= 0
        for title, found in ((f"accuracy on {name}", right), (f"{name} accepted", accepted)):
            if name in FACES:
                metrics.append(_by_face(title, found, FACES[name]))
            else:
                metrics.append(proportion(title, int(found.sum()), len(found), **UNSEEN))
    return metrics


def _by_face(name: str, found: np.ndarray, of_a_face: int) -> Metric:
    """The share of digits that are printed: those of one face succeed or fail together."""
    description = f"{UNSEEN['description']}; {of_a_face} digits of each face, the interval counts faces"
    return clustered(name, found.reshape(-1, of_a_face), **UNSEEN | {"description": description})


def corrupted(predict: Predict, test: Images) -> tuple[list[Metric], bytes]:
    """The accuracy under every corruption and under all of them, and a picture of them."""
    metrics, rows, found = [], [], []
    pixels, labels = test.pixels[:MEASURED], test.labels[:MEASURED]
    for name in CORRUPTIONS:
        changed = corrupt(name, pixels)
        right = _answers(predict, changed)["probabilities"].argmax(1) == labels
        title, details = f"accuracy under {name.replace('_', ' ')}", {"description": "a kind that it was trained with"}
        metrics.append(proportion(title, int(right.sum()), len(right), **details))
        rows.append(changed[:12])
        found.append(right)
    description = "each digit in all 15 ways, kinds that it was trained with; the interval counts digits"
    mean = clustered("accuracy under corruption", np.transpose(found), description=description)
    names = [name.replace("_", " ") for name in CORRUPTIONS]
    return [mean, *metrics], pictures.image_sheet(np.concatenate(rows), 12, row_names=names)


def _pairs(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Two digits [28, 28] each, [N, 2, 28, 28]."""
    return pixels[generator.integers(len(pixels), size=(MEASURED, 2))]


def _sparse(generator: np.random.Generator) -> np.ndarray:
    """White pixels on black, 1 to 20 % of all."""
    return 255.0 * (generator.random((28, 28)) < generator.uniform(0.01, 0.2))


def _noise(count: int = 2000) -> np.ndarray:
    """Pictures of white noise, half of them uniform, half normally distributed."""
    generator = np.random.default_rng(0)
    shape = count // 2, 28, 28
    return np.concatenate([generator.uniform(0, 255, shape), generator.normal(128, 64, shape).clip(0, 255)])


def _answers(predict: Predict, pixels: np.ndarray) -> Arrays:
    return predict({"image": pixels.astype(np.float32)})
