"""What a request asks for, checked: a body becomes an Asked, or an ApiError says what is wrong.

The rules are those of OpenAI's service, read from the types of its client. The course adds four
parameters, which the client sends by extra_body: seed, steps, guidance and strength. Told in
chapter 11.
"""

import math
import random
import re
from dataclasses import dataclass
from datetime import date

from imagegen.api.errors import ApiError, invalid
from imagegen.api.models import ServedModel, find
from imagegen.storybook.caption import unknown_words

NATIVE = ((128, 128), (192, 128), (128, 192))  # what storybook-sd draws, pixel by pixel
SIDE = 128  # pixels: the side of the pictures it was trained on
STANDARD = ((1024, 1024), (1536, 1024), (1024, 1536))
DALLE = {
    "dall-e-2": ((256, 256), (512, 512), (1024, 1024)),
    "dall-e-3": ((1024, 1024), (1792, 1024), (1024, 1792)),
}
LONGEST_PROMPT = {"dall-e-2": 1000, "dall-e-3": 4000}  # characters
STEPS = {"low": 8, "medium": 20, "high": 40, "xhigh": 60, "max": 80, "standard": 20, "hd": 40}
GUIDANCE = {"natural": 3.0, "vivid": 8.0}  # how DALL-E 3's two styles are emulated
OPAQUE = "storybook-sd paints every pixel, so it has no transparent background: use opaque or auto."


@dataclass(frozen=True)
class Asked:
    """A request for pictures. size: (width, height) to answer with, None for auto in an edit."""

    model: ServedModel
    prompt: str
    n: int
    size: tuple[int, int] | None
    quality: str
    background: str
    output_format: str
    compression: int
    response_format: str  # b64_json; DALL-E could also answer with a url
    stream: bool
    partial_images: int
    seed: int
    steps: int
    guidance: float
    strength: float | None


class Fields:
    """The parameters of a body, each read once and checked; rest() refuses those never read."""

    def __init__(self, body: dict, form: bool = False):
        self.body = {name: value for name, value in body.items() if value is not None}
        self.form = form  # a form's values are all texts
        self.read = set()

    def take(self, name):
        self.read.add(name)
        return self.body.get(name)

    def text(self, name: str, longest: int, default: str | None = None) -> str:
        """A text; without a default it must be there and hold more than spaces."""
        value = self.take(name)
        if value is None and default is not None:
            return default
        if value is None:
            raise invalid(
                f"Missing required parameter: '{name}'.", name, "missing_required_parameter"
            )
        if not isinstance(value, str):
            raise wrong_type(name, "a string", value)
        if default is None and not value.strip():
            raise invalid(f"Invalid '{name}': it is empty.", name, "empty_string")
        if len(value) > longest:
            raise invalid(
                f"Invalid '{name}': string too long. Expected at most {longest} characters, "
                f"but got {len(value)} instead.",
                name,
                "string_above_max_length",
            )
        return value

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of several words."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise wrong_type(name, "a string", value)
        if value not in choices:
            words = ", ".join(f"'{choice}'" for choice in choices)
            raise invalid(f"Invalid value: '{value[:80]}'. Supported values are: {words}.", name)
        return value

    def whole(self, name: str, least: int, most: int, default: int) -> int:
        """A whole number from least to most."""
        value = self.take(name)
        if value is None:
            return default
        if self.form and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}", value):
            value = int(value)
        if type(value) is not int:
            raise wrong_type(name, "an integer", value)
        return within(name, "integer", value, least, most)

    def number(self, name: str, least: float, most: float, default: float | None):
        """A number from least to most."""
        value = self.take(name)
        if value is None:
            return default
        if self.form and isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                pass
        if type(value) not in (int, float) or not math.isfinite(value):
            raise wrong_type(name, "a number", value)
        return float(within(name, "decimal", value, least, most))

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if self.form and value in ("true", "false"):
            value = value == "true"
        if value is not None and type(value) is not bool:
            raise wrong_type(name, "a boolean", value)
        return bool(value)

    def rest(self) -> None:
        """ApiError for a parameter that nothing has asked for."""
        for name in self.body:
            if name not in self.read:
                raise invalid(f"Unknown parameter: '{name[:80]}'.", name[:80], "unknown_parameter")


