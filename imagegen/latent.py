"""Pictures and their latents: the small space in which Stable Diffusion adds and removes noise.

    z = scaling_factor * encoder(x),    x_hat = decoder(z / scaling_factor)

The scaling factor gives latents a spread near 1, the size of the noise (Rombach et al. 2022,
appendix G). Built in chapter 7.
"""

import torch
from PIL import Image


def encode(vae, x):
    """Scaled latents of pictures x (n, 3, h, w) in -1..1: the likeliest ones, without chance.

    vae: diffusers' AutoencoderKL. A side of the latents is that of x over 8 for the models of
    this course. ValueError for pictures outside -1..1.
    """
    if x.ndim != 4 or x.abs().max() > 1:
        raise ValueError("Pictures must be (n, 3, h, w) in -1..1: use as_tensor(images).")
    with torch.no_grad():
        parts = [vae.encode(part).latent_dist.mode() for part in x.split(8)]
    return vae.config.scaling_factor * torch.cat(parts)


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


def as_images(x):
    """Pictures x (n, 3, h, w) in -1..1 as a list of PIL images, each number rounded to a byte."""
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte()
    return [Image.fromarray(p) for p in pixels.permute(0, 2, 3, 1).cpu().numpy()]


def psnr(x, x_hat):
    """Peak signal-to-noise ratio (n,) in dB of pictures (n, 3, h, w) in -1..1."""
    return 10 * torch.log10(4 / ((x - x_hat) ** 2).flatten(1).mean(1))
