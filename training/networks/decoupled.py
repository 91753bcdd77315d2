"""Training a network in pieces that do not wait for each other: decoupled neural interfaces.

A small network guesses the gradient at the end of each piece, which takes the guess for the true one; it learns from
the gradient that comes down later, itself partly a guess (Jaderberg et al., Decoupled neural interfaces using synthetic
gradients, ICML 2017).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Piece = Callable[[Tensor], Tensor]


def silent(guess: nn.Module) -> nn.Module:
    """The same with all of its parameters 0: the first guess is that nothing has to change."""
    for parameter in guess.parameters():
        nn.init.zeros_(parameter)
    return guess


def decoupled_cost(
    pieces: Sequence[Piece], guesses: Sequence[Piece], cost: Callable[[Tensor], Tensor], x: Tensor, scale: float = 1.0
) -> Tensor:
    """What `cost` makes of the last piece's output, with the gradient that decoupled training takes for its own.

    `guesses`, one for each piece but the last, take its output and give the gradient there, times `scale`.
    """
    total, value, guessed = x.new_zeros(()), x.new_zeros(()), None
    for place, piece in enumerate(pieces):
        came = x.detach().requires_grad_()
        x = piece(came)
        if place < len(guesses):
            own = guesses[place](x.detach())
            wanted = (x * own.detach()).sum() / scale
        else:
            own, wanted = None, cost(x)
            value = wanted.detach()
        if guessed is not None:
            (arrived,) = torch.autograd.grad(wanted, came, retain_graph=True)
            total = total + (guessed - scale * arrived).square().sum()
        total, guessed = total + wanted, own
    return value + total - total.detach()
