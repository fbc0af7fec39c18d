"""The calls that answer with pictures: generations, edits, variations. Built on in chapter 11.

A picture is drawn at an eighth of the size asked for and enlarged, because storybook-sd draws 128
x 128 pixels; its own sizes are drawn as they are. revised_prompt says what the model was given.
"""

import asyncio
import base64
import io
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from PIL import Image

from imagegen.api.asked import Asked, Fields, drawn_size, read_asked, readable
from imagegen.api.bodies import read_form, read_json
from imagegen.api.errors import ApiError
from imagegen.api.painter import Drawing, Job, enlarge
from imagegen.storybook.caption import words

KEPT = 64  # pictures that can still be fetched by their url
PATIENCE = 600  # seconds that a request without an answer is held, as long as the client waits

router = APIRouter()


@dataclass
class Faults:
    """What the next requests for pictures meet, so that a learner can meet it: kind by kind."""

    next: list[str] = field(default_factory=list)

    async def meet(self, request: Request) -> None:
        """ApiError for the next fault in line; a timeout is an answer that never comes."""
        kind = self.next.pop(0) if self.next else None
        if kind == "timeout":
            await unless_gone(request, asyncio.sleep(PATIENCE))
        if kind:
            raise ApiError(**FAULTS[kind])


FAULTS = {
    "rate_limit": {
        "message": "Rate limit reached. Please try again in 1 s.",
        "status": 429,
        "type": "requests",
        "code": "rate_limit_exceeded",
        "retry_after": 1,
    },
    "moderation": {
        "message": "Your request was rejected by the safety system.",
        "status": 400,
        "type": "image_generation_user_error",
        "code": "moderation_blocked",
    },
    "server_error": {
        "message": "The server had an error while processing your request. Please try again.",
        "status": 500,
        "type": "server_error",
        "code": "server_error",
    },
    "timeout": {
        "message": "The server took too long to answer.",
        "status": 504,
        "type": "server_error",
        "code": "timeout",
    },
}


class Gone(Exception):
    """The client has left, so that there is nobody to answer."""


@dataclass(frozen=True)
class Order:
    """A checked request and all that its answer needs; finish: from the drawn size to the asked."""

    asked: Asked
    drawing: Drawing
    size: tuple[int, int]
    finish: Callable[[Image.Image], Image.Image]
    event: str  # the first word of its events

    def usage(self) -> dict:
        """Tokens as this server counts them: words in, and places of the latents times steps out.

        An input picture counts its places once.
        """
        drawing = self.drawing
        cells = drawing.size[0] * drawing.size[1] // 64
        text, images = len(words(self.asked.prompt)), cells * len(drawing.starts)
        made = cells * drawing.steps * len(drawing.seeds)
        return {
            "input_tokens": text + images,
            "input_tokens_details": {"text_tokens": text, "image_tokens": images},
            "output_tokens": made,
            "total_tokens": text + images + made,
        }


@router.post("/v1/images/generations")
async def generations(request: Request):
    state = request.app.state
    body = await read_json(request)
    asked = read_asked(Fields(body), "generations", state.today, state.emulate_retired)
    drawing = Drawing(
        readable(asked.prompt),
        tuple(range(asked.seed, asked.seed + asked.n)),
        drawn_size(asked.size),
        asked.steps,
        asked.guidance,
        asked.partial_images,
    )
    finish = lambda picture: enlarge(picture, asked.size)  # noqa: E731
    return await answer(request, Order(asked, drawing, asked.size, finish, "image_generation"))


@router.post("/v1/images/edits")
async def edits(request: Request):
    return await edited(request, "edits")


@router.post("/v1/images/variations")
async def variations(request: Request):
    """DALL-E 2's: the same as an edit without a prompt and without a mask."""
    return await edited(request, "variations")


async def edited(request: Request, call: str):
    state = request.app.state
    texts, files = await read_form(request)
    fields = Fields(texts, form=True)
    asked = read_asked(fields, call, state.today, state.emulate_retired)
    edit = await asyncio.to_thread(read_files, asked, files)
    drawing = Drawing(
        readable(asked.prompt),
        tuple(range(asked.seed, asked.seed + asked.n)),
        edit.starts[0].size,
        asked.steps,
        asked.guidance,
        asked.partial_images,
        edit.starts,
        edit.cells,
        edit.strength,
    )
    return await answer(request, Order(asked, drawing, edit.size, edit.finish, "image_edit"))


