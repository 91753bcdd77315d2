"""A run is deterministic under its seed, goes on where it was stopped, and says why when it cannot."""

import csv
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import AveragedModel

from training.commit import git_commit, sources
from training.data import mnist
from training.export.store import committed
from training.run import CHECKPOINT, CURVE, Run, RunError, recorded


@dataclass(frozen=True, kw_only=True)
class Hyper:
    seed: int = 3
    epochs: int = 4
    width: int = 8


class StoppedRun(Run[Hyper]):
    """A run whose user loses patience in the third epoch."""

    def step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        if self.steps == 7:
            raise KeyboardInterrupt
        super().step(loss, optimizer)


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    train = mnist().train
    return torch.from_numpy(train.pixels[:300]).float().flatten(1) / 255, torch.from_numpy(train.labels[:300])


def train(run: Run[Hyper], digits: tuple[Tensor, Tensor]) -> AveragedModel:
    """Everything that has a state: dropout, momentum, a schedule, a weight average."""
    width = run.hyper.width
    network = nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Dropout(), nn.Linear(width, 10))
    average = AveragedModel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    scheduler = StepLR(optimizer, 1, gamma=0.8)
    for _ in run.epochs(network=network, average=average, optimizer=optimizer, scheduler=scheduler):
        for image, label in run.batches(*digits, size=100):
            loss = cross_entropy(network(image), label)
            run.step(loss, optimizer)
            average.update_parameters(network)
        scheduler.step()
        run.log(train_loss=loss.item())
    return average


