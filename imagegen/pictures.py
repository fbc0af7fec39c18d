"""Open pictures, and show them. Built in chapter 1.

open_picture() is the one door by which a picture comes in: whatever program wrote the file, it
comes out upright, opaque, in RGB, with 8 bits a colour.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, PngImagePlugin

MULTIPLE = 8  # pixels that become one place of the latents
MOST_PIXELS = 50_000_000
LONGEST_NOTE = 16 * 2**20  # bytes of a text or a colour profile; Pillow's own limit is 1 MB
GAP = 8  # pixels between pictures
LARGEST = 384  # pixels to which a small picture is enlarged at most
LABEL = 120  # pixels after which a row label is broken
SMALL = 64  # pixels: a smaller picture is enlarged pixel by pixel, a larger one smoothly


def open_picture(
    source: str | Path | bytes | BinaryIO | Image.Image,
    multiple: int = MULTIPLE,
    background: str = "white",
) -> Image.Image:
    """A picture from a file or a PIL image, as to_rgb() gives it.

    Both sides must be multiples of `multiple`, which the latents ask for. ValueError, in one
    sentence, for a file that is missing, damaged, too large or of other sides.
    """
    if isinstance(source, Image.Image):
        image = to_rgb(source, background)
    else:
        with open_file(source) as file:
            image = to_rgb(file, background)
    width, height = image.size
    fit = [max(multiple, side // multiple * multiple) for side in image.size]
    if [width, height] != fit:
        raise ValueError(
            f"The picture has {width} x {height} pixels; both must be multiples of {multiple}: "
            f"crop or resize it to {fit[0]} x {fit[1]}."
        )
    return image


@contextmanager
def open_file(
    source: str | Path | bytes | BinaryIO, formats: Sequence[str] | None = None
) -> Iterator[Image.Image]:
    """The opened file of a picture, its pixels not yet read; errors of reading become ValueError.

    formats: the only ones to accept, in Pillow's names. A picture of more than MOST_PIXELS is
    refused before it is read, since a small file can hold one that fills the memory.
    """
    name = source if isinstance(source, str | Path) else "The file"
    if isinstance(source, str | Path):
        source = Path(source).expanduser()
        if not source.is_file():
            raise ValueError(f"There is no file {name}.")
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    limit, PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_CHUNK, LONGEST_NOTE
    try:
        with Image.open(source, formats=formats) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"{name} has {image.width} x {image.height} pixels: at most "
                    f"{MOST_PIXELS:,} can be opened."
                )
            try:
                image.load()
            except Exception:  # a damaged file makes Pillow's decoders raise almost anything
                raise ValueError(f"{name} is no picture, or a damaged one.") from None
            yield image
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has far too many pixels to be opened.") from None
    except (OSError, SyntaxError, AttributeError, TypeError):
        raise ValueError(f"{name} is no picture, or a damaged one.") from None
    finally:
        PngImagePlugin.MAX_TEXT_CHUNK = limit


def to_rgb(image: Image.Image, background: str = "white") -> Image.Image:
    """A PIL image upright, opaque, in sRGB, with 8 bits a colour.

    background: the colour that shows through where the picture is transparent.
    """
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, np.float64)
        deep = image.mode != "F" and (image.mode != "I" or values.max(initial=0) > 255)
        image = Image.fromarray((values / (257 if deep else 1)).clip(0, 255).round().astype("u1"))
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    if profile and image.mode in ("RGB", "RGBA", "L", "CMYK"):
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = image.convert("RGB") if image.mode == "RGBA" else image
            srgb = ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a damaged profile, or one for another mode, says nothing about this picture
    return image.convert("RGB")


def show(
    images,
    titles: Sequence[str] | None = None,
    cols: int | None = None,
    alt: str | None = None,
    **labels,
) -> None:
    """Show one picture or several in the notebook, at most 700 pixels wide.

    alt: what is to be seen, for readers who cannot see it; made from the titles if not given.
    Everything else as in grid().
    """
    from IPython.display import display  # a script that only saves needs no IPython

    alt = alt or "Pictures: " + "; ".join(map(str, titles or ["untitled"]))
    kind, data = _smallest(grid(images, titles=titles, cols=cols, **labels))
    shown = {kind: base64.b64encode(data).decode(), "text/plain": alt}
    # IPython.display.Image takes alt only since IPython 8; this also serves IPython 7.
    display(shown, metadata={kind: {"alt": alt}}, raw=True)


def film(frames, alt: str, ms: int = 120, colours: int = 64, width: int = 700) -> None:
    """Show frames of one size as a film that repeats for ever (a GIF), at most 700 pixels wide.

    frames: pictures as for grid(). ms: milliseconds a frame. colours: of the one palette that all
    frames share. width: pixels that are stored; a film of fewer than 384 is shown enlarged. What
    it shows must also stand in a picture: on paper, nothing moves.
    """
    from IPython.display import display

    sheets = [grid(frame, width=width) for frame in frames]
    strip = Image.new("RGB", (sheets[0].width, sheets[0].height * len(sheets)))
    for number, sheet in enumerate(sheets):
        strip.paste(sheet, (0, number * sheet.height))
    palette = strip.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    first, *rest = [s.quantize(palette=palette, dither=Image.Dither.NONE) for s in sheets]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=ms, loop=0)
    shown = {"image/gif": base64.b64encode(buffer.getvalue()).decode(), "text/plain": alt}
    about = {"alt": alt, "width": max(LARGEST, first.width)}
    display(shown, metadata={"image/gif": about}, raw=True)


def grid(
    images,
    row_labels: Sequence[str] | None = None,
    col_labels: Sequence[str] | None = None,
    titles: Sequence[str] | None = None,
    cols: int | None = None,
    width: int | None = 700,
) -> Image.Image:
    """One sheet with all pictures, row by row, with titles or with row and column labels.

    images: a picture, a list of them, or a list of rows. A picture is a PIL image or an array
    (H, W) or (H, W, 3), uint8, uint16 or in [0, 1]. cols: pictures in a row, at most 4 if not
    given. width: pixels that the sheet may take. Pictures are enlarged smoothly; those below 64
    pixels by a whole factor, so that their pixels stay square. None keeps their size. Raises
    ValueError when numbers do not match.
    """
    rows_given = isinstance(images, list | tuple) and images and isinstance(images[0], list | tuple)
    if rows_given:
        cols = len(images[0])
        if any(len(row) != cols for row in images):
            raise ValueError("The rows of a grid must be equally long.")
        images = [image for row in images for image in row]
    pictures = [_picture(image) for image in _several(images)]
    count = len(pictures)
    if col_labels:
        cols = len(col_labels)
    elif row_labels and not cols:
        cols = -(-count // len(row_labels))
    cols = cols or min(count, 4)
    rows = -(-count // cols)
    for labels, expected, what in (
        (titles, count, "titles for {} pictures"),
        (row_labels, rows, "row labels for {} rows"),
        (col_labels, cols, "column labels for {} columns"),
    ):
        if labels is not None and len(labels) != expected:
            raise ValueError(f"There are {len(labels)} {what.format(expected)}.")

    side = max((_text(label, LABEL).width + GAP for label in row_labels or []), default=0)
    pictures = _scale(pictures, width and (width - side - GAP * (cols - 1)) // cols)
    w, h = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    heads = [_text(label, w) for label in col_labels or []]
    captions = [_text(title, w) for title in titles or []]
    top = max((head.height + 2 for head in heads), default=0)
    above = max((caption.height + 2 for caption in captions), default=0)
    step = above + h + GAP
    sheet = Image.new("RGB", (side + cols * (w + GAP) - GAP, top + rows * step - GAP), "white")
    for col, head in enumerate(heads):
        sheet.paste(head, (side + col * (w + GAP) + (w - head.width) // 2, top - 2 - head.height))
    for row, label in enumerate(row_labels or []):
        text = _text(label, LABEL)
        middle = top + row * step + above + (h - text.height) // 2
        sheet.paste(text, (side - GAP - text.width, max(middle, 0)))
    for index, picture in enumerate(pictures):
        x, y = side + index % cols * (w + GAP), top + index // cols * step + above
        sheet.paste(picture, (x, y))
        if captions:
            caption = captions[index]
            sheet.paste(caption, (x + (w - caption.width) // 2, y - 2 - caption.height))
    return sheet


def _several(images) -> list:
    """A list of pictures, also from a single one or an array of shape (N, H, W, 3)."""
    if isinstance(images, Image.Image) or getattr(images, "ndim", 4) < 4:
        images = [images]
    images = list(images)
    if not images:
        raise ValueError("There is no picture to show.")
    return images


def _picture(image) -> Image.Image:
    if isinstance(image, Image.Image):
        return to_rgb(image)
    array = np.asarray(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ValueError(f"An array of shape {array.shape} is no picture: use (H, W) or (H, W, 3).")
    if array.dtype == np.uint16:
        array = (array / 257).round().astype(np.uint8)
    if array.dtype != np.uint8:
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError(
                "The values of a picture that is neither uint8 nor uint16 must lie in [0, 1]."
            )
        array = (array * 255).round().astype(np.uint8)
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array).convert("RGB")


def _scale(pictures: list[Image.Image], width: int | None) -> list[Image.Image]:
    """All pictures by one factor, so that the widest takes at most `width` pixels."""
    widest = max(max(picture.size) for picture in pictures)
    if not width or widest == width:
        return pictures
    if widest > width:
        sizes = [[max(1, x * width // widest) for x in picture.size] for picture in pictures]
        return [p.resize(size, Image.LANCZOS) for p, size in zip(pictures, sizes, strict=True)]
    if widest >= SMALL:
        factor, how = max(1, min(width, LARGEST) / widest), Image.BICUBIC
    else:
        factor, how = max(1, min(width, LARGEST) // widest), Image.NEAREST
    sizes = [[round(x * factor) for x in picture.size] for picture in pictures]
    return [p.resize(size, how) for p, size in zip(pictures, sizes, strict=True)]


@cache
def _font() -> ImageFont.FreeTypeFont:
    import matplotlib  # its font, as in all other figures; slow to import

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 12)


def _text(text, width: int) -> Image.Image:
    """A text as a picture, broken into lines at most `width` pixels wide where words allow it."""
    font, lines = _font(), [""]
    for word in _pieces(str(text), width):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    sheet = Image.new("RGB", (int(max(map(font.getlength, lines))) + 1, 16 * len(lines)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        pen.text((sheet.width / 2, 16 * number), line, "#282828", font, "ma")
    return sheet


def _pieces(text: str, width: int) -> Iterator[str]:
    """The words of a text, those that are wider than a line cut into parts that are not."""
    for word in text.split():
        while _font().getlength(word) > width and len(word) > 1:
            fits = [n for n in range(1, len(word)) if _font().getlength(word[:n]) <= width]
            cut = fits[-1] if fits else 1
            yield word[:cut]
            word = word[cut:]
        yield word


def _smallest(image: Image.Image) -> tuple[str, bytes]:
    """A picture as PNG or JPEG, whichever is smaller: a notebook stores every picture it shows."""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80, optimize=True)
    png = io.BytesIO()
    image.save(png, "PNG")
    kinds = {"image/png": png.getvalue(), "image/jpeg": jpeg.getvalue()}
    return min(kinds.items(), key=lambda kind: len(kind[1]))
