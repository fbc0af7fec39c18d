"""Change a picture that is there: image-to-image, inpainting, outpainting, on latents.

    image-to-image   start at xt = add_noise(x0, eps, t) in place of noise; strength says at which t
    inpainting       the same; after each step  x = mask * x + (1 - mask) * add_noise(x0, eps, s)

A mask is white (1) where something new is to be drawn, as in diffusers. Built in chapter 10.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, UnidentifiedImageError

MULTIPLE = 8  # pixels that become one place of the latents


def open_picture(source, multiple=MULTIPLE):
    """A picture from a file or a PIL image, as RGB; ValueError with one sentence if it cannot be.

    Both sides must be multiples of `multiple`, which the latents ask for.
    """
    try:
        image = source if isinstance(source, Image.Image) else Image.open(source)
        image = image.convert("RGB")
    except FileNotFoundError:
        raise ValueError(f"There is no file {source}.") from None
    except (
        OSError, UnidentifiedImageError, SyntaxError, AttributeError, TypeError, ValueError,
        Image.DecompressionBombError,
    ):  # fmt: skip
        what = source if isinstance(source, str | Path) else type(source).__name__
        raise ValueError(f"{what} is no picture, or a damaged one.") from None
    width, height = image.size
    fit = [max(multiple, side // multiple * multiple) for side in image.size]
    if [width, height] != fit:
        raise ValueError(
            f"The picture has {width} x {height} pixels; both must be multiples of {multiple}: "
            f"crop or resize it to {fit[0]} x {fit[1]}."
        )
    return image


def steps_run(steps, strength):
    """How many of the steps image-to-image runs: the last int(steps * strength) of them."""
    if not 0 < strength <= 1:
        raise ValueError(f"strength lies above 0 and up to 1, and is not {strength}.")
    if int(steps * strength) < 1:
        raise ValueError(f"strength {strength} leaves none of {steps} steps: raise one of them.")
    return int(steps * strength)


def encode(pipe, image, generator):
    """A picture as scaled latents (1, c, h/8, w/8), drawn from the encoder's distribution."""
    pixels = pipe.image_processor.preprocess(image).to(pipe.device, pipe.vae.dtype)
    latents = pipe.vae.encode(pixels).latent_dist.sample(generator)
    return latents * pipe.vae.config.scaling_factor


def decode(pipe, latents):
    """Scaled latents (1, c, h/8, w/8) as a picture."""
    pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return pipe.image_processor.postprocess(pixels)[0]


@torch.no_grad()
def redraw(pipe, prompt, image, strength, steps=20, w=5.0, generator=None, mask=None):
    """Image-to-image by hand and, with a mask, inpainting (Meng et al. 2022, Lugmayr et al. 2022).

    image, mask: PIL pictures of one size; the mask is white where the picture may change. w:
    guidance, above 1. Equals diffusers' pipelines with the same generator.
    """
    x0 = encode(pipe, image, generator)
    eps = torch.randn(x0.shape, generator=generator).to(x0)
    words = torch.cat(pipe.encode_prompt(prompt, pipe.device, 1, True)[::-1])
    pipe.scheduler.set_timesteps(steps)
    first = steps - steps_run(steps, strength)
    times = pipe.scheduler.timesteps[first:]
    pipe.scheduler.set_begin_index(first)
    x = pipe.scheduler.add_noise(x0, eps, times[:1])
    if mask is not None:
        new = F.interpolate(mask_tensor(mask), x0.shape[-2:]).to(x0)
        x = eps if strength == 1 else x
    for i, t in enumerate(times):
        both = pipe.scheduler.scale_model_input(torch.cat([x, x]), t)
        without, told = pipe.unet(both, t, words).sample.chunk(2)
        answer = without + w * (told - without)
        x = pipe.scheduler.step(answer, t, x).prev_sample
        if mask is not None:
            s = times[i + 1 : i + 2]
            old = pipe.scheduler.add_noise(x0, eps, s) if len(s) else x0
            x = new * x + (1 - new) * old
    return decode(pipe, x)


def mask_tensor(mask):
    """A mask as (1, 1, h, w): 1 where it is at least half white, 0 elsewhere."""
    grey = torch.from_numpy(np.array(mask.convert("L")))
    return (grey / 255 >= 0.5).float()[None, None]


def paste_back(original, edited, mask):
    """The edited picture, with every pixel outside the white of the mask taken from the original.

    Raises ValueError when the three differ in size.
    """
    if not original.size == edited.size == mask.size:
        raise ValueError(
            f"The sizes differ: original {original.size}, edited {edited.size}, mask {mask.size}."
        )
    white = mask.convert("L").point(lambda grey: 255 if grey >= 128 else 0)
    return Image.composite(edited.convert("RGB"), original.convert("RGB"), white)


def to_transparent(image, mask):
    """For OpenAI's API: the picture, transparent where the mask is white and drawing is wanted."""
    out = image.convert("RGBA")
    out.putalpha(mask.convert("L").point(lambda grey: 0 if grey >= 128 else 255))
    return out


def from_transparent(image):
    """For diffusers: the mask that is white where a picture is transparent.

    Raises ValueError for a picture without transparency.
    """
    if "A" not in image.getbands():
        raise ValueError("The picture has no transparency, so it says nowhere what to change.")
    return image.getchannel("A").point(lambda alpha: 255 if alpha < 128 else 0)


def widen(image, left=0, right=0):
    """A wider canvas for outpainting, and its mask: (canvas, mask), new parts white.

    left, right: pixels, multiples of 8. The new parts repeat the picture's edge, so that they
    begin with its colours. Raises ValueError for other widths.
    """
    for side in (left, right):
        if side < 0 or side % MULTIPLE:
            raise ValueError(f"left and right are multiples of {MULTIPLE} from 0 up, not {side}.")
    pixels = np.pad(np.asarray(image.convert("RGB")), ((0, 0), (left, right), (0, 0)), mode="edge")
    mask = Image.new("L", (pixels.shape[1], pixels.shape[0]), 255)
    mask.paste(0, (left, 0, left + image.width, image.height))
    return Image.fromarray(pixels), mask
