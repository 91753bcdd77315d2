"""Several processes that train one model, as torchrun starts them: each takes a share of every batch.

Gradients are added up before each step, each weighted by its share of the rows, so weights are those of one process
wherever a loss is a mean over rows. What is drawn at random for a row, and what batch normalisation sees, is each
process's own, as in DistributedDataParallel. The first process alone writes.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def count() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Train with the others that torchrun started; alone where it started none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def wait() -> None:
    """Until all have come here."""
    if dist.is_initialized():
        dist.barrier()


def agreed(order: Tensor) -> Tensor:
    """That of the first process: each may have drawn other numbers since they began alike."""
    if dist.is_initialized():
        dist.broadcast(order, 0)
    return order


def share(rows: Tensor) -> tuple[Tensor, float]:
    """This process's rows of a batch, and their weight in it; all of them where they are fewer than the processes."""
    if len(rows) < count():
        return rows, 1 / count()
    own = rows[dist.get_rank() :: count()] if dist.is_initialized() else rows
    return own, len(own) / len(rows)


@torch.no_grad()
def add_up(parameters: Iterable[Tensor], weight: float) -> None:
    """Make the gradients those of the whole batch."""
    if not dist.is_initialized():
        return
    gradients = [one.grad for one in parameters if one.grad is not None]
    for kind in {one.dtype for one in gradients}:
        same = [one for one in gradients if one.dtype == kind]
        whole = weight * torch.cat([one.flatten() for one in same])
        dist.all_reduce(whole)
        for one, part in zip(same, torch.split(whole, [one.numel() for one in same]), strict=True):
            one.copy_(part.view_as(one))


def mean(figures: dict[str, float], device: torch.device) -> dict[str, float]:
    """Of the processes' figures."""
    if not dist.is_initialized():
        return figures
    values = torch.tensor(list(figures.values()), dtype=torch.float32, device=device)
    dist.all_reduce(values)
    return dict(zip(figures, (values / count()).tolist(), strict=True))