def same(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().values(), right.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(digits: tuple[Tensor, Tensor]) -> None:
    first = train(Run("toy", Hyper(), fresh=True), digits)
    assert same(first, train(Run("toy", Hyper(), fresh=True), digits))
    assert not same(first, train(Run("toy", Hyper(seed=4), fresh=True), digits))


def test_a_stopped_run_goes_on_to_the_weights_and_the_curve_of_one_that_was_not(digits: tuple[Tensor, Tensor]) -> None:
    unstopped = Run("unstopped", Hyper())
    expected = train(unstopped, digits)
    with pytest.raises(KeyboardInterrupt):
        train(StoppedRun("stopped", Hyper()), digits)
    resumed = Run("stopped", Hyper())
    assert same(expected, train(resumed, digits))
    assert (resumed.curve, resumed.steps) == (unstopped.curve, 12)


def test_a_finished_run_is_not_trained_again(digits: tuple[Tensor, Tensor]) -> None:
    expected = train(Run("toy", Hyper()), digits)
    again = Run("toy", Hyper())
    assert same(expected, train(again, digits))
    assert again.steps == 12


def test_a_fresh_run_forgets_the_earlier_one(digits: tuple[Tensor, Tensor]) -> None:
    train(Run("toy", Hyper()), digits)
    fresh = Run("toy", Hyper(), fresh=True)
    train(fresh, digits)
    assert len(fresh.curve) == 4


def test_max_steps_ends_every_loop_and_leaves_no_checkpoint(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    run = Run("toy", Hyper(), max_steps=2)
    train(run, digits)
    assert run.steps == 2
    assert not (runs / "toy" / CHECKPOINT).exists()


def test_every_row_is_in_one_batch_of_an_epoch_in_an_order_of_its_own() -> None:
    run = Run("toy", Hyper())
    orders = []
    for _ in run.epochs():
        batches = [rows for (rows,) in run.batches(torch.arange(10), size=4)]
        assert [len(rows) for rows in batches] == [4, 4, 2]
        orders.append(torch.cat(batches))
    assert all(sorted(order.tolist()) == list(range(10)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_the_learning_curve_is_kept_as_csv(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    run = Run("toy", Hyper())
    train(run, digits)
    with (runs / "toy" / CURVE).open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == run.curve
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]


def test_a_checkpoint_of_other_hyperparameters_is_refused(digits: tuple[Tensor, Tensor]) -> None:
    train(Run("toy", Hyper()), digits)
    with pytest.raises(RunError, match="other hyper-parameters.*--fresh"):
        train(Run("toy", dataclasses.replace(Hyper(), epochs=5)), digits)


def test_a_checkpoint_of_another_network_is_refused(digits: tuple[Tensor, Tensor]) -> None:
    train(Run("toy", Hyper()), digits)
    with pytest.raises(RunError, match="does not fit the recipe's network.*--fresh"):
        list(Run("toy", Hyper()).epochs(network=nn.Linear(2, 2)))


def test_a_checkpoint_of_another_device_is_refused(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    train(Run("toy", Hyper()), digits)
    rewrite(runs / "toy" / CHECKPOINT, device="cuda")
    with pytest.raises(RunError, match="was trained on cuda and not on cpu.*--fresh"):
        train(Run("toy", Hyper()), digits)


def test_a_run_goes_on_only_with_the_weights_that_it_began_with(digits: tuple[Tensor, Tensor]) -> None:
    begun = committed("convnet")
    expected = train(Run("warm", Hyper(), start=begun), digits)
    assert same(expected, train(Run("warm", Hyper(), start=begun), digits))
    with pytest.raises(RunError, match=f"begun with the weights of version {begun.manifest.version}: start over"):
        train(Run("warm", Hyper()), digits)
    with pytest.raises(RunError, match="begun with the weights of version"):
        train(Run("warm", Hyper(), start=committed("lenet5")), digits)


def test_a_run_from_random_weights_is_not_taken_for_one_from_a_bundle(digits: tuple[Tensor, Tensor]) -> None:
    train(Run("cold", Hyper()), digits)
    with pytest.raises(RunError, match="begun with random weights: start over with --fresh"):
        train(Run("cold", Hyper(), start=committed("convnet")), digits)


def test_a_run_that_goes_on_keeps_the_commit_that_it_began_with(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    begun = Run("toy", Hyper())
    train(begun, digits)
    assert begun.git_commit == git_commit()
    rewrite(runs / "toy" / CHECKPOINT, git_commit="0123456")
    resumed = Run("toy", Hyper())
    train(resumed, digits)
    assert resumed.git_commit == "0123456"
    assert resumed.part("teacher").git_commit == git_commit()


def test_a_checkpoint_without_device_and_commit_is_one_of_the_cpu(digits: tuple[Tensor, Tensor], runs: Path) -> None:
    train(Run("toy", Hyper()), digits)
    rewrite(runs / "toy" / CHECKPOINT, device=None, git_commit=None)
    run = Run("toy", Hyper())
    train(run, digits)
    assert (run.steps, run.git_commit) == (12, "unknown")


def rewrite(path: Path, **changes: str | None) -> None:
    """Change entries of a checkpoint; None takes one away."""
    checkpoint = torch.load(path, weights_only=True) | changes
    torch.save({name: entry for name, entry in checkpoint.items() if entry is not None}, path)


def test_a_corrupt_checkpoint_is_refused(runs: Path) -> None:
    (runs / "toy").mkdir()
    (runs / "toy" / CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match="cannot be read.*--fresh"):
        list(Run("toy", Hyper()).epochs())


def test_hyperparameters_are_recorded_as_json_gives_them_back() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Widths(Hyper):
        widths: tuple[int, ...] = (8, 16)

    assert recorded(Widths()) == {"seed": 3, "epochs": 4, "width": 8, "widths": [8, 16]}


def test_a_run_that_diverges_says_so() -> None:
    with pytest.raises(RunError, match="toy diverged in epoch 1 .*learning rate"):
        Run("toy", Hyper()).log(train_loss=float("nan"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_says_so() -> None:
    with pytest.raises(RunError, match="sees no CUDA GPU"):
        Run("toy", Hyper(), device="cuda")


def test_what_training_shares_with_the_service_decides_whether_its_sources_are_committed() -> None:
    from service.codecs import handwriting

    assert {"training", handwriting.__file__} <= set(sources())
