"""The calls that answer with pictures: generations, edits, variations. Built on in chapter 11.

A picture is drawn at an eighth of the size wanted and enlarged, because storybook-sd draws 128 x
128 pixels; its own sizes are drawn as they are. revised_prompt says what the model was given, the
header x-imagegen-drawn-size what it drew. A PNG carries the recipe of what was drawn.
"""

import asyncio
import base64
import io
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL import Image

from imagegen.api.errors import ApiError, invalid
from imagegen.api.families import PictureRequest, read_picture_request
from imagegen.api.gate import unless_gone
from imagegen.api.request import (
    LARGEST_JSON_WITH_PICTURES,
    content_type,
    read_data_url,
    read_form,
    read_json,
    wrong_type,
)
from imagegen.api.uploads import check_files, read_edit
from imagegen.api.worker import Drawing, Job
from imagegen.recipe import Recipe, png_bytes
from imagegen.storybook.caption import words

MOST_STORED = 64  # pictures that can still be fetched by their url

router = APIRouter()
decoding = asyncio.Semaphore(1)  # pictures are opened one after the other, for the memory's sake


@dataclass(frozen=True)
class Order:
    """A checked request, the recipes of its pictures, and the drawing of them."""

    request: PictureRequest
    recipes: tuple[Recipe, ...]  # as the pictures' files carry them
    drawing: Drawing
    event: str  # the first word of its events

    @property
    def drawn(self) -> str:
        """The size that the model draws."""
        return f"{self.recipes[0].width}x{self.recipes[0].height}"

    def details(self) -> dict:
        """What an answer says of its pictures."""
        width, height = self.drawing.size
        quality = self.request.quality
        return {
            "background": "opaque",
            "output_format": self.request.output_format,
            "quality": "medium" if quality in ("auto", "standard") else quality,
            "size": f"{width}x{height}",
        }

    def usage(self) -> dict:
        """Tokens as this server counts them: words in, and places of the latents times steps out.

        An input picture counts its places once.
        """
        recipe = self.recipes[0]
        cells = recipe.width * recipe.height // 64
        text = len(words(getattr(self.request, "prompt", "")))
        images = cells * len(self.drawing.sources)
        made = cells * recipe.steps * len(self.recipes)
        return {
            "input_tokens": text + images,
            "input_tokens_details": {"text_tokens": text, "image_tokens": images},
            "output_tokens": made,
            "total_tokens": text + images + made,
        }

    def file(self, image: Image.Image, recipe: Recipe | None = None) -> str:
        """A picture as a file in the wanted format, in base64; a PNG carries the recipe."""
        kind = self.request.output_format
        if kind == "png" and recipe:
            return base64.b64encode(png_bytes(image, recipe)).decode()
        data = io.BytesIO()
        lossy = {} if kind == "png" else {"quality": max(1, self.request.output_compression)}
        image.save(data, kind.upper(), **lossy)
        return base64.b64encode(data.getvalue()).decode()


@router.post("/v1/images/generations")
async def generations(request: Request):
    state = request.app.state
    wanted = read_picture_request(
        await read_json(request), "generations", state.today, state.emulate_retired
    )
    await state.faults.meet(request)
    async with place(request) as job:
        return await answer(request, job, order_of(wanted))


@router.post("/v1/images/edits")
async def edits(request: Request):
    return await edited(request, "edits")


@router.post("/v1/images/variations")
async def variations(request: Request):
    """DALL-E 2's: the same as an edit without a prompt and without a mask."""
    return await edited(request, "variations")


async def edited(request: Request, call: str):
    state = request.app.state
    form = content_type(request) != "application/json"
    if form:
        values, files = await read_form(request)
        for name in {"image", "mask"} & values.keys():
            raise wrong_type(name, "a file", values[name])
    else:
        values = await read_json(request, LARGEST_JSON_WITH_PICTURES)
        values, files = await asyncio.to_thread(split_pictures, values)
    wanted = read_picture_request(values, call, state.today, state.emulate_retired, form)
    check_files(wanted, files)
    await state.faults.meet(request)
    async with place(request) as job:
        order = await order_of_edit(wanted, files)
        return await answer(request, job, order)


