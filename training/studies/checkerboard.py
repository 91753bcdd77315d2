"""Pictures enlarged by transposed convolutions, and by convolutions of a picture that was resized.

Kernels of three that are laid out in steps of two overlap in every other row and column, where a transposed convolution
adds up more than beside it: a checkerboard. What is resized first and then convolved has nothing of the kind (Odena,
Dumoulin and Olah, Deconvolution and checkerboard artifacts, 2016). Both are translators of `cyclegan`, as they begin
and after they have learned to draw Dutch digits again, three seeds each. What is measured is the power of all that
changes with every row or with every column, beside that of the digits that they were shown: 1 is no more of it.
"""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import l1_loss

from training import recipe
from training.kinds.cycle import Translation
from training.networks.cycle import Translator
from training.recipes.generate.cyclegan import Hyper, dutch, finest
from training.report import pictures
from training.studies import Findings, Table

STEPS, BATCH, SEEDS, RATE, SHOWN = 40, 16, 3, 0.002, 12

Levels = NDArray[np.float32]
"""Grey levels [N, 28, 28]."""


def study() -> Findings:
    chosen = recipe.load("cyclegan")
    (digits, _), (real, _) = dutch()
    rows, sheets = [], [real[:: len(real) // SHOWN][:SHOWN]]
    for name, changes in chosen.variants.items():
        hyper: Hyper = dataclasses.replace(chosen.hyper, **changes)
        pairs = [_drawn_again(torch.from_numpy(digits), real, hyper, seed) for seed in range(SEEDS)]
        powers = np.array([[_beside(made, real) for made in pair] for pair in pairs])
        rows.append([name, *powers.mean(0).tolist(), float(powers[:, 1].std(ddof=1))])
        sheets += [made[:: len(made) // SHOWN][:SHOWN] for made in pairs[0]]
    head = ("enlarged by", "as it begins", f"after {STEPS} steps", "deviation over seeds")
    names = ("real", "resized, begins", "resized, learned", "transposed, begins", "transposed, learned")
    sheet = pictures.image_sheet(np.concatenate(sheets), SHOWN, row_names=names)
    return Findings({"Power at the finest frequency": Table(head, rows)}, {"digits-drawn-again": sheet})


def _drawn_again(digits_NHW: Tensor, real: Levels, hyper: Hyper, seed: int) -> tuple[Levels, Levels]:
    """What a translator makes of real digits before it has learned anything and after."""
    torch.manual_seed(seed)
    network = Translation(Translator(hyper.width, hyper.depth, hyper.upsampling))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    before = _made(network, real)
    for _ in range(STEPS):
        shown_BHW = digits_NHW[torch.randint(len(digits_NHW), (BATCH,))]
        optimizer.zero_grad()
        l1_loss(network(shown_BHW), shown_BHW).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return before, _made(network, real)


def _made(network: Translation, real: Levels) -> Levels:
    with torch.no_grad():
        made: Levels = network(torch.from_numpy(real)).numpy()
    return made


def _beside(made: Levels, real: Levels) -> float:
    """The share of the power that is at the finest frequency, beside that of real digits."""
    spread = [levels - levels.mean((1, 2), keepdims=True) for levels in (made, real)]
    shares = [float(np.mean(finest(levels) / (levels**2).sum((1, 2)))) for levels in spread]
    return shares[0] / shares[1]
