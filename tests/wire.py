"""What the tests of the local server share: its client, and its answers checked by their types."""

import base64
import io
import json

import numpy as np
import openai
from openai import OpenAI
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
)
from PIL import Image

# The types of 2.x know three sizes and no shutdown dates: there the newest fields are left out.
NEWEST = int(openai.__version__.split(".")[0]) >= 3
EVENTS = {
    "image_generation.partial_image": ImageGenPartialImageEvent,
    "image_generation.completed": ImageGenCompletedEvent,
    "image_edit.partial_image": ImageEditPartialImageEvent,
    "image_edit.completed": ImageEditCompletedEvent,
}


def connect(server, **options):
    return OpenAI(base_url=server.url, api_key="not-needed", **{"max_retries": 0} | options)


def file(picture):
    return base64.b64decode(picture.b64_json)


def opened(picture):
    return Image.open(io.BytesIO(file(picture))).convert("RGB")


def as_file(image, kind="PNG"):
    data = io.BytesIO()
    image.save(data, kind)
    return (f"picture.{kind.lower()}", data.getvalue())


def apart(a, b):
    return np.abs(np.asarray(a, int) - np.asarray(b, int))


def strictly(kind, data):
    """Data as the client's type, with every field that must be there and none that it lacks."""
    made = kind.construct(**data)
    if NEWEST:
        made = kind.model_validate(data)
        assert extras(made) == []
    else:  # at least every field that the older type needs is there
        needed = {name for name, field in kind.model_fields.items() if field.is_required()}
        assert needed <= data.keys()
    assert made.model_dump(exclude_unset=True, by_alias=True) == data
    return made


def extras(value):
    if isinstance(value, list):
        return [name for item in value for name in extras(item)]
    if not hasattr(value, "model_extra"):
        return []
    inner = [name for _, part in value for name in extras(part)]
    return [*(value.model_extra or {}), *inner]


def raw(call, **given):
    return json.loads(call(**given).content)
