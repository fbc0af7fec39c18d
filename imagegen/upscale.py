"""From a small picture to one of four times its sides, and how far that can be trusted.

    x_large = bicubic(x_small) + network(x_small)

The network learned from Storybook pictures what usually lies between pixels. It draws the median
of what is plausible there, because its loss is the mean absolute error. Built in chapter 10.
"""

from functools import cache

import torch
import torch.nn.functional as F
from safetensors.torch import load_model
from torch import nn

from imagegen.models import model_folder

FACTOR = 4


def shrink(x, by=FACTOR):
    """Pictures (n, 3, h, w) with each square of by x by pixels replaced by its mean.

    Raises ValueError for sides that `by` does not divide.
    """
    if x.shape[-2] % by or x.shape[-1] % by:
        raise ValueError(
            f"{x.shape[-1]} x {x.shape[-2]} pixels cannot be shrunk by {by}: crop to multiples."
        )
    return F.avg_pool2d(x, by)


def bicubic(x, by=FACTOR):
    """Pictures (n, 3, h, w) in -1..1, enlarged by fitting cubic curves through the pixels."""
    return F.interpolate(x, scale_factor=by, mode="bicubic").clamp(-1, 1)


class Upscaler(nn.Module):
    """A convolutional network that adds detail to the bicubic enlargement, (n, 3, h, w) -> 4h, 4w.

    Residual blocks without normalisation and a pixel shuffle at the end (Lim et al. 2017, EDSR).
    """

    def __init__(self, width=48, blocks=5):
        super().__init__()
        self.enter = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
            self.blocks.append(nn.Sequential(first, nn.ReLU(), second))
        self.leave = nn.Conv2d(width, 3 * FACTOR**2, 3, padding=1)

    def forward(self, x):
        """Small pictures (n, 3, h, w) in -1..1 -> large ones (n, 3, 4 h, 4 w)."""
        h = self.enter(x)
        for block in self.blocks:
            h = h + block(h)
        return bicubic(x) + F.pixel_shuffle(self.leave(h), FACTOR)


@cache
def upscaler():
    """The trained network, loaded once."""
    model = Upscaler()
    load_model(model, model_folder("storybook-upscaler") / "model.safetensors")
    return model.eval()


def upscale(x):
    """Pictures (n, 3, h, w) in -1..1, enlarged four times by the trained network."""
    with torch.inference_mode():
        return upscaler()(x).clamp(-1, 1)
