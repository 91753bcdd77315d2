"""Pictures translated both ways between two domains."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.bundle import Bundle, SampleTranslation
from service.codecs import pictures
from service.codecs.pictures import write_png
from service.limits import Limits
from service.messages import NPY
from tests import toys
from tests.conftest import Here, assert_refused

PATH = "/v1/samples/translate?model=toy-translations"
PICTURE = np.random.default_rng(3).integers(0, 256, (8, 8), np.uint8)


@pytest.mark.parametrize(("query", "domain", "made"), [
    ("", "dark", 255 - PICTURE), ("&to=dark", "dark", 255 - PICTURE), ("&to=bright", "bright", np.rint(PICTURE / 2)),
])  # fmt: skip
def test_a_picture_is_translated_to_the_domain_that_is_named(
    lane: Here, query: str, domain: str, made: NDArray[Any]
) -> None:
    response = lane(
        "POST", PATH + query, content=write_png(PICTURE),
        headers={"content-type": "image/png", "accept": "application/json"},
    )  # fmt: skip
    answer = response.json()
    assert answer["domain"] == domain
    (text,) = answer["translations"]
    np.testing.assert_array_equal(pictures.read(base64.b64decode(text), Limits(1, 10_000)).pixels, made)


def test_the_domain_can_stand_in_the_document(lane: Here) -> None:
    response = lane("POST", PATH, json={"images": [PICTURE.tolist()], "to": "bright"}, headers={"accept": NPY})
    assert response.headers["content-type"] == NPY


@pytest.mark.parametrize("to", ["grey", 3])
def test_a_domain_that_the_model_does_not_know_is_refused(lane: Here, to: object) -> None:
    assert_refused(lane("POST", PATH, json={"images": [PICTURE.tolist()], "to": to}), 422, "invalid_value", "to")


def test_a_bundle_without_the_way_back_is_refused(tmp_path: Path) -> None:
    manifest = Bundle(toys.translations(tmp_path)).manifest
    with pytest.raises(ValueError, match="back"):
        manifest.task.check({"main": manifest.graphs["main"]})
    with pytest.raises(ValueError, match="two domains"):
        SampleTranslation(domains=("a", "a")).check(manifest.graphs)
