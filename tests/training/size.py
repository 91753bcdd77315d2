"""How large a network is."""

from torch import nn


def parameters_of(module: nn.Module) -> int:
    """How many numbers a training adjusts."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
