"""Pictures that come with a request, opened with care and made ready to draw from.

OpenAI's API says where to edit by transparency (alpha 0 = edit here), diffusers by white. They meet
in masks.from_transparent, as chapter 11 shows side by side.
"""

from dataclasses import dataclass

from PIL import Image

from imagegen.api.errors import invalid
from imagegen.api.families import PictureRequest, Size, drawn_size
from imagegen.api.request import PICTURE_TYPES, Upload, wrong_type
from imagegen.masks import fit, from_transparent
from imagegen.pictures import open_file, to_rgb
from imagegen.recipe import fingerprint

LARGEST_IMAGE, LARGEST_MASK = 50_000_000, 4_000_000  # bytes
MOST_PIXELS = 100_000_000  # of all pictures of a request: small files can hold very large ones
FULL_SIZE = 4_000_000  # pixels up to which the picture under a mask stays as it came
STRENGTH = 0.6  # of an edit without a mask, or of several pictures


@dataclass(frozen=True)
class Edit:
    """What an edit begins with. size: of the answer. settings: of its Recipe.

    sources, mask: as draw_recipes() takes them; the mask is white where to edit.
    """

    size: Size
    sources: tuple[Image.Image, ...]
    mask: Image.Image | None
    settings: dict


def check_files(request: PictureRequest, files: dict[str, list]) -> None:
    """ApiError for files that are too many, of no use or of another kind; none is opened yet."""
    for name in set(files) - {"image", "mask", "markup"}:
        raise invalid(f"Unknown parameter: '{name[:80]}'.", name[:80], "unknown_parameter")
    if "markup" in files:
        raise invalid("This server follows no markup: send a mask.", "markup")
    if files.get("mask") and not request.prompt:
        raise invalid("Unknown parameter: 'mask'.", "mask", "unknown_parameter")
    images, masks = files.get("image", []), files.get("mask", [])
    if not images:
        raise invalid(
            "Missing required parameter: 'image', a file.", "image", "missing_required_parameter"
        )
    if len(images) > request.most_images:
        raise invalid(f"Too many images: {len(images)} of at most {request.most_images}.", "image")
    if len(masks) > 1:
        raise invalid("There is one mask, for the first image.", "mask")
    for name, uploads in files.items():
        for upload in uploads:
            check_file(upload, name, LARGEST_MASK if name == "mask" else LARGEST_IMAGE)


def check_file(upload: Upload, name: str, largest: int) -> None:
    """ApiError for a file that is empty, too large or claims to be no picture."""
    if not isinstance(upload, Upload):
        raise wrong_type(name, "a file", upload)
    if not upload.size:
        raise invalid(f"The file of '{name}' is empty.", name, "empty_image_file")
    if upload.size > largest:
        raise invalid(
            f"The file of '{name}' has {upload.size:,} bytes; it must be smaller than {largest:,}.",
            name,
            "image_file_too_large",
        )
    if upload.type not in PICTURE_TYPES:
        raise invalid(
            f"Invalid file '{name}': unsupported mimetype ('{upload.type[:80]}'). Supported file "
            "formats are 'image/jpeg', 'image/png', and 'image/webp'.",
            name,
            "unsupported_file_mimetype",
        )


def read_edit(request: PictureRequest, files: dict[str, list[Upload]]) -> Edit:
    """The pictures of an edit or a variation, one after the other, each made small at once."""
    if sum(map(pixels_of, files["image"])) > MOST_PIXELS:
        raise invalid(
            f"The pictures have more than {MOST_PIXELS:,} pixels together.",
            "image",
            "image_too_large",
        )
    names, size, mask, sources = [], None, None, []
    for number, upload in enumerate(files["image"]):
        image = open_upload(upload, "image")
        picture = to_rgb(image)
        if number == 0:
            size = request.answer_size(picture.size)
            mask = read_mask(request, files.get("mask"), image, picture.size)
        image = None  # large pictures are large in memory: never two copies longer than needed
        names.append(fingerprint(picture))
        masked = number == 0 and mask
        keep = size if masked else drawn_size(size)
        if not masked or picture.width * picture.height > FULL_SIZE:
            picture = fit(picture, keep)
        sources.append(picture)
        del picture
    # Alone under a mask, everything in it is new.
    strength = 1.0 if mask and len(sources) == 1 else STRENGTH
    settings = {"source": tuple(names), "strength": strength}
    if mask:
        settings["mask"] = fingerprint(mask)
        mask = mask if mask.width * mask.height <= FULL_SIZE else fit(mask, size, Image.NEAREST)
    return Edit(size, tuple(sources), mask, settings)


def pixels_of(upload: Upload) -> int:
    """How many pixels a file says that it has; 0 for what is no picture."""
    try:
        with Image.open(upload.file) as image:
            return image.width * image.height
    except Exception:  # open_upload() says what is wrong
        return 0


def open_upload(upload: Upload, name: str, formats=("PNG", "JPEG", "WEBP")) -> Image.Image:
    """The picture in an uploaded file; ApiError for whatever else it is."""
    upload.file.seek(0)
    try:
        with open_file(upload.file, formats) as image:
            return image
    except ValueError as error:
        raise invalid(f"Invalid '{name}': {error}", name, "invalid_image") from None


def read_mask(request, uploads, image: Image.Image, size: Size) -> Image.Image | None:
    """Where to edit, white, of the first picture's size; None where no mask is given."""
    if not uploads:
        # Only DALL-E 2 took a picture's own transparency for its mask.
        return white_mask(image) if request.model == "dall-e-2" and request.prompt else None
    mask = white_mask(open_upload(uploads[0], "mask", ("PNG",)))
    if mask.size != size:
        raise invalid(
            f"The mask has {mask.width} x {mask.height} pixels and the image "
            f"{size[0]} x {size[1]}: they must be equal.",
            "mask",
        )
    return mask


def white_mask(image: Image.Image) -> Image.Image:
    """The mask of a picture whose transparent part is to be edited: white there, black elsewhere.

    ApiError for a picture that is transparent nowhere.
    """
    try:
        mask = from_transparent(image)
    except ValueError as error:
        raise invalid(f"{error} A mask is a PNG with alpha 0 where to edit.", "mask") from None
    if not mask.getbbox():
        raise invalid("The mask is transparent nowhere, so there is nothing to edit.", "mask")
    return mask
