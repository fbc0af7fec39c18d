"""Pictures that come as files: opened with care, and made ready for storybook-sd.

The API says where to edit by transparency (alpha 0 = edit here), diffusers by white. They meet in
edit.from_transparent, as chapter 11 shows side by side.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from imagegen.api.asked import Asked, drawn_size, edit_size
from imagegen.api.errors import ApiError, invalid
from imagegen.api.painter import enlarge
from imagegen.edit import from_transparent, paste_back, steps_run

LARGEST_IMAGE, LARGEST_MASK = 50_000_000, 4_000_000  # bytes
MOST_IMAGES = 16
MOST_PIXELS = 25_000_000  # a small file can hold a picture that fills the memory
CELL = 8  # drawn pixels that are one place of the latents
STRENGTH = 0.6


@dataclass(frozen=True)
class Edit:
    """A checked edit: the answer's size, the original and mask in it, and what to draw from."""

    size: tuple[int, int]
    original: Image.Image  # RGB, of that size
    mask: Image.Image | None  # white where to edit, of that size
    starts: tuple[Image.Image, ...]  # RGB, of the drawn size
    cells: Image.Image | None  # the mask in the drawn size, grown to whole places of the latents
    strength: float

    def finish(self, picture: Image.Image) -> Image.Image:
        """The drawn picture in the answer's size; outside of the mask it is the original."""
        picture = enlarge(picture, self.size)
        return paste_back(self.original, picture, self.mask) if self.mask else picture


def read_edit(asked: Asked, files: dict) -> Edit:
    """The files of an edit or a variation, checked, as the server draws from them."""
    for name in set(files) - {"image", "mask", "markup"}:
        raise invalid(f"Unknown parameter: '{name[:80]}'.", name[:80], "unknown_parameter")
    if "markup" in files:
        raise invalid("This server follows no markup: send a mask.", "markup")
    images = files.get("image", [])
    if not images:
        raise invalid(
            "Missing required parameter: 'image', a file.", "image", "missing_required_parameter"
        )
    most = 1 if asked.model.family == "dall-e-2" else MOST_IMAGES
    if len(images) > most:
        raise invalid(f"Too many images: {len(images)} of at most {most}.", "image")
    opened = [open_upload(image, "image", LARGEST_IMAGE) for image in images]
    mask = read_mask(asked, files.get("mask", []), opened[0])
    size = asked.size or edit_size(asked.model, opened[0].size)
    drawn = drawn_size(size)
    pictures = [image.convert("RGB") for image in opened]
    original = fit(pictures[0], size)
    mask = mask and fit(mask, size, Image.Resampling.NEAREST)
    strength = asked.strength
    if strength is None:  # alone under a mask, everything in it is new
        strength = 1.0 if mask and len(images) == 1 else STRENGTH
    try:
        steps_run(asked.steps, strength)
    except ValueError as error:
        raise invalid(str(error), "strength") from None
    starts = tuple(fit(picture, drawn) for picture in pictures)
    return Edit(size, original, mask, starts, mask and whole_cells(mask, drawn), strength)


def open_upload(file, name: str, largest: int, kinds=("PNG", "JPEG", "WEBP")) -> Image.Image:
    """The picture in an uploaded file, upright; ApiError for whatever else it is."""
    if not file.size:
        raise invalid(f"The file of '{name}' is empty.", name, "empty_image_file")
    if file.size > largest:
        raise invalid(
            f"The file of '{name}' has {file.size:,} bytes; it must be smaller than {largest:,}.",
            name,
            "image_file_too_large",
        )
    try:
        image = Image.open(file.file, formats=kinds)
        if image.width * image.height > MOST_PIXELS:
            raise ApiError(
                f"The picture of '{name}' has {image.width} x {image.height} pixels; "
                f"at most {MOST_PIXELS:,} are allowed.",
                name,
                "image_too_large",
            )
        image.load()
        return ImageOps.exif_transpose(image)
    except ApiError:
        raise
    except Exception:  # a damaged file makes Pillow's decoders raise almost anything
        words = "PNG, JPEG or WebP" if len(kinds) > 1 else "PNG"
        raise invalid(
            f"The file of '{name}' is no {words} picture, or a damaged one.",
            name,
            "invalid_image",
        ) from None


def read_mask(asked: Asked, files: list, first: Image.Image) -> Image.Image | None:
    """Where to edit, white, of the first picture's size; None where no mask is given."""
    if not files:
        # Only DALL-E 2 took a picture's own transparency for its mask.
        return diffusers_mask(first) if asked.model.id == "dall-e-2" and asked.prompt else None
    if asked.prompt == "":
        raise invalid("Unknown parameter: 'mask'.", "mask", "unknown_parameter")
    if len(files) > 1:
        raise invalid("There is one mask, for the first image.", "mask")
    mask = open_upload(files[0], "mask", LARGEST_MASK, kinds=("PNG",))
    if mask.size != first.size:
        raise invalid(
            f"The mask has {mask.width} x {mask.height} pixels and the image "
            f"{first.width} x {first.height}: they must be equal.",
            "mask",
        )
    return diffusers_mask(mask)


def diffusers_mask(image: Image.Image) -> Image.Image:
    """The mask of a picture whose transparent part is to be edited: white there, black elsewhere.

    ApiError for a picture that is transparent nowhere.
    """
    if "transparency" in image.info:  # a palette's or a single colour's
        image = image.convert("RGBA")
    try:
        mask = from_transparent(image)
    except ValueError as error:
        raise invalid(f"{error} A mask is a PNG with alpha 0 where to edit.", "mask") from None
    if not mask.getbbox():
        raise invalid("The mask is transparent nowhere, so there is nothing to edit.", "mask")
    return mask


def whole_cells(mask: Image.Image, drawn: tuple[int, int]) -> Image.Image:
    """The mask in the drawn size, white in every place of the latents that it touches.

    A thin mask would else fall between the places, and nothing would be drawn.
    """
    cols, rows = drawn[0] // CELL, drawn[1] // CELL
    y, x = np.nonzero(np.asarray(mask))
    cells = np.zeros((rows, cols), np.uint8)
    cells[y * rows // mask.height, x * cols // mask.width] = 255
    return Image.fromarray(cells).resize(drawn, Image.Resampling.NEAREST)


def fit(image: Image.Image, size: tuple[int, int], how=Image.Resampling.LANCZOS) -> Image.Image:
    """The picture in that size, cropped evenly where its shape is another; the same if it fits."""
    return image if image.size == size else ImageOps.fit(image, size, how)
