"""Masks and canvases: where an edit draws, and how to say so. Needs no torch.

A mask is white where something new is to be drawn, as in diffusers; OpenAI's API says the same by
transparency. Built in chapter 10.
"""

import numpy as np
from PIL import Image, ImageOps

from imagegen.pictures import MULTIPLE, to_rgb


def is_white(mask: Image.Image) -> np.ndarray:
    """Where a mask is at least half white, whatever its depth: booleans (h, w)."""
    return np.asarray(to_rgb(mask, "black").convert("L")) >= 128


def paste_back(original: Image.Image, edited: Image.Image, mask: Image.Image) -> Image.Image:
    """The edited picture, with every pixel outside the white of the mask taken from the original.

    Raises ValueError when the three differ in size.
    """
    if not original.size == edited.size == mask.size:
        raise ValueError(
            f"The sizes differ: original {original.size}, edited {edited.size}, mask {mask.size}."
        )
    white = Image.fromarray(is_white(mask))
    return Image.composite(to_rgb(edited), to_rgb(original), white)


def to_transparent(image: Image.Image, mask: Image.Image) -> Image.Image:
    """For OpenAI's API: the picture, transparent where the mask is white and drawing is wanted."""
    out = to_rgb(image).convert("RGBA")
    out.putalpha(Image.fromarray(~is_white(mask)).convert("L"))
    return out


def from_transparent(image: Image.Image) -> Image.Image:
    """For diffusers: the mask that is white where a picture is transparent.

    Raises ValueError for a picture without transparency.
    """
    if not image.has_transparency_data:
        raise ValueError("The picture has no transparency, so it says nowhere what to change.")
    image = ImageOps.exif_transpose(image).convert("RGBA")  # a palette's transparency too
    return image.getchannel("A").point(lambda alpha: 255 if alpha < 128 else 0)


def widen(image: Image.Image, left: int = 0, right: int = 0) -> tuple[Image.Image, Image.Image]:
    """A wider canvas for outpainting, and its mask: (canvas, mask), new parts white.

    left, right: pixels, multiples of 8. The new parts repeat the picture's edge, so that they
    begin with its colours. Raises ValueError for other widths.
    """
    for side in (left, right):
        if side < 0 or side % MULTIPLE:
            raise ValueError(f"left and right are multiples of {MULTIPLE} from 0 up, not {side}.")
    pixels = np.pad(np.asarray(to_rgb(image)), ((0, 0), (left, right), (0, 0)), mode="edge")
    mask = Image.new("L", (pixels.shape[1], pixels.shape[0]), 255)
    mask.paste(0, (left, 0, left + image.width, image.height))
    return Image.fromarray(pixels), mask


def fit(
    image: Image.Image, size: tuple[int, int], how: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """The picture in that size, cropped evenly where its shape is another; the same if it fits."""
    return image if image.size == size else ImageOps.fit(image, size, how)


def whole_cells(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The mask in that size, white in each place of the latents that it touches.

    A thin mask would otherwise fall between the places, and nothing would be drawn.
    """
    cols, rows = size[0] // MULTIPLE, size[1] // MULTIPLE
    y, x = np.nonzero(is_white(mask))
    cells = np.zeros((rows, cols), np.uint8)
    cells[y * rows // mask.height, x * cols // mask.width] = 255
    return Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)
