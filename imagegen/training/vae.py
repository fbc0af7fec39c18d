"""The autoencoder: 128 px pictures to 16 x 16 latents with 8 channels and back (f = 8).

    loss = |x - x_hat| + 0.5 |grad x - grad x_hat| + (x - x_hat)^2 + kl * KL(q(z|x) || N(0, 1))

Trained on random 64 px crops: the network is convolutional, so a quarter of the picture
teaches the same and costs a quarter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from imagegen import latent
from imagegen.latent import as_tensor
from imagegen.training.data import SIZE, pictures
from imagegen.training.loop import generator

CROP = 64


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


class Loss(nn.Module):
    """Reconstruction and KL loss of pictures (n, 3, h, w) in -1..1."""

    def __init__(self, vae: AutoencoderKL, kl: float = 1e-4) -> None:
        super().__init__()
        self.vae, self.kl = vae.to(memory_format=torch.channels_last), kl

    def forward(self, x: Tensor) -> Tensor:
        """The mean loss of a batch."""
        posterior = self.vae.encode(x.to(memory_format=torch.channels_last)).latent_dist
        error = x - self.vae.decode(posterior.sample()).sample.float()
        edges = (error[..., 1:] - error[..., :-1]).abs().mean()
        edges = edges + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        fit = error.abs().mean() + 0.5 * edges + error.square().mean()
        return fit + self.kl * posterior.kl().float().mean() / (3 * CROP * CROP)


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
