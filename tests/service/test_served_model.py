"""A served model: what it has learned of its graph's speed decides where batches run."""

import asyncio
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from service.bundle import Arrays, Bundle
from service.engine.batcher import Job
from service.engine.served_model import ServedModel
from service.engine.tune import Profile
from service.metrics import Metrics
from service.settings import Settings
from service.stage_pool import Caller
from tests import toys


async def leaves_the_loop(model: ServedModel, inputs: Arrays) -> bool:
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
    model = ServedModel(Bundle(bundle(tmp_path)), Settings(threads=1), Metrics(), Profile())
    assert asyncio.run(leaves_the_loop(model, inputs)) == leaves
