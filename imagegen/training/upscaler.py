"""The upscaler: 32 px pictures to 128 px, trained on pictures that were shrunk.

    loss = |x - x_hat|     with x_hat = upscaler(shrink(x))

Trained on random 64 px crops, each mirrored or not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imagegen.latent import psnr
from imagegen.measure import Oracle, to_tensor, wilson
from imagegen.storybook import FACTORS
from imagegen.training.data import SIZE, pictures
from imagegen.training.loop import generator
from imagegen.upscale import Upscaler, bicubic, shrink

CROP = 64


class Loss(nn.Module):
    """Mean absolute error of enlarged pictures (n, 3, h, w) in -1..1."""

    def __init__(self, upscaler: Upscaler) -> None:
        super().__init__()
        self.upscaler = upscaler.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """The mean loss of a batch."""
        small = shrink(x).to(memory_format=torch.channels_last)
        return (x - self.upscaler(small).float()).abs().mean()


def batches(n: int, seed: int, folder: Path, batch_size: int):
    """A function from the step number to a batch of random crops of n pictures."""
    data = pictures(n, seed, folder)

    def batch(step: int) -> tuple[Tensor]:
        g = generator(seed, step)
        rows = torch.randint(n, (batch_size,), generator=g).tolist()
        places = SIZE - CROP + 1
        corners = torch.randint(places, (batch_size, 2), generator=g).tolist()
        crops = [
            data[i, y : y + CROP, x : x + CROP] for i, (y, x) in zip(rows, corners, strict=True)
        ]
        x = to_tensor(np.stack(crops))
        return (x.flip(-1) if step % 2 else x,)

    return batch


@torch.inference_mode()
def metrics(upscaler: Upscaler, oracle: Oracle, data: np.ndarray, y: Tensor) -> dict:
    """PSNR in dB and the oracle's reading of pictures enlarged by bicubic and by the upscaler.

    Each is compared with the picture (n, 128, 128, 3) before it was shrunk. Intervals are 95 %:
    of the mean for PSNR, Wilson's for the share of pictures in which all six factors y are read
    right.
    """
    x = to_tensor(data)
    small = shrink(x)
    parts = small.split(50)
    large = {
        "true": x,
        "bicubic": bicubic(small),
        "upscaler": torch.cat([upscaler(part).clamp(-1, 1) for part in parts]),
    }
    out = {}
    for name, drawn in large.items():
        scores = [oracle(part) for part in drawn.split(50)]
        read = torch.cat([torch.stack([s[f].argmax(1) for f in FACTORS], 1) for s in scores])
        right = int((read == y).all(1).sum())
        low, high = wilson(right, len(x))
        out[name] = {"all_factors_right": right / len(x), "low": low, "high": high, "n": len(x)}
        if name != "true":
            db = psnr(x, drawn)
            error = (1.96 * db.std() / len(db) ** 0.5).item()
            again = (shrink(drawn) - small).abs().mean().item() * 127.5
            out[name] |= {
                "psnr_db": db.mean().item(),
                "psnr_interval_db": error,
                "off_after_shrinking_of_255": again,
            }
    gain = psnr(x, large["upscaler"]) - psnr(x, large["bicubic"])
    out["upscaler"] |= {
        "gain_db": gain.mean().item(),
        "gain_interval_db": (1.96 * gain.std() / len(gain) ** 0.5).item(),
        "better_than_bicubic": int((gain > 0).sum()),
    }
    return out
