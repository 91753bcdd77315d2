"""Small networks between pictures and codes, which may know the label: convolutions of patches, and dense layers.

They hold a tenth of the weights of dense ones alone that draw as well.
"""

from torch import Tensor, nn

from training.networks.dense import Conditioned

# B batch, C pixels, code or features

SIDE, PATCH = 28, 4  # pixels
PLACES = SIDE // PATCH  # in a row
FEW, MANY, HIDDEN = 12, 64, 64  # channels of a place where they come from a code and elsewhere, and of dense layers


class Seen(nn.Module):
    """Pixels [B, 784] and labels [B], where there are `labels`, to rows [B, outputs]."""

    def __init__(self, outputs: int, labels: int = 0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.PixelUnshuffle(PATCH), nn.Conv2d(PATCH**2, MANY, 3, padding=1), nn.SiLU()),
            *(nn.Conv2d(MANY, MANY // 2, 3, stride=2, padding=1), nn.SiLU(), nn.Flatten()),
        )
        self.hidden = Conditioned(MANY // 2 * ((PLACES + 1) // 2) ** 2, HIDDEN, labels)
        self.last = nn.Linear(HIDDEN, outputs)

    def forward(self, pixels_BC: Tensor, label_B: Tensor | None = None) -> Tensor:
        picture_BCHW = pixels_BC.reshape(-1, 1, SIDE, SIDE)
        seen: Tensor = self.last(self.hidden(self.features(picture_BCHW), label_B))
        return seen


class Painted(nn.Module):
    """Codes [B, inputs] and labels [B], where there are `labels`, to pixels [B, 784]."""

    def __init__(self, inputs: int, labels: int = 0) -> None:
        super().__init__()
        sizes = inputs, 2 * HIDDEN, HIDDEN, FEW * PLACES**2
        self.hidden = nn.ModuleList(
            Conditioned(before, after, labels) for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.places = nn.Sequential(
            *(nn.Conv2d(FEW, MANY, 3, padding=1), nn.SiLU(), nn.Conv2d(MANY, MANY, 1), nn.SiLU()),
            *(nn.Conv2d(MANY, PATCH**2, 3, padding=1), nn.PixelShuffle(PATCH), nn.Flatten()),
        )

    def forward(self, code_BC: Tensor, label_B: Tensor | None = None) -> Tensor:
        for layer in self.hidden:
            code_BC = layer(code_BC, label_B)
        painted: Tensor = self.places(code_BC.reshape(-1, FEW, PLACES, PLACES))
        return painted
