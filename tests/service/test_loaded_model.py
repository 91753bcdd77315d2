"""A loaded model: what it has learned of its graph's speed decides where batches run."""

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from service.bundle import Arrays, Bundle
from service.engine.batcher import Job
from service.engine.loaded_model import LoadedModel
from service.engine.profile import Profile
from service.model_metrics import ModelMetrics
from service.settings import Settings
from service.stage_pool import Caller
from tests import toys


async def leaves_the_loop(model: LoadedModel, inputs: Arrays) -> bool:
    """Whether the event loop goes on while the model runs."""
    asked = asyncio.ensure_future(model.outputs(Job(inputs, Caller(monotonic() + 10, lambda: False))))
    seen = 0
    while not asked.done():
        seen = max(seen, model.batcher.running_rows)
        await asyncio.sleep(0)
    await asked
    return seen > 0


@pytest.mark.parametrize(
    ("bundle", "inputs", "leaves"),
    [
        (toys.digits, {"image": np.zeros((1, 28, 28), np.float32)}, False),
        (toys.ct, {"hu": np.zeros((1, 16, 16), np.float32)}, False),
        (toys.ct, {"hu": np.zeros((1, 1024, 1024), np.float32)}, True),
    ],
    ids=["of one size and quick", "as small as those that were measured", "large"],
)
def test_only_what_is_known_to_be_quick_keeps_the_loop(
    tmp_path: Path, bundle: Any, inputs: Arrays, leaves: bool
) -> None:
    model = LoadedModel(Bundle(bundle(tmp_path)), Settings(threads=1), ModelMetrics(), Profile())
    assert asyncio.run(leaves_the_loop(model, inputs)) == leaves
