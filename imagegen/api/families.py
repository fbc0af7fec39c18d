"""What a request for pictures may say: one schema for each family of models.

The rules are those of OpenAI's service, read from the types of its client; the retired DALL-E
models keep theirs. Beside them stand the course's own parameters, which the client sends by
extra_body: they are the settings of a Recipe, from its one table. Read in chapter 11.
"""

import math
import random
import re
from dataclasses import replace
from datetime import date
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from imagegen.api.catalogue import IMAGES, find
from imagegen.api.errors import invalid
from imagegen.api.request import Body, check, wrong, wrong_type
from imagegen.recipe import LAST_SEED, SCHEDULERS, SETTINGS, Recipe, SettingError
from imagegen.storybook.caption import unknown_words

Size = tuple[int, int]  # (width, height) in pixels

SIDE = 128  # pixels: the side of the pictures that storybook-sd was trained on
NATIVE = ((128, 128), (192, 128), (128, 192))  # what storybook-sd draws, pixel by pixel
STANDARD = ((1024, 1024), (1536, 1024), (1024, 1536))
LONGEST_PROMPT = 32_000  # characters
STEPS = {"low": 8, "medium": 20, "auto": 20, "high": 40, "xhigh": 60, "max": 80}
STEPS |= {"standard": 20, "hd": 40}  # the words of DALL-E 3
GUIDANCE = {"natural": 3.0, "vivid": 8.0}  # how DALL-E 3's two styles are emulated
SERVER_SETS = ("prompt", "width", "height", "model", "source", "mask")  # the rest is the client's
EDITS_ONLY = ("strength", "input_fidelity")
OPAQUE = "storybook-sd paints every pixel, so it has no transparent background: use opaque or auto."


def filled(prompt: str) -> str:
    if not prompt.strip():
        raise wrong("prompt", "Invalid 'prompt': it is empty.", "empty_string")
    return prompt


Prompt = Annotated[str, AfterValidator(filled)]
Label = Annotated[str, Field(max_length=512)]


def own_parameters() -> type[Body]:
    """A schema of the settings of a Recipe that a request may give; it has to give none."""
    fields = {}
    for name, setting in SETTINGS.items():
        kind = Literal[*SCHEDULERS] if name == "scheduler" else setting.kind
        if setting.kind is str:
            bounds = {} if name == "scheduler" else {"max_length": LONGEST_PROMPT}
        else:
            bounds = {"ge": setting.least, "le": setting.most}
        if name not in SERVER_SETS:
            fields[name] = (kind | None, Field(None, **bounds))
    return create_model("OwnParameters", __base__=Body, __module__=__name__, **fields)


OwnParameters = own_parameters()


class PictureRequest(OwnParameters):
    """What all families take. Each adds prompt, size, quality and what else it knows."""

    model: str = Field(max_length=200)
    n: int = Field(1, ge=1, le=10)
    user: Label = ""

    calls: ClassVar = ("generations", "edits")
    most_images: ClassVar = 16  # of an edit
    details: ClassVar = True  # whether the answer has size, quality, usage beside the pictures

    @model_validator(mode="after")
    def every_picture_has_a_seed(self):
        last = LAST_SEED + 1 - self.n  # picture k of several takes seed + k
        if self.seed is not None and self.seed > last:
            message = f"Invalid 'seed': integer above maximum value. Expected a value <= {last}, "
            raise wrong("seed", f"{message}but got {self.seed} instead.", "integer_above_max_value")
        return self

    @property
    def by_url(self) -> bool:
        """Whether the answer is an address in place of the picture."""
        return getattr(self, "response_format", "b64_json") == "url"

    def answer_size(self, picture: Size | None = None) -> Size:
        """The size to answer with; picture: the size of the first picture of an edit."""
        if self.size == "auto":
            return self.auto_size(picture)
        width, height = self.size.split("x")
        return int(width), int(height)

    def recipes(self, size: Size, guidance: float = 5.0, **edit) -> list[Recipe]:
        """What to draw: a recipe for each picture, whose seeds are one apart.

        edit: source and mask, and the strength where the request gives none. ApiError for
        settings that do not go together.
        """
        given = {name: getattr(self, name) for name in OwnParameters.model_fields}
        given = {name: value for name, value in given.items() if value is not None}
        width, height = drawn_size(size)
        settings = {
            "prompt": readable(self.prompt),
            "model": IMAGES,
            "seed": random.SystemRandom().randint(0, LAST_SEED + 1 - self.n),
            "steps": STEPS[self.quality],
            "guidance": guidance,
            "width": width,
            "height": height,
        }
        try:
            first = Recipe(**settings | edit | given)
        except SettingError as error:
            raise invalid(str(error), error.name) from None
        return [replace(first, seed=first.seed + k) for k in range(self.n)]


