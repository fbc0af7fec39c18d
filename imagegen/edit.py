"""Change a picture that is there: image-to-image, inpainting, outpainting, on latents.

    image-to-image   start at xt = add_noise(x0, eps, t) in place of noise; strength says at which t
    inpainting       the same; after each step  x = mask * x + (1 - mask) * add_noise(x0, eps, s)

A mask is white (1) where something new is to be drawn, as in diffusers. Built in chapter 10.
"""

import torch
import torch.nn.functional as F

from imagegen.guide import guided
from imagegen.latent import as_images, as_tensor, decode, encode
from imagegen.masks import is_white
from imagegen.recipe import steps_run


@torch.no_grad()
def redraw(pipe, prompt, image, strength, steps=20, w=5.0, generator=None, mask=None):
    """Image-to-image by hand and, with a mask, inpainting (Meng et al. 2022, Lugmayr et al. 2022).

    image, mask: PIL pictures of one size; the mask is white where the picture may change. w:
    guidance, above 1. Equals diffusers' pipelines with the same generator. ValueError if the
    sizes differ.
    """
    x0 = encode(pipe.vae, as_tensor([image]), generator)
    eps = torch.randn(x0.shape, generator=generator).to(x0)
    words = torch.cat(pipe.encode_prompt(prompt, pipe.device, 1, True)[::-1])
    pipe.scheduler.set_timesteps(steps)
    first = steps - steps_run(steps, strength)
    times = pipe.scheduler.timesteps[first:]
    pipe.scheduler.set_begin_index(first)
    x = pipe.scheduler.add_noise(x0, eps, times[:1])
    if mask is not None:
        new = F.interpolate(mask_tensor(mask, image.size), x0.shape[-2:]).to(x0)
        x = eps if strength == 1 else x
    for i, t in enumerate(times):
        both = pipe.scheduler.scale_model_input(torch.cat([x, x]), t)
        v_uncond, v_cond = pipe.unet(both, t, words).sample.chunk(2)
        answer = guided(v_uncond, v_cond, w)
        x = pipe.scheduler.step(answer, t, x).prev_sample
        if mask is not None:
            s = times[i + 1 : i + 2]
            old = pipe.scheduler.add_noise(x0, eps, s) if len(s) else x0
            x = new * x + (1 - new) * old
    return as_images(decode(pipe.vae, x))[0]


def mask_tensor(mask, size=None):
    """A mask as (1, 1, h, w): 1 where it is at least half white, 0 elsewhere.

    size: (width, height) of the picture that it belongs to; ValueError if it has another.
    """
    if size is not None and mask.size != size:
        raise ValueError(f"The mask is {mask.size} and the picture {size}: they must agree.")
    return torch.from_numpy(is_white(mask)).float()[None, None]
