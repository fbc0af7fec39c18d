"""What a request carries, read with limits and checked against a schema.

A schema is a pydantic class, a subclass of Body: strict types, and no parameter that it does not
name. What pydantic finds wrong is answered in the words and codes of OpenAI's service. The schemas
of pictures are in families.py, those of texts in responses.py and chat.py. Built on in chapter 11.
"""

import asyncio
import json
import mimetypes
import re
from base64 import b64decode
from binascii import Error as NoBase64
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.formparsers import MultiPartException, MultiPartParser

from imagegen.api.errors import ApiError, invalid

LARGEST_JSON = 2_000_000  # bytes; a prompt of 32,000 letters takes at most 384,000
LARGEST_JSON_WITH_PICTURES = 64_000_000  # bytes; pictures come as texts there
LARGEST_FORM = 200_000_000  # bytes of all files together
PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp")


class Body(BaseModel):
    """The base of all schemas."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class WithMetadata(Body):
    """Up to 16 pairs of short texts, which are given back as they came."""

    metadata: dict[str, str] = {}

    def checked_metadata(self) -> dict:
        pairs = self.metadata.items()
        if len(pairs) > 16 or any(len(key) > 64 or len(value) > 512 for key, value in pairs):
            raise invalid("Metadata has at most 16 pairs of short texts.", "metadata")
        return self.metadata


Schema = TypeVar("Schema", bound=Body)


@dataclass(frozen=True)
class Upload:
    """A file of a request: its bytes to read, how many they are, and the type that it claims."""

    file: BinaryIO
    size: int
    type: str


def check(schema: type[Schema], values: dict, form: bool = False) -> Schema:
    """The values as the schema has them; ApiError for the first that is wrong.

    A value None counts as not given. form: all values are texts, as in a form.
    """
    values = {name: value for name, value in values.items() if value is not None}
    try:
        return schema.model_validate_strings(values) if form else schema.model_validate(values)
    except ValidationError as error:
        raise _in_our_words(error.errors(include_url=False)[0]) from None


def wrong(param: str, message: str, code: str = "invalid_value") -> PydanticCustomError:
    """What a validator of a schema raises for a value that its type does not exclude."""
    return PydanticCustomError(code, "{message}", {"param": param, "message": message})


def wrong_type(name: str, expected: str, value) -> ApiError:
    """A parameter has a value of another type."""
    kinds = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal number"}
    kinds |= {list: "an array", dict: "an object", Upload: "a file"}
    got = kinds.get(type(value), "something else")
    message = f"Invalid type for '{name}': expected {expected}, but got {got} instead."
    return invalid(message, name, "invalid_type")


EXPECTED = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "finite": "a number",
    "bool": "a boolean",
    "list": "an array",
    "dict": "an object",
    "model": "an object",
    "literal": "a string",
}


def _in_our_words(error: ErrorDetails) -> ApiError:
    """pydantic's error as OpenAI's service says it: a sentence, the parameter, a code."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    name = context.get("param") or ".".join(str(part) for part in error["loc"])[:80]
    if "message" in context:
        return invalid(context["message"], name, kind)
    if kind == "missing":
        return invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if kind == "extra_forbidden":
        return invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if kind == "string_too_long":
        message = (
            f"Invalid '{name}': string too long. Expected at most {context['max_length']} "
            f"characters, but got {len(value)} instead."
        )
        return invalid(message, name, "string_above_max_length")
    if kind == "literal_error" and isinstance(value, str):
        words = context["expected"].replace(" or ", " and ")
        message = f"Invalid value: '{value[:80]}'. Supported values are: {words}."
        return invalid(message, name)
    if kind in ("less_than_equal", "greater_than_equal"):
        over = kind == "less_than_equal"
        sign, limit = ("<=", context["le"]) if over else (">=", context["ge"])
        whole = isinstance(limit, int)
        word, side = "integer" if whole else "decimal", "above maximum" if over else "below minimum"
        got = value if len(str(value)) <= 20 else f"one of {len(str(value))} digits"
        message = f"Invalid '{name}': {word} {side} value. Expected a value {sign} {limit}, "
        code = f"{word}_above_max_value" if over else f"{word}_below_min_value"
        return invalid(f"{message}but got {got} instead.", name, code)
    if kind == "string_unicode":
        return invalid(f"Invalid '{name}': the text is not valid Unicode.", name)
    expected = EXPECTED.get(re.split("_", kind)[0])
    return wrong_type(name, expected, value) if expected else invalid(error["msg"], name)