class GptImage(PictureRequest):
    """GPT Image 2 and 2.5."""

    prompt: Prompt = Field(max_length=LONGEST_PROMPT)
    size: str = Field("auto", max_length=40)
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] = "auto"
    background: Literal["transparent", "opaque", "auto"] = "auto"
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] = "png"
    output_compression: int = Field(100, ge=0, le=100)
    stream: bool = False
    partial_images: int = Field(0, ge=0, le=3)
    # Of no effect here: there is nothing to moderate.
    moderation: Literal["low", "auto"] = "auto"
    safety_identifier: Label = ""

    least_pixels: ClassVar = 655_360

    @model_validator(mode="after")
    def parameters_fit_together(self):
        if self.size != "auto" and not re.fullmatch(r"[0-9]{1,5}x[0-9]{1,5}", self.size):
            raise wrong("size", f"Invalid size '{self.size}': write WIDTHxHEIGHT or auto.")
        reason = self.size != "auto" and wrong_size(*self.answer_size(), self.least_pixels)
        if reason:
            raise wrong("size", f"Invalid size '{self.size}': {reason}")
        if self.output_format in ("gif", "svg"):
            message = f"This server writes no {self.output_format}: use png, webp or jpeg."
            raise wrong("output_format", message)
        if self.background == "transparent":
            jpeg = "A jpeg cannot be transparent: use png or webp."
            raise wrong("background", jpeg if self.output_format == "jpeg" else OPAQUE)
        if self.output_format == "png" and self.output_compression < 100:
            message = "Compression less than 100 is for webp and jpeg; a png loses nothing."
            raise wrong("output_compression", message)
        if self.partial_images and not self.stream:
            message = "Partial images are only supported with stream=true."
            raise wrong("partial_images", message)
        if self.stream and self.n > 1:
            raise wrong("n", "Streaming is only supported with n=1.")
        return self

    @classmethod
    def auto_size(cls, picture: Size | None) -> Size:
        """The picture's own size, or else the standard one that is nearest in shape."""
        if picture and not wrong_size(*picture, cls.least_pixels):
            return picture
        return nearest_size(picture, STANDARD)


class GptImage26(GptImage):
    """GPT Image 2.6, which can be told how much to plan; that has no effect here."""

    complexity: Literal["low", "medium", "high"] = "medium"


class Storybook(GptImage26):
    """Our own model. It draws small pictures and takes what clients send to unknown models."""

    quality: Literal["low", "medium", "high", "xhigh", "max", "standard", "auto"] = "auto"
    response_format: Literal["url", "b64_json"] = "b64_json"

    least_pixels: ClassVar = SIDE * SIDE

    @classmethod
    def auto_size(cls, picture: Size | None) -> Size:
        if picture and wrong_size(*picture, cls.least_pixels):
            return nearest_size(picture, NATIVE if max(picture) < 512 else STANDARD)
        return picture or NATIVE[0]


class GptImage1(GptImage):
    """GPT Image 1 and 1.5, with three sizes."""

    size: Literal["1024x1024", "1536x1024", "1024x1536", "auto"] = "auto"
    quality: Literal["low", "medium", "high", "auto"] = "auto"
    input_fidelity: Literal["high", "low"] = "low"

    @classmethod
    def auto_size(cls, picture: Size | None) -> Size:
        return nearest_size(picture, STANDARD)