def wrong_type(name: str, expected: str, value) -> ApiError:
    kinds = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal number"}
    kinds |= {list: "an array", dict: "an object"}
    got = kinds.get(type(value), "something else")
    message = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return invalid(message, name, "invalid_type")


def within(name: str, kind: str, value, least, most):
    if least <= value <= most:
        return value
    over = value > most
    side, sign, limit = ("above maximum", "<=", most) if over else ("below minimum", ">=", least)
    shown = str(value) if abs(value) < 1e15 else f"{value:.0e}"
    raise invalid(
        f"Invalid '{name}': {kind} {side} value. Expected a value {sign} {limit}, "
        f"but got {shown} instead.",
        name,
        f"{kind}_above_max_value" if over else f"{kind}_below_min_value",
    )


def read_asked(fields: Fields, call: str, today: date, emulate_retired: bool) -> Asked:
    """The request in a body. call: "generations", "edits" or "variations".

    A parameter that the model's family does not take is unknown, as it is to the real service.
    """
    past = call == "variations"  # only DALL-E 2 ever made them, and it is what they default to
    name = fields.text("model", 200, "dall-e-2" if past else None)
    model = find(name, today, emulate_retired)
    if not model.draws:
        raise invalid(f"The model '{model.id}' writes texts and draws no pictures.", "model")
    if past and model.family != "dall-e-2":
        raise invalid(
            "Variations were made by dall-e-2 alone. Use the edits endpoint: a picture and a "
            "prompt, without a mask.",
            "model",
        )
    if call == "edits" and model.family == "dall-e-3":
        raise invalid("dall-e-3 could not edit: its id is known to generations alone.", "model")
    prompt = "" if past else fields.text("prompt", LONGEST_PROMPT.get(model.family, 32_000))
    most = 1 if model.family == "dall-e-3" else 10
    asked = {"model": model, "prompt": prompt, "n": fields.whole("n", 1, most, 1)}
    asked["size"] = read_size(fields, model, auto=None if call == "edits" else True)
    asked |= dalle(fields, model) if model.family in DALLE else gpt_image(fields, model, call)
    if asked["stream"] and asked["n"] > 1:
        raise invalid("Streaming is only supported with n=1.", "n")
    fields.text("user", 512, "")
    guidance = GUIDANCE[asked.pop("style", "vivid")] if model.family == "dall-e-3" else 5.0
    asked["steps"] = fields.whole("steps", 1, 200, STEPS[asked["quality"]])
    asked["guidance"] = fields.number("guidance", 0, 30, guidance)
    # Seeds are those that other programs know, and picture k of several takes seed + k.
    last = 2**32 - asked["n"]
    asked["seed"] = fields.whole("seed", 0, last, random.SystemRandom().randint(0, last))
    asked["strength"] = None
    if call != "generations":
        asked["strength"] = fields.number("strength", 0.01, 1, None)
    fields.rest()
    return Asked(**asked)


def dalle(fields: Fields, model: ServedModel) -> dict:
    """The parameters of the retired DALL-E models."""
    asked = {"background": "opaque", "output_format": "png", "compression": 100}
    asked |= {"stream": False, "partial_images": 0}
    asked["response_format"] = fields.choice("response_format", ("url", "b64_json"), "url")
    hd = ("standard", "hd") if model.family == "dall-e-3" else ("standard",)
    asked["quality"] = fields.choice("quality", hd, "standard")
    if model.family == "dall-e-3":
        asked["style"] = fields.choice("style", tuple(GUIDANCE), "vivid")
    return asked


