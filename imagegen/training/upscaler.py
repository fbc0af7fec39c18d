"""The upscaler: 32 px pictures to 128 px, trained on pictures that were shrunk.

    loss = |x - x_hat|     with x_hat = upscaler(shrink(x))

Trained on random 64 px crops, each mirrored or not.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from imagegen.latent import as_tensor, psnr
from imagegen.measure import Oracle, wilson
from imagegen.storybook import FACTORS
from imagegen.training import vae
from imagegen.upscale import Upscaler, bicubic, shrink


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
    """The autoencoder's random crops of n pictures, mirrored in every other step."""
    crops = vae.batches(n, seed, folder, batch_size)

    def batch(step: int) -> tuple[Tensor]:
        (x,) = crops(step)
        return (x.flip(-1) if step % 2 else x,)

    return batch


@torch.inference_mode()
def metrics(upscaler: Upscaler, oracle: Oracle, data: np.ndarray, y: Tensor) -> dict:
    """PSNR in dB and the oracle's reading of pictures enlarged by bicubic and by the upscaler.

    Each is compared with the picture (n, 128, 128, 3) before it was shrunk. Intervals are 95 %:
    of the mean for PSNR, Wilson's for the share of pictures in which all six factors y are read
    right.
    """
    x = as_tensor(data)
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