class GptImage1Mini(GptImage1):
    """GPT Image 1 mini."""

    input_fidelity: Literal["low"] = "low"


class Dalle(PictureRequest):
    """What the retired DALL-E models share: nothing of streams and formats."""

    response_format: Literal["url", "b64_json"] = "url"

    details: ClassVar = False
    output_format: ClassVar = "png"
    output_compression: ClassVar = 100
    stream: ClassVar = False
    partial_images: ClassVar = 0


class Dalle2(Dalle):
    """DALL-E 2."""

    prompt: Prompt = Field(max_length=1000)
    size: Literal["256x256", "512x512", "1024x1024"] = "1024x1024"
    quality: Literal["standard"] = "standard"

    most_images: ClassVar = 1


class Dalle2Variation(Dalle):
    """DALL-E 2's variations: an edit without a prompt and without a mask."""

    size: Literal["256x256", "512x512", "1024x1024"] = "1024x1024"

    prompt: ClassVar = ""
    quality: ClassVar = "standard"
    most_images: ClassVar = 1


class Dalle3(Dalle):
    """DALL-E 3, whose two styles are emulated by two strengths of guidance."""

    prompt: Prompt = Field(max_length=4000)
    n: int = Field(1, ge=1, le=1)
    size: Literal["1024x1024", "1792x1024", "1024x1792"] = "1024x1024"
    quality: Literal["standard", "hd"] = "standard"
    style: Literal["natural", "vivid"] = "vivid"

    calls: ClassVar = ("generations",)

    def recipes(self, size: Size, **edit) -> list[Recipe]:
        return super().recipes(size, guidance=GUIDANCE[self.style], **edit)


FAMILIES = {
    "storybook": Storybook,
    "gpt-image-2.6": GptImage26,
    "gpt-image-2": GptImage,
    "gpt-image-1": GptImage1,
    "gpt-image-1-mini": GptImage1Mini,
    "dall-e-2": Dalle2,
    "dall-e-3": Dalle3,
}


def read_picture_request(
    values: dict, call: str, today: date, emulate_retired: bool, form: bool = False
) -> PictureRequest:
    """The request for pictures in a body. call: "generations", "edits" or "variations"."""
    name = values.get("model")
    if name is None and call == "variations":
        name = "dall-e-2"  # which alone ever made them
    if name is None:
        raise invalid("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    if not isinstance(name, str):
        raise wrong_type("model", "a string", name)
    model = find(name, today, emulate_retired)
    if not model.draws:
        raise invalid(f"The model '{name}' writes texts and draws no pictures.", "model")
    schema = FAMILIES[model.family]
    if call == "variations":
        if schema is not Dalle2:
            raise invalid(
                "Variations were made by dall-e-2 alone. Use the edits endpoint: a picture and a "
                "prompt, without a mask.",
                "model",
            )
        schema = Dalle2Variation
    elif call not in schema.calls:
        raise invalid(f"{name} could not edit: its id is known to generations alone.", "model")
    for parameter in EDITS_ONLY if call == "generations" else ():
        if values.get(parameter) is not None:
            raise invalid(f"Unknown parameter: '{parameter}'.", parameter, "unknown_parameter")
    return check(schema, values | {"model": name}, form)


def wrong_size(width: int, height: int, least_pixels: int) -> str | None:
    """Why the newer GPT image models draw no picture of that size, None if they do."""
    if width % 16 or height % 16:
        return "width and height must both be divisible by 16."
    if max(width, height) > 3 * min(width, height):
        return "the sides must lie between 1:3 and 3:1."
    if max(width, height) > 3840:
        return "no side may be longer than 3840 pixels."
    if not least_pixels <= width * height <= 8_294_400:
        return f"it must have from {least_pixels:,} to 8,294,400 pixels."
    return None


def nearest_size(picture: Size | None, sizes: tuple[Size, ...]) -> Size:
    """The size whose shape is nearest to the picture's; the first where there is no picture."""
    width, height = picture or sizes[0]
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1] * height / width)))


def drawn_size(size: Size) -> Size:
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