def gpt_image(fields: Fields, model: ServedModel, call: str) -> dict:
    """The parameters of the GPT image models, which storybook-sd takes as well."""
    first = model.family == "gpt-image-1"
    qualities = ("low", "medium", "high") + (() if first else ("xhigh", "max"))
    quality = fields.choice("quality", (*qualities, "auto"), "auto")
    asked = {"quality": "medium" if quality == "auto" else quality, "response_format": "b64_json"}
    kind = fields.choice("output_format", ("png", "webp", "jpeg", "gif", "svg"), "png")
    if kind in ("gif", "svg"):
        raise invalid(f"This server writes no {kind}: use png, webp or jpeg.", "output_format")
    background = fields.choice("background", ("transparent", "opaque", "auto"), "auto")
    if background == "transparent":
        wrong = "A jpeg cannot be transparent: use png or webp." if kind == "jpeg" else OPAQUE
        raise invalid(wrong, "background")
    compression = fields.whole("output_compression", 0, 100, 100)
    if kind == "png" and compression < 100:
        raise invalid(
            "Compression less than 100 is for webp and jpeg; a png loses nothing.",
            "output_compression",
        )
    stream = fields.flag("stream")
    partials = fields.whole("partial_images", 0, 3, 0)
    if partials and not stream:
        raise invalid("Partial images are only supported with stream=true.", "partial_images")
    # Of no effect here: there is one way to plan a picture, and nothing to moderate.
    fields.choice("moderation", ("low", "auto"), "auto")
    fields.text("safety_identifier", 512, "")
    if "2.6" in model.id or model.family == "storybook":
        fields.choice("complexity", ("low", "medium", "high"), "medium")
    if call == "edits" and first:
        fidelity = ("low",) if model.id == "gpt-image-1-mini" else ("high", "low")
        fields.choice("input_fidelity", fidelity, "low")
    asked |= {"output_format": kind, "background": background, "compression": compression}
    return asked | {"stream": stream, "partial_images": partials}


def read_size(fields: Fields, model: ServedModel, auto) -> tuple[int, int] | None:
    """(width, height) as asked for; for auto the model's own size, or None if auto is None."""
    given = fields.text("size", 40, "auto")
    family = model.family
    if given == "auto" and (family not in DALLE or "size" not in fields.body):
        own = (1024, 1024) if family != "storybook" else NATIVE[0]
        return own if auto else None
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", given)
    size = (int(found[1]), int(found[2])) if found else None
    fixed = {"gpt-image-1": STANDARD, **DALLE}.get(family)
    if fixed:
        if size in fixed:
            return size
        words = ", ".join(f"'{w}x{h}'" for w, h in fixed)
        more = "" if family in DALLE else " and 'auto'"
        raise invalid(f"Invalid value: '{given}'. Supported values are: {words}{more}.", "size")
    if size is None:
        raise invalid(f"Invalid size '{given}': write WIDTHxHEIGHT or auto.", "size")
    if family == "storybook" and size in NATIVE:
        return size
    if wrong := wrong_size(*size):
        own = " Or take 128x128, 192x128 or 128x192." if family == "storybook" else ""
        raise invalid(f"Invalid size '{given}': {wrong}{own}", "size")
    return size


def wrong_size(width: int, height: int) -> str | None:
    """Why the newer GPT image models draw no picture of that size, None if they do."""
    if width % 16 or height % 16:
        return "width and height must both be divisible by 16."
    if max(width, height) > 3 * min(width, height):
        return "the sides must lie between 1:3 and 3:1."
    if max(width, height) > 3840:
        return "no side may be longer than 3840 pixels."
    if not 655_360 <= width * height <= 8_294_400:
        return "it must have from 655,360 to 8,294,400 pixels."
    return None


def edit_size(model: ServedModel, size: tuple[int, int]) -> tuple[int, int]:
    """The size that auto means for an edit: the picture's own, or else the nearest in shape."""
    width, height = size
    if model.family == "storybook" and size in NATIVE:
        return size
    if model.family in DALLE:
        return (1024, 1024)
    if size in STANDARD or (model.family != "gpt-image-1" and not wrong_size(width, height)):
        return size
    small = model.family == "storybook" and max(size) < 512
    sizes = NATIVE if small else STANDARD
    return min(sizes, key=lambda s: abs(math.log(s[0] / s[1] * height / width)))


def drawn_size(size: tuple[int, int]) -> tuple[int, int]:
    """What storybook-sd draws for an answer of that size: an eighth, in multiples of 8 pixels.

    Its own sizes are drawn as they are, and nothing is drawn smaller than its own.
    """
    if size in NATIVE:
        return size
    scale = max(1 / 8, SIDE / max(size))
    return tuple(max(8, round(side * scale / 8) * 8) for side in size)


def readable(prompt: str) -> str:
    """The part of a prompt that storybook-sd can read: its first sentences in words it knows.

    A description begins with a prompt in the small model's words and goes on in words for people.
    If already the first sentence holds an unknown word, it is the whole prompt, as it stands.
    """
    known = []
    for sentence in re.split(r"(?<=[.!?])\s+", prompt.strip()):
        if unknown_words(sentence):
            break
        known.append(sentence.strip(" .!?"))
    return ", ".join(filter(None, known)) or prompt