def read_files(asked, files):
    from imagegen.api.uploads import read_edit  # brings torch

    return read_edit(asked, files)


@router.get("/pictures/{name}")
async def picture(request: Request, name: str):
    """A picture by the url that a DALL-E model answered with."""
    data = request.app.state.pictures.get(name)
    if data is None:
        raise ApiError("This picture is not kept any more: draw it again.", status=404)
    return Response(data, media_type="image/png")


@router.post("/control/fail")
async def fail(request: Request):
    """Let the next requests for pictures meet a fault: {"kind": ..., "times": 1}."""
    fields = Fields(await read_json(request))
    kind = fields.choice("kind", tuple(FAULTS), "server_error")
    times = fields.whole("times", 0, 1000, 1)
    fields.rest()
    request.app.state.faults.next += [kind] * times
    return {"kind": kind, "times": times}


async def answer(request: Request, order: Order):
    """Draw in turn, and answer with all pictures at once or event by event."""
    await request.app.state.faults.meet(request)
    job = request.app.state.painter.admit(order.drawing)
    if order.asked.stream:
        return EventStream(stream(job, order), job.leave)
    try:
        return await unless_gone(request, collect(request, job, order))
    finally:
        job.leave()


async def unless_gone(request: Request, work):
    """What `work` gives; if the client leaves before, the work is cancelled and Gone raised."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=0.2)
            if not task.done() and await request.is_disconnected():
                raise Gone
        return task.result()
    finally:
        task.cancel()


class EventStream(StreamingResponse):
    """Server-sent events; however they end, and even if they never begin, the place is freed."""

    def __init__(self, events, leave: Callable[[], None]):
        super().__init__(events, media_type="text/event-stream")
        self.leave = leave

    async def __call__(self, scope, receive, send):
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.leave()


async def collect(request: Request, job: Job, order: Order) -> JSONResponse:
    asked, data = order.asked, []
    async for _, _, image, recipe in job.events():
        png = await asyncio.to_thread(encode, order, image, recipe)
        entry = {"revised_prompt": order.drawing.prompt}
        if asked.response_format == "url":
            entry["url"] = keep(request, f"{len(png)}-{time.time_ns()}.png", png)
        else:
            entry["b64_json"] = base64.b64encode(png).decode()
        data.append(entry)
    said = {"created": int(time.time()), "data": data}
    if asked.model.family not in ("dall-e-2", "dall-e-3"):
        said |= {
            "background": "opaque",
            "output_format": asked.output_format,
            "quality": asked.quality,
            "size": f"{order.size[0]}x{order.size[1]}",
            "usage": order.usage(),
        }
    return JSONResponse(said)


def keep(request: Request, name: str, data: bytes) -> str:
    """Keep a picture for a while; its url."""
    pictures: OrderedDict = request.app.state.pictures
    pictures[name] = data
    while len(pictures) > KEPT:
        pictures.popitem(last=False)
    return str(request.url_for("picture", name=name))


async def stream(job: Job, order: Order):
    asked = order.asked
    try:
        async for _, number, image, recipe in job.events():
            data = await asyncio.to_thread(encode, order, image, recipe)
            event = {
                "type": f"{order.event}.{'completed' if recipe else 'partial_image'}",
                "b64_json": base64.b64encode(data).decode(),
                "created_at": int(time.time()),
                "background": asked.background,
                "output_format": asked.output_format,
                "quality": asked.quality,
                "size": f"{order.size[0]}x{order.size[1]}",
            }
            event |= {"usage": order.usage()} if recipe else {"partial_image_index": number}
            yield server_event(event["type"], event)
    except ApiError as error:
        yield server_event("error", {"type": "error", **error.body})


def server_event(name: str, data: dict) -> str:
    """One server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def encode(order: Order, image: Image.Image, recipe: dict | None) -> bytes:
    """The finished picture as a file in the format asked for; a PNG carries its recipe."""
    image = order.finish(image)
    kind = order.asked.output_format
    if kind == "png" and recipe:
        from imagegen.pictures import png_with_recipe

        return png_with_recipe(image, recipe)
    file = io.BytesIO()
    lossy = {} if kind == "png" else {"quality": max(1, order.asked.compression)}
    image.save(file, kind.upper(), **lossy)
    return file.getvalue()
