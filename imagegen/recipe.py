"""A recipe is everything a picture depends on. Every door of the course makes, keeps and reads one.

    prompt, negative_prompt, seed, steps, guidance, width, height, scheduler, model, ...

A setting is one line of Recipe: its default, its bounds, its name in other programs and in
diffusers. A saved PNG carries its recipe twice: as the `parameters` text of AUTOMATIC1111, which
other programs read, and as JSON, which gives back exactly what was saved. Needs no torch.
Built in chapter 1; used from chapter 9 on.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from imagegen import __version__
from imagegen.pictures import open_file, to_rgb

LAST_SEED = 2**32 - 1  # seeds of 32 bits, as other programs have them
SCHEDULERS = {  # our names, and the classes of diffusers
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "Heun": "HeunDiscreteScheduler",
    "Euler": "EulerDiscreteScheduler",
    "Euler a": "EulerAncestralDiscreteScheduler",
    "DDIM": "DDIMScheduler",
    "DDPM": "DDPMScheduler",
}
NEGATIVE = "Negative prompt:"
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


class SettingError(ValueError):
    """A setting that a recipe cannot have, in one sentence; name: which one."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class Setting:
    """What a setting may be. kind: its type. least, most, multiple: bounds of a number.

    text: its name in the `parameters` text. argument: its name in diffusers' pipelines.
    """

    kind: type
    least: float = -math.inf
    most: float = math.inf
    multiple: int = 1
    text: str | None = None
    argument: str | None = None

    def check(self, name: str, value: Any) -> Any:
        """The value in the setting's type; SettingError, in one sentence, if it cannot have it."""
        value = value.item() if hasattr(value, "item") else value  # NumPy's and torch's numbers
        if self.kind is str:
            if isinstance(value, str):
                return value
            raise SettingError(name, f"{name} must be a text in quotes, not {_short(value)}.")
        if self.kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)
        right = type(value) is int or (self.kind is float and type(value) is float)
        if not right or not self.least <= value <= self.most:
            what = "a whole number" if self.kind is int else "a number"
            bounds = f"from {self.least:g} to {self.most:.10g}"
            raise SettingError(name, f"{name} must be {what} {bounds}, not {_short(value)}.")
        if self.kind is int and value % self.multiple:
            low = max(value // self.multiple, 1) * self.multiple
            near = f"such as {low} or {low + self.multiple}"
            raise SettingError(
                name, f"{name} must be a multiple of {self.multiple}, {near}, not {value}."
            )
        return self.kind(value)


def _setting(kind: type, default: Any = None, **rules: Any) -> Any:
    return field(default=default, metadata={"setting": Setting(kind, **rules)})


@dataclass(frozen=True)
class Recipe:
    """What a picture depends on, checked: SettingError, in one sentence, for what cannot be drawn.

    width, height: pixels that the model draws; a file may hold the picture enlarged. guidance: as
    in diffusers, 1 is none. strength: for an edit, the share of the steps that is run; source,
    mask: fingerprint() of each picture it began with, and of its mask. notes: what else a file
    says, such as the seconds it took; nothing is drawn from it.
    """

    prompt: str = field(metadata={"setting": Setting(str, argument="prompt")})
    negative_prompt: str = _setting(str, "", argument="negative_prompt")
    seed: int = _setting(int, 0, least=0, most=LAST_SEED, text="Seed")
    steps: int = _setting(int, 20, least=1, most=1000, text="Steps", argument="num_inference_steps")
    guidance: float = _setting(
        float, 5.0, least=0, most=30, text="CFG scale", argument="guidance_scale"
    )
    width: int = _setting(int, 128, least=8, most=4096, multiple=8, argument="width")
    height: int = _setting(int, 128, least=8, most=4096, multiple=8, argument="height")
    scheduler: str = _setting(str, "DPM-Solver++", text="Sampler")
    model: str = _setting(str, "storybook-sd", text="Model")
    guidance_rescale: float = _setting(
        float, 0.0, least=0, most=1, text="CFG Rescale", argument="guidance_rescale"
    )
    strength: float | None = _setting(
        float, None, least=0, most=1, text="Denoising strength", argument="strength"
    )
    source: tuple[str, ...] = ()
    mask: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            if value is not None or name != "strength":
                object.__setattr__(self, name, setting.check(name, value))
        object.__setattr__(self, "source", tuple(self.source))
        if self.strength is not None:
            steps_run(self.steps, self.strength)
        elif self.source or self.mask:
            raise SettingError("strength", "A recipe of an edit needs its strength.")

    def __repr__(self) -> str:
        return f"Recipe({', '.join(f'{name}={v!r}' for name, v in self.to_dict().items())})"

    def to_dict(self) -> dict[str, Any]:
        """All settings, for JSON and tables; those of edits only where it is one."""
        own = {name: getattr(self, name) for name in SETTINGS}
        own |= {"source": list(self.source), "mask": self.mask}
        return {name: v for name, v in own.items() if name in ALWAYS or v not in (*OFF, [])}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **notes: Any) -> Recipe:
        """The recipe in a dict, numbers also as texts; names that it does not know become notes."""
        values, known = dict(values), {}
        if "size" in values and "width" not in values:  # of the studio's first files
            if found := re.fullmatch(r"(\d+)x(\d+)", str(values["size"])):
                values |= {"width": int(found[1]) // 8, "height": int(found[2]) // 8}
        for name in [*SETTINGS, "source", "mask"]:
            if values.get(name) is not None:
                value = values.pop(name)
                setting = SETTINGS.get(name)
                known[name] = _number(value) if setting and setting.kind is not str else value
        if "prompt" not in known:
            raise SettingError("prompt", "The recipe has no prompt, so nothing can be drawn.")
        return cls(**known, notes={**values, **notes})

    def arguments(self) -> dict[str, Any]:
        """The recipe in the names of diffusers' pipelines; settings that are off are left out."""
        named = {s.argument: getattr(self, name) for name, s in SETTINGS.items() if s.argument}
        needed = {"prompt", "num_inference_steps", "guidance_scale"}
        return {name: v for name, v in named.items() if name in needed or v not in OFF}


SETTINGS: dict[str, Setting] = {
    f.name: f.metadata["setting"] for f in fields(Recipe) if "setting" in f.metadata
}
ALWAYS = {"prompt", "negative_prompt", "seed", "steps", "guidance"}
ALWAYS |= {"width", "height", "scheduler", "model"}
OFF = (None, "", 0)  # values of a setting that is not used


def unknown_setting(name: str, known: Iterable[str]) -> SettingError:
    """The sentence for a name that no setting has, with the nearest one that there is."""
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}."
    return SettingError(name, f"There is no setting {name}: {hint}")


