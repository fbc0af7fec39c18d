"""The autoencoder: 128 px pictures to 16 x 16 latents with 8 channels and back (f = 8).

    loss = |e| + 0.5 |grad e| + e^2 + 0.5 |f(x) - f(x_hat)| + kl KL(q(z|x) || N(0, 1))
           - w D(x_hat) + max(0, 1 - D(x)) + max(0, 1 + D(x_hat))          with e = x - x_hat

f are maps of the oracle, which notice a lost eye or window that pixels hardly weigh. D tells
pictures from decoded ones, patch by patch, and makes edges crisp (Esser et al. 2021): it alone
learns from the last two terms, the autoencoder from all others.

Trained on random 64 px crops: the network is convolutional, so a quarter of the picture
teaches the same and costs a quarter.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.func import functional_call

from imagegen import latent
from imagegen.latent import as_tensor
from imagegen.measure import oracle
from imagegen.training.data import SIZE, pictures
from imagegen.training.loop import generator

CROP = 64
CELL = 8  # pixels a side for each place of a latent
KL = 1e-4
STAGES = (slice(0, 6), slice(6, 12), slice(12, 18))  # of the oracle: 2 convolutions, half the size


def build() -> AutoencoderKL:
    """The untrained autoencoder."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 64, 96, 128),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        sample_size=SIZE,
        mid_block_add_attention=False,
    )


def freeze_encoder(vae: AutoencoderKL) -> AutoencoderKL:
    """Leave only the decoder to train, so that latents stay what they are."""
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    return vae


def discriminator() -> nn.Module:
    """Four convolutions: pictures (n, 3, h, w) -> how real each patch looks, (n, 1, h/8, w/8)."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1), nn.GroupNorm(8, 64), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 96, 4, 2, 1), nn.GroupNorm(8, 96), nn.LeakyReLU(0.2),
        nn.Conv2d(96, 1, 3, 1, 1),
    )  # fmt: skip


class Loss(nn.Module):
    """The loss of pictures (n, 3, h, w) in -1..1, and the discriminator that is part of it.

    Given latents (n, 8, h/8, w/8), it decodes these and leaves the encoder alone.
    adversarial: the weight w of what the discriminator says. The more, the crisper, and the
    further from the picture that went in.
    """

    def __init__(self, vae: AutoencoderKL, adversarial: float = 0.02) -> None:
        super().__init__()
        self.adversarial = adversarial
        self.vae = vae.to(memory_format=torch.channels_last)
        self.discriminator = discriminator().to(memory_format=torch.channels_last)
        # Copies in a list, so that they are no part of what learns and is saved.
        self.seeing = [deepcopy(oracle().body[stage]).requires_grad_(False) for stage in STAGES]

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """The mean loss of a batch."""
        x = x.to(memory_format=torch.channels_last)
        kl = 0.0
        if z is None:
            posterior = self.vae.encode(x).latent_dist
            z, kl = posterior.sample(), KL * posterior.kl().float().mean() / x[0].numel()
        x_hat = self.vae.decode(z.to(memory_format=torch.channels_last)).sample
        error = x - x_hat.float()
        edges = (error[..., 1:] - error[..., :-1]).abs().mean()
        edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        fit = error.abs().mean() + 0.5 * edges + error.square().mean()
        # The same discriminator with weights that learn nothing here.
        fixed = {name: w.detach() for name, w in self.discriminator.named_parameters()}
        fooled = functional_call(self.discriminator, fixed, x_hat).float().mean()
        judged = F.relu(1 - self.discriminator(x).float()).mean()
        judged = judged + F.relu(1 + self.discriminator(x_hat.detach()).float()).mean()
        return fit + 0.5 * self._seen(x, x_hat) + kl - self.adversarial * fooled + judged

    def _seen(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """How differently the oracle's first stages see two batches."""
        apart = 0.0
        for stage in self.seeing:
            stage.to(x.device)
            x, x_hat = stage(x), stage(x_hat)
            apart = apart + (x - x_hat).float().abs().mean()
        return apart


def batches(n: int, seed: int, folder: Path, batch_size: int):
    """A function from the step number to a batch of random crops of n pictures."""
    data = pictures(n, seed, folder)

    def batch(step: int) -> tuple[Tensor]:
        g = generator(seed, step)
        rows = torch.randint(n, (batch_size,), generator=g).tolist()
        corners = torch.randint(SIZE - CROP + 1, (batch_size, 2), generator=g).tolist()
        crops = [
            data[i, y : y + CROP, x : x + CROP] for i, (y, x) in zip(rows, corners, strict=True)
        ]
        return (as_tensor(np.stack(crops)),)

    return batch


def decoder_batches(data: np.ndarray, true: np.ndarray, melted: np.ndarray, seed: int, size: int):
    """A function from the step number to crops and their latents, two fifths of them melted.

    data: pictures (n, 128, 128, 3). true, melted: latents (n, 8, 16, 16) of them, or of the first.
    """

    def batch(step: int) -> tuple[Tensor, Tensor]:
        g = generator(seed, step)
        cells = CROP // CELL
        x, z = [], []
        for k in range(size):
            latents = melted if 5 * k < 2 * size else true
            row = int(torch.randint(len(latents), (), generator=g))
            i, j = torch.randint(SIZE // CELL - cells + 1, (2,), generator=g).tolist()
            z.append(latents[row, :, i : i + cells, j : j + cells])
            x.append(data[row, CELL * i : CELL * i + CROP, CELL * j : CELL * j + CROP])
        return as_tensor(np.stack(x)), torch.from_numpy(np.stack(z).astype(np.float32))

    return batch


@torch.inference_mode()
def reconstruct(vae: AutoencoderKL, data: np.ndarray) -> np.ndarray:
    """Pictures after encoding and decoding, uint8 like the pictures that came in."""
    parts = []
    for start in range(0, len(data), 16):
        x = as_tensor(data[start : start + 16]).to(vae.device)
        x_hat = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        parts.append(((x_hat + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(parts)


def psnr(vae: AutoencoderKL, data: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of reconstructed pictures, the mean over pictures."""
    return latent.psnr(as_tensor(data), as_tensor(reconstruct(vae, data))).mean().item()
