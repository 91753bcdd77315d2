"""A residual U-Net that finds the noise in the slice itself and whose correction shrinks to nothing with it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, max_pool2d, pad

from training.images.tomography import STORED_HU

# B batch, C channels, H rows, W columns

WINDOWS = (-1024.0, -400.0), (-200.0, 300.0), (-1024.0, 2000.0)  # HU: lung, soft tissue, bone
WHITE = 4.0  # lifts 10 HU of noise in soft tissue to about 0.1
NOISE_HU = 50.0  # one unit of what the U-Net gives
GATE_HU = 10.0  # the noise at which half of that is taken
SCALES = 1, 2, 4  # pixels that are averaged before noise is looked for, in bands of the spectrum
MEAN_TO_DEVIATION = 1.2533  # of a normal distribution: standard deviation over mean absolute value
BLOCK, NEIGHBOURS = 8, 15  # a block's pixels each way, of its scale; and blocks about it, 4 pixels apart
ABOUT = 7  # blocks each way, over which the size of a correction is looked at
FAINT_HU, MOST_HU, UNEVEN = 1.0, 32.0, 2.0  # bounds of a correction, see `Tempered`
BODY_HU = -950.0  # more than air


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        change_BCHW: Tensor = self.second(torch.relu(self.first(x_BCHW)))
        return x_BCHW + change_BCHW


class Denoiser(nn.Module):
    """float32 [B, H, W] in HU to the same without noise; H and W are any numbers.

    The first convolutions halve the resolution and the last doubles it. An odd size is rounded up where the resolution
    halves and cut off where it doubles again.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        steps = list(zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(len(WINDOWS), widths[0], 3, stride=2, padding=1)
        self.detail = nn.Conv2d(1, widths[0], 5, stride=2, padding=2)
        self.level = nn.Conv2d(len(SCALES), widths[0], 1)
        self.encode = nn.ModuleList(Block(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.decode = nn.ModuleList(Block(width) for width in widths[:-1])
        self.tail = nn.ConvTranspose2d(widths[0], 1, 4, stride=2, padding=1)
        for weight in (weight for part in (self.level, self.tail) for weight in part.parameters()):
            nn.init.normal_(weight, std=1e-3)  # what is added begins small, and so does the correction

    def forward(self, slice: Tensor) -> Tensor:
        return slice - self.correction(slice)

    def correction(self, slice: Tensor) -> Tensor:
        """What is taken from the slice, in HU [B, H, W]."""
        hu_B1HW = slice[:, None].clamp(*STORED_HU)
        with torch.autocast(slice.device.type, enabled=False):  # HU stay exact
            noise_BCHW = noise_of(hu_B1HW)
            found_B1HW = level_of(noise_BCHW, hu_B1HW)
            x_BCHW = self.head(windowed(hu_B1HW)) + self.detail(detail(hu_B1HW, found_B1HW))
            x_BCHW = x_BCHW + self.level(_finer(torch.log1p(noise_BCHW), 2, x_BCHW))
        gate_B1HW = NOISE_HU * found_B1HW / (found_B1HW + GATE_HU)
        correction_BHW = (gate_B1HW * _cut(self.tail(self._features(x_BCHW)), slice).float())[:, 0]
        padding_BHW = slice < STORED_HU[0]  # what a scanner fills the corners with; it has no noise
        return correction_BHW.masked_fill(padding_BHW, 0)

    def _features(self, x_BCHW: Tensor) -> Tensor:
        """At half the resolution, from what is seen at 1/2, 1/4, 1/8, ..."""
        x_BCHW = self.encode[0](x_BCHW)
        skips = []
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skips.append(x_BCHW)
            x_BCHW = encode(down(x_BCHW))
        for up, decode in zip(reversed(self.up), reversed(self.decode), strict=True):
            skip_BCHW = skips.pop()
            x_BCHW = decode(skip_BCHW + _cut(up(x_BCHW), skip_BCHW))
        return x_BCHW


class Tempered(Denoiser):
    """The same, and what is taken is bounded by what noise is like, wherever the network takes more.

    Noise fills a slice: a correction that is UNEVEN times what is usual in the slice takes structure. Where noise is
    more than `most_hu`, faint edges would go with it. What is less than `faint_hu` nobody could see.
    """

    def __init__(self, widths: tuple[int, ...], faint_hu: float = FAINT_HU, most_hu: float = MOST_HU) -> None:
        super().__init__(widths)
        self.faint_hu, self.most_hu = faint_hu, most_hu

    def forward(self, slice: Tensor) -> Tensor:
        return slice - tempered(self.correction(slice), slice, self.faint_hu, self.most_hu)


def tempered(correction_BHW: Tensor, slice_BHW: Tensor, faint_hu: float = FAINT_HU, most_hu: float = MOST_HU) -> Tensor:
    """A correction within those bounds."""
    body_B1HW = (slice_BHW[:, None] > BODY_HU).float()
    size_B1HW = _finer(_size_about(correction_BHW[:, None]), 4, correction_BHW)
    counted = body_B1HW.sum((2, 3), keepdim=True) + 1
    usual_B111 = ((body_B1HW * size_B1HW.log()).sum((2, 3), keepdim=True) / counted).exp()
    bounded_B1HW = torch.minimum(size_B1HW, (UNEVEN * usual_B111).clamp(max=most_hu))
    seen_B1HW = (1 - faint_hu**2 / bounded_B1HW.square()).clamp(min=0)
    return (seen_B1HW * bounded_B1HW / size_B1HW)[:, 0] * correction_BHW


def _size_about(x_B1HW: Tensor) -> Tensor:
    """Root mean square of what is about each place, at every fourth pixel; never quite 0."""
    return (mean_of(mean_of(x_B1HW.square(), BLOCK, 4), ABOUT, 1) + 1e-3).sqrt()


def noise_of(hu_B1HW: Tensor) -> Tensor:
    """Standard deviation of the noise in HU at every fourth pixel, in a channel for each of SCALES.

    Differences of neighbours both ways, which edges along an axis leave alone; then the harmonic mean over blocks about
    each place, which the calmest of them decide. White noise reads the same at every scale, what is smooth reads 0, and
    what the scanner's range cuts off is not looked at.
    """
    cut_B1HW = ((hu_B1HW <= STORED_HU[0] + 4) | (hu_B1HW >= STORED_HU[1])).float()
    readings = []
    for scale in SCALES:
        coarse, usable = (
            (avg_pool2d(hu_B1HW, scale), 1 - max_pool2d(cut_B1HW, scale)) if scale > 1 else (hu_B1HW, 1 - cut_B1HW)
        )
        readings.append(scale * MEAN_TO_DEVIATION * _calm(coarse, usable, stride=4 // scale))
    return torch.cat(readings, dim=1)


def level_of(noise_BCHW: Tensor, like: Tensor) -> Tensor:
    """Its standard deviation in HU at every pixel [B, 1, H, W], of the two finer scales together."""
    return _finer(noise_BCHW[:, :2].square().sum(1, keepdim=True).sqrt(), 4, like)


def _calm(x_B1HW: Tensor, usable_B1HW: Tensor, stride: int) -> Tensor:
    kernel = x_B1HW.new_tensor([[[[0.5, -0.5], [-0.5, 0.5]]]])
    difference = conv2d(pad(x_B1HW, (0, 1, 0, 1), mode="replicate"), kernel).abs()
    usable = 1 - max_pool2d(pad(1 - usable_B1HW, (0, 1, 0, 1)), 2, stride=1)
    total, count = (mean_of(x, BLOCK, stride) for x in (difference * usable, usable))
    inverse = count / (total / (count + 1e-6) + 0.02)
    return mean_of(count, NEIGHBOURS, 1) / (mean_of(inverse, NEIGHBOURS, 1) + 1e-6)


def mean_of(x_B1HW: Tensor, size: int, stride: int) -> Tensor:
    """Over squares of pixels, of those that there are: down and then across, which is many times as fast."""
    half = size // 2
    down_B1HW = avg_pool2d(x_B1HW, (size, 1), (stride, 1), padding=(half, 0), count_include_pad=False)
    return avg_pool2d(down_B1HW, (1, size), (1, stride), padding=(0, half), count_include_pad=False)


def windowed(hu_B1HW: Tensor) -> Tensor:
    """The slices as one picture a window, from black 0 to WHITE; air, and the padding of a convolution, is black."""
    return torch.cat([WHITE * ((hu_B1HW - low) / (high - low)).clamp(0, 1) for low, high in WINDOWS], dim=1)


def detail(hu_B1HW: Tensor, gate_B1HW: Tensor) -> Tensor:
    """What differs from the mean about it, in units of the noise."""
    return ((hu_B1HW - mean_of(hu_B1HW, 5, 1)) / (gate_B1HW + 1)).clamp(-4, 4)


def _finer(x_BCHW: Tensor, times: int, like: Tensor) -> Tensor:
    finer_BCHW = interpolate(x_BCHW, scale_factor=float(times), mode="bilinear", align_corners=False)
    return _cut(finer_BCHW, like)


def _cut(x_BCHW: Tensor, like: Tensor) -> Tensor:
    """The rows and columns that `like` has too."""
    return x_BCHW[..., : like.shape[-2], : like.shape[-1]]