def split_pictures(values: dict) -> tuple[dict, dict]:
    """The parameters and the pictures of an edit that comes as JSON."""
    values, files = dict(values), {}
    pictures, mask = values.pop("images", None), values.pop("mask", None)
    if pictures is not None and not isinstance(pictures, list):
        raise wrong_type("images", "an array", pictures)
    for name, references in (("image", pictures or []), ("mask", [mask] if mask else [])):
        for reference in references:
            if isinstance(reference, dict) and reference.get("file_id"):
                raise invalid("This server keeps no files: send an image_url.", name)
            url = reference.get("image_url") if isinstance(reference, dict) else reference
            files.setdefault(name, []).append(read_data_url(url, name))
    return values, files


def order_of(wanted: PictureRequest) -> Order:
    """The order of pictures from nothing but a prompt."""
    size = wanted.answer_size()
    recipes = tuple(wanted.recipes(size))
    return Order(wanted, recipes, Drawing(recipes, size, wanted.partial_images), "image_generation")


async def order_of_edit(wanted: PictureRequest, files: dict) -> Order:
    """The order of an edit, its pictures opened."""
    async with decoding:
        edit = await asyncio.to_thread(read_edit, wanted, files)
    recipes = tuple(wanted.recipes(edit.size, **edit.settings))
    # The pictures that are drawn from have been made smaller, and so have other fingerprints.
    drawn = tuple(replace(recipe, source=(), mask=None) for recipe in recipes)
    drawing = Drawing(drawn, edit.size, wanted.partial_images, edit.sources, edit.mask)
    return Order(wanted, recipes, drawing, "image_edit")


@router.get("/pictures/{name}")
async def picture(request: Request, name: str):
    """A picture by the url that a DALL-E model answered with."""
    data = request.app.state.pictures.get(name)
    if data is None:
        raise ApiError("This picture is not stored any more: draw it again.", status=404)
    return Response(base64.b64decode(data), media_type=f"image/{name.rpartition('.')[2]}")


@asynccontextmanager
async def place(request: Request) -> AsyncIterator[Job]:
    """A place in the queue while a request is answered; a stream keeps it until its end."""
    job = request.app.state.worker.admit()
    try:
        yield job
    finally:
        if not job.streamed:
            job.leave()


async def answer(request: Request, job: Job, order: Order) -> Response:
    """Draw in turn, and answer with all pictures at once or event by event."""
    job.begin(order.drawing)
    headers = {"x-imagegen-drawn-size": order.drawn}
    if order.request.stream:
        return EventStream(stream(job, order), job, headers)
    body = await unless_gone(request, collect(request, job, order))
    return JSONResponse(body, headers=headers)


class EventStream(StreamingResponse):
    """Server-sent events; however they end, and even if they never begin, the place is freed."""

    def __init__(self, events: AsyncIterator[str], job: Job, headers: dict[str, str]):
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self.job = job
        job.streamed = True

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.job.leave()


async def collect(request: Request, job: Job, order: Order) -> dict:
    """The body of an answer that comes at once."""
    data = {}
    async for _, number, image in job.events():
        recipe = order.recipes[number]
        file = await asyncio.to_thread(order.file, image, recipe)
        data[number] = {"revised_prompt": recipe.prompt}
        if order.request.by_url:
            data[number]["url"] = store_picture(request, order.request.output_format, file)
        else:
            data[number]["b64_json"] = file
    body = {"created": int(time.time()), "data": [data[number] for number in sorted(data)]}
    if order.request.details:
        body |= {**order.details(), "usage": order.usage()}
    return body


def store_picture(request: Request, kind: str, file: str) -> str:
    """Store a picture for a while; its url."""
    pictures: OrderedDict = request.app.state.pictures
    name = f"{time.time_ns()}.{kind}"
    pictures[name] = file
    while len(pictures) > MOST_STORED:
        pictures.popitem(last=False)
    return str(request.url_for("picture", name=name))


async def stream(job: Job, order: Order) -> AsyncIterator[str]:
    """The events of an answer that comes piece by piece."""
    try:
        async for kind, number, image in job.events():
            recipe = order.recipes[number] if kind == "picture" else None
            event = {
                "type": f"{order.event}.{'completed' if recipe else 'partial_image'}",
                "b64_json": await asyncio.to_thread(order.file, image, recipe),
                "created_at": int(time.time()),
                **order.details(),
            }
            event |= {"usage": order.usage()} if recipe else {"partial_image_index": number}
            yield server_event(event["type"], event)
    except ApiError as error:
        yield server_event("error", {"type": "error", **error.body})


def server_event(name: str, data: dict) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
