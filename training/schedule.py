"""What a training's optimiser steps follow: one cycle of the learning rate, and a running average of the weights."""

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def one_cycle(optimizer: Optimizer, *, epochs: int, rows: int, batch: int) -> OneCycleLR:
    """One cycle over all steps of the training, to be stepped after each batch (Smith and Topin, 2018).

    Each parameter group peaks at its own `lr`.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, peaks, epochs=epochs, steps_per_epoch=-(-rows // batch), cycle_momentum=False)


def running_average(network: nn.Module, decay: float) -> AveragedModel:
    """The exponential average of the network's weights and buffers."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]
