"""Latents as the U-Net leaves them: right in the large, melted in the small.

A true latent is noised to a middle step and denoised again under its caption. The decoder learns
from pairs of these and the true drawing what a face or a window looks like when it is melted.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imagegen.latent import as_tensor
from imagegen.models import MODELS, SMALL
from imagegen.storybook import caption
from imagegen.training.data import CELLS, pictures, scene, stored

BATCH = 32
FIRST, LAST = 9, 15  # of 20 steps: the layout stays, faces and windows melt


@torch.inference_mode()
def redraw(pipe, z: Tensor, prompts: list[str], first: int, g: torch.Generator) -> Tensor:
    """Scaled latents z (n, c, h, w), noised to step number `first` and denoised from there on."""
    steps, guidance = MODELS[SMALL].steps, MODELS[SMALL].guidance
    scheduler = copy.deepcopy(pipe.scheduler)
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(first)
    text = torch.cat(
        [pipe.encode_prompt(p, z.device, 1, False)[0] for p in ([""] * len(z), prompts)]
    )
    eps = torch.randn(z.shape, generator=g).to(z.device)
    z = scheduler.add_noise(z, eps, scheduler.timesteps[first : first + 1])
    for t in scheduler.timesteps[first:]:
        plain, conditioned = pipe.unet(
            z.repeat(2, 1, 1, 1), t, encoder_hidden_states=text
        ).sample.chunk(2)
        z = scheduler.step(plain + guidance * (conditioned - plain), t, z, return_dict=False)[0]
    return z


def melted(pipe, n: int, seed: int, folder: Path) -> np.ndarray:
    """Melted latents of the first n pictures, float16 (n, c, 16, 16), unscaled; kept on disk."""
    channels = pipe.vae.config.latent_channels

    @torch.inference_mode()
    def rows(have: int) -> Iterable[np.ndarray]:
        data = pictures(n, seed, folder)
        for start in range(have, n, BATCH):
            g = torch.Generator().manual_seed(seed * 1_000_003 + start)
            rng = random.Random(f"{seed}/{start}")
            part = range(start, min(start + BATCH, n))
            prompts = [caption(scene(i, seed), rng) for i in part]
            x = as_tensor(data[part.start : part.stop]).to(pipe.device)
            with torch.autocast(pipe.device.type, torch.bfloat16):
                z = pipe.vae.encode(x).latent_dist.mode().float() * pipe.vae.config.scaling_factor
                z = redraw(pipe, z, prompts, rng.randint(FIRST, LAST), g)
            yield (z.float() / pipe.vae.config.scaling_factor).cpu().numpy()

    return stored(folder / f"melted-{seed}.f16", (n, channels, CELLS, CELLS), np.float16, rows)
