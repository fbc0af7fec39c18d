"""Pictures and their latents: the small space in which Stable Diffusion adds and removes noise.

    z = scaling_factor * encoder(x),    x_hat = decoder(z / scaling_factor)

The scaling factor gives latents a spread near 1, the size of the noise (Rombach et al. 2022,
appendix G). Built in chapter 7.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imagegen.pictures import to_rgb


def encode(vae, x, generator=None):
    """Scaled latents of pictures x (n, 3, h, w) in -1..1, on the device of vae.

    vae: diffusers' AutoencoderKL. A side of the latents is that of x over 8 for the models of
    this course. generator: draws from the encoder's distribution; without it, the likeliest
    latents. ValueError for pictures outside -1..1.
    """
    if x.ndim != 4 or x.abs().max() > 1:
        raise ValueError("Pictures must be (n, 3, h, w) in -1..1: use as_tensor(images).")
    with torch.no_grad():
        parts = [vae.encode(part.to(vae.device, vae.dtype)).latent_dist for part in x.split(8)]
        z = [part.sample(generator) if generator else part.mode() for part in parts]
    return vae.config.scaling_factor * torch.cat(z)


def decode(vae, z):
    """Pictures (n, 3, h, w) in -1..1 of scaled latents z (n, c, h', w').

    ValueError where the number of channels c is not that of vae.
    """
    if z.ndim != 4 or z.shape[1] != vae.config.latent_channels:
        raise ValueError(f"Latents must be (n, {vae.config.latent_channels}, h, w).")
    raw = z / vae.config.scaling_factor
    with torch.no_grad():
        parts = [vae.decode(part).sample for part in raw.split(8)]
    return torch.cat(parts).clamp(-1, 1)


def as_tensor(images: Sequence[Image.Image | np.ndarray]) -> Tensor:
    """Pictures of one size, or their bytes (n, h, w, 3), as floats (n, 3, h, w) in -1..1."""
    pixels = [np.asarray(to_rgb(i) if isinstance(i, Image.Image) else i) for i in images]
    sizes = {array.shape for array in pixels}
    if len(sizes) != 1:
        raise ValueError(f"The pictures must have one size, and have {len(sizes)}: resize them.")
    return 2 * (torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255) - 1


def as_images(x: Tensor) -> list[Image.Image]:
    """Pictures x (n, 3, h, w) in -1..1 as a list of PIL images, each number rounded to a byte."""
    pixels = ((x / 2 + 0.5).clamp(0, 1).float() * 255).round().byte()
    return [Image.fromarray(p) for p in pixels.permute(0, 2, 3, 1).cpu().numpy()]


def psnr(x, x_hat):
    """Peak signal-to-noise ratio (n,) in dB of pictures (n, 3, h, w) in -1..1."""
    return 10 * torch.log10(4 / ((x - x_hat) ** 2).flatten(1).mean(1))
