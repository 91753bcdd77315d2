"""Decoupled neural interfaces: pieces that learn by guessed gradients, and guesses that learn by those that come."""

import torch
from torch import Tensor, nn

from training.networks.decoupled import decoupled_cost, silent

SIZE = 5


def network() -> tuple[list[nn.Module], Tensor]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(SIZE, SIZE), nn.Tanh()) for _ in range(3)], torch.randn(4, SIZE)


def cost(out: Tensor) -> Tensor:
    return (out - 1).square().mean()


def test_true_guesses_give_the_gradients_of_back_propagation() -> None:
    pieces, x = network()
    inner = [x]
    for piece in pieces:
        inner.append(piece(inner[-1]))
    true = torch.autograd.grad(cost(inner[-1]), inner[1:3], retain_graph=True)
    parameters = [parameter for piece in pieces for parameter in piece.parameters()]
    wanted = torch.autograd.grad(cost(inner[-1]), parameters)
    guesses = [lambda _, gradient=gradient: 10 * gradient for gradient in true]
    found = decoupled_cost(pieces, guesses, cost, x, scale=10)
    torch.testing.assert_close(found, cost(inner[-1]))
    torch.testing.assert_close(torch.autograd.grad(found, parameters), wanted)


def test_a_silent_guess_leaves_its_piece_alone_and_learns() -> None:
    pieces, x = network()
    guesses = [silent(nn.Linear(SIZE, SIZE)) for _ in range(2)]
    decoupled_cost(pieces, guesses, cost, x).backward()
    moved = [any(bool(one.grad.any()) for one in part.parameters() if one.grad is not None) for part in pieces]
    assert moved == [False, False, True]
    assert [bool(guess.weight.grad.any()) for guess in guesses] == [False, True]


def test_guesses_come_to_train_all_pieces_as_well() -> None:
    pieces, x = network()
    guesses = [silent(nn.Linear(SIZE, SIZE)) for _ in range(2)]
    optimizer = torch.optim.Adam([one for part in (*pieces, *guesses) for one in part.parameters()], lr=0.01)
    costs = []
    for _ in range(200):
        optimizer.zero_grad()
        found = decoupled_cost(pieces, guesses, cost, x)
        found.backward()
        optimizer.step()
        costs.append(float(found.detach()))
    assert costs[-1] < costs[0] / 20
