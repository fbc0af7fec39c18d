"""Show pictures, and save them with the recipe they were made from.

Built in chapter 1. A saved PNG carries its recipe twice: as the `parameters` text that other
programs read (infotext.py), and as JSON, which gives back exactly what was saved.
"""

import base64
import io
import itertools
import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from imagegen import __version__
from imagegen.infotext import read_infotext, write_infotext

GAP = 8  # pixels between pictures
LARGEST = 384  # pixels to which a small picture is enlarged at most
LABEL = 120  # pixels after which a row label is broken


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


def film(frames, alt: str, ms: int = 120, colours: int = 64) -> None:
    """Show frames of one size as a film that repeats for ever (a GIF), at most 700 pixels wide.

    frames: pictures as for grid(). ms: milliseconds a frame. colours: of the one palette that all
    frames share. What it shows must also stand in a picture: on paper, nothing moves.
    """
    from IPython.display import display

    sheets = [grid(frame) for frame in frames]
    strip = Image.new("RGB", (sheets[0].width, sheets[0].height * len(sheets)))
    for number, sheet in enumerate(sheets):
        strip.paste(sheet, (0, number * sheet.height))
    palette = strip.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    first, *rest = [s.quantize(palette=palette, dither=Image.Dither.NONE) for s in sheets]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=ms, loop=0)
    shown = {"image/gif": base64.b64encode(buffer.getvalue()).decode(), "text/plain": alt}
    display(shown, metadata={"image/gif": {"alt": alt}}, raw=True)


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
    (H, W) or (H, W, 3), either uint8 or in [0, 1]. cols: pictures in a row, at most 4 if not given.
    width: pixels that the sheet may take; small pictures are enlarged by a whole factor, so that
    their pixels stay square. None keeps their size. Raises ValueError when numbers do not match.
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


def save(image: Image.Image, recipe: dict, folder: str | Path = "results") -> Path:
    """Save a picture as a PNG that carries its recipe, under a new name; return its path.

    recipe: at least {"prompt": ...}. negative_prompt, seed, steps, guidance, scheduler, model and
    strength are also written for other programs. Values: text, numbers, lists, dicts, True, None.
    The name holds the time, seed and first words; a file that is there is never touched.
    """
    if not isinstance(image, Image.Image):
        raise ValueError(f"save() takes one PIL picture, not {type(image).__name__}.")
    recipe = _plain(recipe)
    now = datetime.now().astimezone()
    data = png_with_recipe(image, recipe, saved=now.isoformat())
    folder = Path(folder)
    if folder.is_file():
        raise ValueError(f"{folder} is a file, so no picture can be saved in it.")
    folder.mkdir(parents=True, exist_ok=True)
    seed = f"-seed{recipe['seed']}" if "seed" in recipe else ""
    words = "-".join(re.findall(r"[a-z0-9]+", recipe["prompt"].lower())[:6])[:40] or "picture"
    stem = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{seed}-{words}"
    for number in itertools.count(1):
        path = folder / (f"{stem}.png" if number == 1 else f"{stem}-{number}.png")
        try:
            with path.open("xb") as file:  # x fails rather than overwrite, even in a race
                file.write(data)
        except FileExistsError:
            continue
        except OSError:  # a full disk
            path.unlink(missing_ok=True)
            raise
        return path


def png_with_recipe(image: Image.Image, recipe: dict, **note) -> bytes:
    """The PNG that carries a recipe, as save() writes it; note: what else to write down beside it.

    Without a note, equal pictures with equal recipes have equal bytes.
    """
    recipe = _plain(recipe)
    chunks = PngInfo()
    chunks.add_text("parameters", write_infotext(recipe, image.size, __version__))
    chunks.add_text("imagegen", json.dumps({"recipe": recipe, **note, "imagegen": __version__}))
    return _png(image, chunks)


def read_recipe(path: str | Path) -> dict:
    """The recipe of a PNG saved by save(), or by a program that writes AUTOMATIC1111's text.

    Raises ValueError with one sentence for a file that is no picture or carries no recipe.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    try:
        with Image.open(path) as image:
            image.load()  # text may also stand behind the pixels
            text = getattr(image, "text", {})
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise ValueError(f"{path} is no picture, or a damaged one.") from None
    try:
        recipe = json.loads(text["imagegen"])["recipe"]
        if isinstance(recipe, dict):
            return recipe
    except (KeyError, TypeError, ValueError):
        pass  # no note of ours, or one that another program has changed
    if not text.get("parameters", "").strip():
        raise ValueError(f"{path} carries no recipe: it was not saved by save().")
    return read_infotext(text["parameters"])


def _plain(recipe: dict) -> dict:
    """A recipe as JSON keeps it: NumPy's numbers become plain ones, tuples become lists."""
    if not isinstance(recipe, dict) or not isinstance(recipe.get("prompt"), str):
        raise ValueError('A recipe is a dict with at least {"prompt": "..."}.')
    try:
        text = json.dumps(recipe, default=lambda value: value.item(), allow_nan=False)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            "The recipe holds something that cannot be written down; use text and plain numbers, "
            f"such as a seed instead of a generator ({error})."
        ) from None
    recipe = json.loads(text)
    seed = recipe.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"The recipe's seed is {seed}; a whole number from 0 up draws it again.")
    return recipe


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
        return image.convert("RGB")
    array = np.asarray(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ValueError(f"An array of shape {array.shape} is no picture: use (H, W) or (H, W, 3).")
    if array.dtype != np.uint8:
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("The values of a picture that is not uint8 must lie in [0, 1].")
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
    factor = max(1, min(width, LARGEST) // widest)
    return [p.resize((p.width * factor, p.height * factor), Image.NEAREST) for p in pictures]


@cache
def _font() -> ImageFont.FreeTypeFont:
    # The font of all other figures, which are matplotlib's.
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 12)


def _text(text, width: int) -> Image.Image:
    """A text as a picture, broken into lines at most `width` pixels wide where words allow it."""
    font, lines = _font(), [""]
    for word in str(text).split():
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


def _smallest(image: Image.Image) -> tuple[str, bytes]:
    """A picture as PNG or JPEG, whichever is smaller: a notebook stores every picture it shows."""
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=80, optimize=True)
    kinds = {"image/png": _png(image), "image/jpeg": jpeg.getvalue()}
    return min(kinds.items(), key=lambda kind: len(kind[1]))


def _png(image: Image.Image, chunks: PngInfo | None = None) -> bytes:
    buffer = io.BytesIO()
    # Pillow hangs the chunks on the image while it saves; two threads would swap theirs.
    image.copy().save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()
