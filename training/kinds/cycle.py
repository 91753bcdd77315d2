"""What networks that translate between two unpaired domains share: the move of their game, and what is served."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.kinds import adversarial
from training.kinds.adversarial import Move
from training.networks.cycle import Cycle

# B batch, H height, W width


@dataclass(frozen=True, kw_only=True)
class Hyper(adversarial.Hyper):
    """`again` and `identity` weigh what is lost there and back, and what is changed without need."""

    again: float = 10.0
    identity: float = 5.0


def of_domains(second_NHW: Tensor, hyper: Hyper) -> Move:
    """Pictures of the first domain imitate those of the second, drawn at random beside each batch, and the reverse."""

    def drawn(first_BHW: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(second_NHW), (len(first_BHW),))
        return first_BHW, second_NHW[rows].to(first_BHW.device)

    return between(drawn, hyper)


def between(drawn: Callable[[Tensor], tuple[Tensor, Tensor]], hyper: Hyper) -> Move:
    """The same, of what `drawn` makes of a batch: pictures of either domain."""

    def move(network: Cycle, batch: Tensor) -> tuple[object, object, Tensor]:
        first_BHW, second_BHW = drawn(batch)
        made, again = network.there_and_back(first_BHW, second_BHW)
        lost = network.lost((first_BHW, second_BHW), again)
        beside = hyper.again * lost + hyper.identity * network.unchanged(first_BHW, second_BHW)
        return made, (second_BHW, first_BHW), beside

    return move


class Translation(nn.Module):
    """Grey levels [B, H, W] of one domain to those of the other."""

    def __init__(self, translator: nn.Module) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, image: Tensor) -> Tensor:
        translation: Tensor = 255 * self.translator(image / 255)
        return translation


class Served(Translation):
    """The way forth, and the network of the way back beside it."""

    def __init__(self, cycle: Cycle) -> None:
        super().__init__(cycle.forth)
        self.back = cycle.back