def steps_run(steps, strength):
    """How many of the steps image-to-image runs: the last int(steps * strength) of them."""
    if not 0 < strength <= 1:
        raise SettingError("strength", f"strength lies above 0 and up to 1, and is not {strength}.")
    if int(steps * strength) < 1:
        raise SettingError(
            "strength", f"strength {strength} leaves none of {steps} steps: raise one of them."
        )
    return int(steps * strength)


def fingerprint(image: Image.Image) -> str:
    """16 hexadecimal digits that name a picture's pixels, whatever file they came from."""
    grey = image.mode in ("1", "L")
    pixels = image.convert("L") if grey else to_rgb(image)
    name = f"{pixels.mode} {pixels.width}x{pixels.height} ".encode()
    return hashlib.sha256(name + pixels.tobytes()).hexdigest()[:16]


# -- files -----------------------------------------------------------------------------------------


def save(image: Image.Image, recipe: Recipe, folder: str | Path = "results", **notes: Any) -> Path:
    """Save a picture as a PNG that carries its recipe, under a new name; return its path.

    notes: what else to write down, such as seconds=1.2. The name holds the time, the seed and the
    first words; a file that is there is never touched.
    """
    now = datetime.now().astimezone()
    data = png_bytes(image, recipe, saved=now.isoformat(), **notes)
    stem = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}-seed{recipe.seed}"
    return write_new(folder, f"{stem}-{slug(recipe.prompt)}", ".png", data)


def png_bytes(image: Image.Image, recipe: Recipe, **notes: Any) -> bytes:
    """The PNG that carries a recipe. Without notes, equal pictures and recipes have equal bytes."""
    if not isinstance(image, Image.Image):
        raise ValueError(f"One PIL picture can be saved, not {type(image).__name__}.")
    if not isinstance(recipe, Recipe):
        raise ValueError('A picture is saved with its Recipe, such as Recipe("a cat", seed=7).')
    note = {"recipe": recipe.to_dict(), **recipe.notes, **notes, "imagegen": __version__}
    try:
        text = json.dumps(note, default=lambda value: value.item(), allow_nan=False)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"The notes hold something that cannot be written down ({error}): "
            "use text and plain numbers."
        ) from None
    chunks = PngInfo()
    chunks.add_text("parameters", write_infotext(recipe))
    chunks.add_text("imagegen", text)
    # Pillow hangs the chunks on the image while it saves; two threads would swap theirs.
    image = ImageOps.exif_transpose(image)
    image = image.copy() if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else to_rgb(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def read_recipe(source: str | Path | bytes | BinaryIO) -> Recipe:
    """The recipe of a PNG of this course, or of a program that writes AUTOMATIC1111's text.

    source: a path, the bytes of a file, or an open one. Raises ValueError with one sentence for a
    file that is no picture, carries no recipe, or one that cannot be drawn.
    """
    with open_file(source) as image:
        image.load()  # text may also stand behind the pixels
        text = getattr(image, "text", {})
    try:
        note = json.loads(text["imagegen"])
        recipe = note.pop("recipe")
        if isinstance(recipe, dict):
            note.pop("imagegen", None)
            return Recipe.from_dict(recipe, **note)
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError):
        pass  # no note of ours, or one that another program has changed
    parameters = text.get("parameters", "").strip()
    name = source if isinstance(source, str | Path) else "The file"
    if not parameters:
        raise ValueError(f"{name} carries no recipe: it was not saved by save().")
    if parameters.startswith("{"):
        raise ValueError(f"{name} carries the recipe of another program, as JSON of its own.")
    return read_infotext(parameters)