async def read_json(request: Request, largest: int = LARGEST_JSON) -> dict:
    """The JSON object that a request carries, of at most `largest` bytes."""
    kind = content_type(request)
    if kind != "application/json":
        raise ApiError(
            f"Unsupported content type: '{kind[:80]}'. Send 'application/json'.", status=415
        )
    raw = b"".join([chunk async for chunk in limited(request, largest)])
    try:
        body = await asyncio.to_thread(parse_json, raw)
    except (ValueError, RecursionError):
        raise invalid(
            "We could not parse the JSON body of your request.", code="invalid_json"
        ) from None
    if not isinstance(body, dict):
        raise invalid("The JSON body must be an object, {...}.", code="invalid_json")
    return body


def parse_json(raw: bytes):
    """The value of a JSON text; ValueError for what is none, such as NaN or half a surrogate."""
    body = json.loads(raw.decode("utf-8"), parse_constant=refuse_constant)
    if b"\\ud" in raw.lower():
        json.dumps(body, ensure_ascii=False).encode("utf-8")  # fails for half a surrogate pair
    return body


def refuse_constant(name: str):
    raise ValueError(f"{name} is no JSON")


async def read_form(request: Request) -> tuple[dict[str, str], dict[str, list[Upload]]]:
    """The texts and the files of a form: {name: text}, {name: [file, ...]}."""
    kind = content_type(request)
    if kind != "multipart/form-data":
        raise ApiError(
            f"Unsupported content type: '{kind[:80]}'. Send 'multipart/form-data'.", status=415
        )
    stream = limited(request, LARGEST_FORM)
    parser = MultiPartParser(request.headers, stream, max_files=40, max_fields=40)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as error:
        reason = getattr(error, "message", None) or error
        raise invalid(f"We could not parse the form: {reason}", code="invalid_form") from None
    texts, files = {}, {}
    for name, value in form.multi_items():
        name = name.removesuffix("[]")  # how the client names the files of a list
        if isinstance(value, str):
            texts[name] = value
            continue
        claimed = (value.content_type or "").split(";")[0].strip().lower()
        if claimed in ("", "application/octet-stream"):
            claimed = mimetypes.guess_type(value.filename or "")[0] or claimed
        files.setdefault(name, []).append(Upload(value.file, value.size, claimed))
    return texts, files


def read_data_url(url, name: str) -> Upload:
    """The picture in a data URL, data:image/png;base64,...; ApiError for any other address."""
    if not isinstance(url, str):
        raise wrong_type(name, "a data URL", url)
    head, comma, data = url[:100].partition(",")
    kind = re.fullmatch(r"data:([\w/+.-]+);base64", head)
    if not (comma and kind):
        raise invalid(
            f"Invalid '{name}': this server fetches nothing, so send the picture itself as "
            "data:image/png;base64,...",
            name,
        )
    try:
        data = b64decode(url[len(head) + 1 :], validate=True)
    except (NoBase64, ValueError):
        raise invalid(f"Invalid '{name}': its base64 data are damaged.", name) from None
    return Upload(BytesIO(data), len(data), kind[1].lower())


def content_type(request: Request) -> str:
    """The type of a request's body, without its parameters."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def limited(request: Request, most: int):
    """The body, piece by piece; ApiError 413 once it is longer than `most` bytes."""
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > most:
            raise ApiError(f"The body is longer than {most:,} bytes.", status=413)
        yield chunk
