"""Two processes that train together make the model that one makes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from service.bundle import Bundle
from training.export.weights import weights_in
from training.run import CHECKPOINT


def trained(folder: Path, *program: str) -> Bundle:
    """The candidate that a command makes of `linear-profit`, whose 97 rows are no even number."""
    environment = os.environ | {
        "QUARTET_MODELS_DIR": str(folder / "models"),
        "QUARTET_RUNS": str(folder / "runs"),
        "OMP_NUM_THREADS": "1",
    }
    words = [sys.executable, "-m", *program, "training", "run", "linear-profit"]
    made = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (version,) = (folder / "models/linear-profit").iterdir()
    return Bundle(version)


def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    one = trained(tmp_path / "one")
    two = trained(tmp_path / "two", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")
    before, after = (weights_in(bundle.graph) for bundle in (one, two))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        np.testing.assert_allclose(after[name], weight, rtol=1e-5, err_msg=name)
    assert [metric.name for metric in one.manifest.metrics] == [metric.name for metric in two.manifest.metrics]
    assert two.manifest.provenance.command == "torchrun --nproc-per-node 2 -m training run linear-profit"
    assert (tmp_path / "two/runs/linear-profit" / CHECKPOINT).exists()
