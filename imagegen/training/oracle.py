"""The classifier that reads a picture's factors back, trained on drawn pictures only.

    loss = sum over factors of the cross entropy

Blur, noise and shifts during training keep it from leaning on single pixels, which the
autoencoder changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.latent import as_tensor
from imagegen.measure import Oracle
from imagegen.storybook import FACTORS, VALUES
from imagegen.training.data import pictures, scene
from imagegen.training.loop import generator


class Loss(nn.Module):
    """Cross entropy of all factors for pictures (n, 3, 128, 128) and labels (n, 6)."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        self.oracle = oracle.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch."""
        scores = self.oracle(x.to(memory_format=torch.channels_last))
        return sum(F.cross_entropy(scores[f].float(), labels[:, i]) for i, f in enumerate(FACTORS))


def labels(indices: list[int], seed: int, held_out: bool | None = None) -> Tensor:
    """The factors of pictures as class numbers (n, 6)."""
    scenes = [scene(i, seed, held_out) for i in indices]
    return torch.tensor([[VALUES[f].index(getattr(s, f)) for f in FACTORS] for s in scenes])


def _disturb(x: Tensor, g: torch.Generator) -> Tensor:
    """The same pictures mirrored, shifted, blurred and grained, each batch differently."""
    kind = torch.rand(4, generator=g).tolist()
    if kind[0] < 0.5:
        x = x.flip(-1)
    dy, dx = torch.randint(-4, 5, (2,), generator=g).tolist()
    x = F.pad(x, (4, 4, 4, 4), mode="replicate")[..., 4 + dy : 132 + dy, 4 + dx : 132 + dx]
    if kind[1] < 0.4:
        small = F.interpolate(x, scale_factor=0.5 + 0.4 * kind[2], mode="area")
        x = F.interpolate(small, size=x.shape[-2:], mode="bilinear")
    if kind[3] < 0.4:
        x = x + 0.08 * torch.randn(x.shape, generator=g)
    return x


def batches(n: int, seed: int, folder: Path, batch_size: int):
    """A function from the step to (pictures, labels) of scenes of all kinds, held out or not."""
    data, y = pictures(n, seed, folder, held_out=None), labels(list(range(n)), seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        g = generator(seed, step)
        rows = torch.randint(n, (batch_size,), generator=g)
        return _disturb(as_tensor(data[rows.numpy()]), g), y[rows]

    return batch


@torch.inference_mode()
def accuracy(oracle: Oracle, data: np.ndarray, y: Tensor) -> dict[str, float]:
    """The share of pictures read right, for each factor and for all six together."""
    hits = []
    for start in range(0, len(data), 64):
        scores = oracle(as_tensor(data[start : start + 64]))
        best = torch.stack([scores[f].argmax(1) for f in FACTORS], dim=1)
        hits.append(best == y[start : start + 64])
    hit = torch.cat(hits).float()
    return dict(zip(FACTORS, hit.mean(0).tolist(), strict=True)) | {
        "all": hit.prod(1).mean().item()
    }