def slug(text: str) -> str:
    """The first words of a text as a part of a file's name."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower())[:6])[:40] or "picture"


def write_new(folder: str | Path, stem: str, suffix: str = "", data: bytes | None = None) -> Path:
    """Write a new file, or make a new folder where data is None; return its path.

    Nothing that is there is touched: where a name is taken, -2, -3 and so on follow the stem.
    ValueError if the folder is a file; OSError, and no half file, if it cannot be written.
    """
    folder = Path(folder).expanduser()
    if folder.is_file():
        raise ValueError(f"{folder} is a file, so nothing can be saved in it.")
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = folder / f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
        try:
            if data is None:
                path.mkdir()
            else:
                write_once(path, data)
        except FileExistsError:
            continue
        return path


def write_once(path: Path, data: bytes) -> None:
    """Write a file that is not there yet, else FileExistsError; half a file does not stay."""
    with path.open("xb") as file:  # x fails rather than overwrite, even in a race
        try:
            file.write(data)
            file.flush()
        except OSError:  # a full disk
            path.unlink(missing_ok=True)
            raise


# -- the `parameters` text of AUTOMATIC1111 and its descendants ------------------------------------
#
#     a castle at dawn
#     Negative prompt: snow
#     Steps: 20, CFG scale: 5.0, Seed: 7, Size: 128x128
#
# The last line counts as settings when it holds three pairs or more; a value with a comma, colon,
# quotation mark or line break is quoted as JSON. Source: modules/infotext_utils.py of that program.


def write_infotext(recipe: Recipe) -> str:
    """The text of a recipe."""
    lines = [recipe.prompt]
    if recipe.negative_prompt:
        lines.append(f"{NEGATIVE} {recipe.negative_prompt}")
    pairs = {"Steps": recipe.steps}  # the first, by which other programs know the line
    used = {name: v for name, v in recipe.to_dict().items() if name in SETTINGS and v != ""}
    pairs |= {SETTINGS[name].text: v for name, v in used.items() if SETTINGS[name].text}
    pairs |= {"Size": f"{recipe.width}x{recipe.height}", "Version": f"imagegen {__version__}"}
    lines.append(", ".join(f"{name}: {_quote(value)}" for name, value in pairs.items()))
    # A lone surrogate is legal in a Python string, but in no file.
    return "\n".join(lines).encode("utf-8", "replace").decode()


def read_infotext(text: str) -> Recipe:
    """The recipe in a text; settings that are not ours become notes, as texts.

    What the text leaves out has its default, but for the model, which is then unknown: "".
    """
    *lines, last = text.strip().split("\n")
    pairs = PAIR.findall(last)
    if len(pairs) < 3:
        lines, pairs = [*lines, last], []
    lines = [line.strip() for line in lines]
    start = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).removeprefix(NEGATIVE).strip()
    values = {"prompt": "\n".join(lines[:start]), "negative_prompt": negative, "model": ""}
    ours = {s.text.lower(): name for name, s in SETTINGS.items() if s.text}
    ours |= {"width": "width", "height": "height"}
    notes = {}
    for name, value in pairs:
        value = _unquote(value)
        if name.lower() == "size" and re.fullmatch(r"\d+x\d+", value):
            values["width"], values["height"] = value.split("x")
        elif name.lower() in ours:
            values[ours[name.lower()]] = value
        else:
            notes[name] = value
    # Other programs write it for enlarging too, and say nothing of what was begun with.
    if "strength" in values and not notes.get("Version", "").startswith("imagegen"):
        notes["Denoising strength"] = values.pop("strength")
    return replace(Recipe.from_dict(values), notes=notes)


def _number(value: Any) -> Any:
    """A number that is written as a text; anything else as it is."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,30}\s*", value):
        return int(value)
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _short(value: Any) -> str:
    """A value as it is shown in an error: never longer than a line."""
    if type(value) is int and abs(value) >= 10**15:
        return "a number of 16 digits or more"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _quote(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:"\n\r]', text) else text


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    try:
        return str(json.loads(text))
    except ValueError:
        return text
