"""The calls that answer with texts, and with pictures by a tool: responses and conversations.

The text comes from a seeded grammar, imagegen.storybook.describe, which is no language model: it
reads the themes of the user's messages and nothing else. Instructions, temperature and the like
have no effect. Given the tool image_generation it draws what it describes, and what comes later
changes the last picture. Used in chapter 12.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field, create_model

from imagegen.api import images
from imagegen.api.catalogue import IMAGES, find
from imagegen.api.conversation import (
    LONGEST,
    Memory,
    Stored,
    message,
    new_id,
    page,
    pictures_of,
    read_items,
    themes_of,
)
from imagegen.api.errors import ApiError, invalid
from imagegen.api.families import EDITS_ONLY, read_picture_request
from imagegen.api.request import (
    LARGEST_JSON_WITH_PICTURES,
    Body,
    WithMetadata,
    check,
    read_data_url,
    read_json,
    wrong_type,
)
from imagegen.api.uploads import check_files
from imagegen.recipe import LAST_SEED
from imagegen.storybook.caption import words
from imagegen.storybook.describe import REFUSAL, cut_off, describe

PAUSE = 0.01  # seconds between two words of a stream
NO_EFFECT = (
    *("background", "background_options", "context_management", "include", "max_tool_calls"),
    *("moderation", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_options"),
    *("prompt_cache_retention", "reasoning", "safety_identifier", "service_tier"),
    *("stream_options", "temperature", "top_logprobs", "top_p", "truncation", "user"),
)

router = APIRouter()


def without_effect(names: tuple[str, ...]) -> type[Body]:
    """A schema of parameters that are taken, whatever they say, and have no effect."""
    return create_model("NoEffect", __base__=Body, **{name: (Any, None) for name in names})


class TextRequest(without_effect(NO_EFFECT), WithMetadata):
    """What a request for a response may say."""

    model: str = Field(max_length=200)
    input: Any = None
    instructions: str | None = Field(None, max_length=LONGEST)
    conversation: Any = None
    previous_response_id: str | None = Field(None, max_length=100)
    stream: bool = False
    store: bool = True
    seed: int | None = Field(None, ge=0, le=LAST_SEED)
    max_output_tokens: int | None = Field(None, ge=16)
    text: dict = {}
    tools: list[dict] = []
    tool_choice: str | dict = "auto"


@dataclass(frozen=True)
class Turn:
    """A checked request for a response, and all that its answer needs."""

    response: dict  # as it begins
    text: str  # that it has
    length: int | None  # tokens after which it ends
    order: images.Order | None  # the picture, if one is drawn
    action: str  # "generate" or "edit"


@router.post("/v1/responses")
async def create(request: Request):
    state = request.app.state
    wanted = check(TextRequest, await read_json(request, LARGEST_JSON_WITH_PICTURES))
    model = find(wanted.model, state.today, state.emulate_retired)
    if model.draws:
        raise invalid(f"The model '{model.id}' draws pictures and writes no texts.", "model")
    refuse_formats(wanted.text.get("format"), "text.format")
    tool = drawing_tool(wanted)
    conversation, earlier = read_earlier(wanted, state.memory)
    new = await asyncio.to_thread(read_items, wanted.input, earlier)
    items = [*earlier, *new]
    themes = themes_of(items)
    if not themes or new[-1].get("role") != "user":
        raise invalid("The input must end with a message of the user.", "input")
    text = await asyncio.to_thread(describe, themes[-1], wanted.seed or 0, themes[:-1])
    response = begin(wanted, model.id, conversation)
    if tool is None or text.startswith(REFUSAL):
        turn = Turn(response, text, wanted.max_output_tokens, None, "")
        return await answer(request, wanted, turn, None, new, items)
    await state.faults.meet(request)
    async with images.place(request) as job:
        order, action = await order_picture(request, wanted, tool, text, items)
        turn = Turn(response, text, wanted.max_output_tokens, order, action)
        job.begin(order.drawing)
        return await answer(request, wanted, turn, job, new, items)


def refuse_formats(format: Any, param: str) -> None:
    """ApiError for a format of the text that a grammar cannot keep to, such as a JSON schema."""
    kind = format.get("type") if isinstance(format, dict) else format
    if kind not in (None, "text"):
        raise invalid(
            f"A grammar writes plain text and no {str(kind)[:40]}: use the format 'text'.", param
        )


def drawing_tool(wanted: TextRequest) -> dict | None:
    """The tool image_generation, if the request has it and lets it be used.

    Functions may be offered: the grammar never calls one, and so must not be forced to.
    """
    kinds = [tool.get("type") for tool in wanted.tools]
    for kind in kinds:
        if kind not in ("image_generation", "function", "custom"):
            raise invalid(f"This server has no tool '{str(kind)[:40]}'.", "tools")
    choice = wanted.tool_choice
    if isinstance(choice, dict):
        choice = choice.get("type")
    may_draw = "image_generation" in kinds and choice != "none"
    if choice not in ("auto", "none", "required", "image_generation", "allowed_tools"):
        raise invalid("A grammar calls no functions: let 'tool_choice' be auto.", "tool_choice")
    if choice in ("required", "image_generation") and not may_draw:
        raise invalid("There is no tool that a grammar could be made to use.", "tool_choice")
    return wanted.tools[kinds.index("image_generation")] if may_draw else None


def read_earlier(wanted: TextRequest, memory: Memory) -> tuple[str | None, list[dict]]:
    """The conversation's id, if any, and the items before: of it, or of a response."""
    conversation, previous = wanted.conversation, wanted.previous_response_id
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if conversation is not None and not isinstance(conversation, str):
        raise wrong_type("conversation", "an id", conversation)
    if conversation and previous:
        raise invalid(
            "'previous_response_id' cannot be used together with 'conversation'.",
            "previous_response_id",
            "mutually_exclusive_parameters",
        )
    if conversation:
        return conversation, list(memory.conversations.get(conversation, "conversation").items)
    if previous:
        return None, list(memory.responses.get(previous, "previous_response_id").items)
    return None, []


def begin(wanted: TextRequest, model: str, conversation: str | None) -> dict:
    """The response as it is before it has any text."""
    plain = {"parameters": None, "strict": None}  # what a function needs and may leave out
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": wanted.instructions or None,
        "max_output_tokens": wanted.max_output_tokens,
        "metadata": wanted.checked_metadata(),
        "model": model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": wanted.previous_response_id,
        "conversation": {"id": conversation} if conversation else None,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": wanted.tool_choice,
        "tools": [plain | t if t["type"] == "function" else t for t in wanted.tools],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
    }


async def order_picture(
    request: Request, wanted: TextRequest, tool: dict, text: str, items: list[dict]
) -> tuple[images.Order, str]:
    """The order of the picture that a text describes, and whether it is an edit."""
    state = request.app.state
    values = {name: value for name, value in tool.items() if name not in ("type", "action")}
    values.setdefault("model", IMAGES if "storybook" in wanted.model else "gpt-image-2.6-sunburst")
    values |= {"prompt": text.split(". ")[0], "stream": wanted.stream}
    if not wanted.stream:
        values.pop("partial_images", None)
    if wanted.seed is not None:
        values.setdefault("seed", wanted.seed)
    mask = values.pop("input_image_mask", None)
    action = tool.get("action") or "auto"
    if action not in ("generate", "edit", "auto"):
        raise invalid("The action is 'generate', 'edit' or 'auto'.", "tools.action")
    pictures = pictures_of(items) if action != "generate" else []
    if (action == "edit" or mask) and not pictures:
        raise invalid("There is no picture in this conversation to edit.", "input")
    call = "edits" if pictures else "generations"
    if not pictures:
        values = {name: value for name, value in values.items() if name not in EDITS_ONLY}
    drawn = read_picture_request(values, call, state.today, state.emulate_retired)
    if not pictures:
        return images.order_of(drawn), "generate"
    files = {"image": [read_data_url(url, "image_url") for url in pictures]}
    if mask:
        url = mask.get("image_url") if isinstance(mask, dict) else mask
        files["mask"] = [read_data_url(url, "input_image_mask")]
    check_files(drawn, files)
    return await images.order_of_edit(drawn, files), "edit"


async def answer(request, wanted: TextRequest, turn: Turn, job, new: list, items: list):
    """Write and draw, and answer with the response at once or event by event."""
    memory = request.app.state.memory

    async def events() -> AsyncIterator[tuple[str, dict]]:
        async for kind, data in run(turn, job, themes_of(items), PAUSE * wanted.stream):
            if kind in ("completed", "incomplete"):
                keep_response(memory, wanted, data["response"], new, items)
            yield kind, data

    if wanted.stream:
        sent = server_events(events(), turn)
        if job:
            return images.EventStream(sent, job, {})
        return StreamingResponse(sent, media_type="text/event-stream")

    async def last() -> dict:
        return [data async for _, data in events()][-1]["response"]

    return await images.unless_gone(request, last())


def keep_response(
    memory: Memory, wanted: TextRequest, response: dict, new: list, items: list
) -> None:
    """Store a response, and add its turn to the conversation that it belongs to."""
    if response["conversation"]:
        key = response["conversation"]["id"]
        stored = memory.conversations.get(key, "conversation")
        stored.items += [*new, *response["output"]]
        memory.conversations.put(key, stored)
    if wanted.store:
        memory.responses.put(response["id"], Stored(response, [*items, *response["output"]]))


async def run(
    turn: Turn, job: Any, themes: list[str], pause: float
) -> AsyncIterator[tuple[str, dict]]:
    """The events of a response as they happen, ("created", data) and so on.

    The last one holds the whole response. ApiError if the drawing fails.
    """
    response, output = turn.response, []
    yield "created", {"response": dict(response)}
    yield "in_progress", {"response": dict(response)}
    if turn.order:
        async for kind, data in draw(turn, job):
            yield kind, data
        output.append(data["item"])
    text = cut_off(turn.text, turn.length) if turn.length else turn.text
    status = "completed" if text == turn.text else "incomplete"
    item = message("assistant", text, status)
    place = {"item_id": item["id"], "output_index": len(output), "content_index": 0}
    begun, part = item | {"status": "in_progress", "content": []}, item["content"][0]
    yield "output_item.added", {"output_index": len(output), "item": begun}
    yield "content_part.added", {**place, "part": part | {"text": ""}}
    for number, word in enumerate(text.split(" ")):
        delta = f" {word}" if number else word
        yield "output_text.delta", {**place, "delta": delta, "logprobs": []}
        await asyncio.sleep(pause)
    yield "output_text.done", {**place, "text": text, "logprobs": []}
    yield "content_part.done", {**place, "part": part}
    yield "output_item.done", {"output_index": len(output), "item": item}
    reason = None if status == "completed" else {"reason": "max_output_tokens"}
    whole = response | {"status": status, "incomplete_details": reason}
    yield status, {"response": whole | {"output": [*output, item], "usage": usage(themes, text)}}


async def draw(turn: Turn, job: Any) -> AsyncIterator[tuple[str, dict]]:
    """The events of a picture; the last one holds it as an item."""
    order, call = turn.order, "image_generation_call"
    item = {"id": new_id("ig"), "type": call, "status": "in_progress", "result": None}
    place = {"item_id": item["id"], "output_index": 0}
    yield "output_item.added", {"output_index": 0, "item": item}
    yield f"{call}.in_progress", place
    yield f"{call}.generating", place
    async for kind, number, image in job.events():
        recipe = order.recipes[number] if kind == "picture" else None
        file = await asyncio.to_thread(order.file, image, recipe)
        if not recipe:
            partial = {"partial_image_index": number, "partial_image_b64": file}
            yield f"{call}.partial_image", {**place, **partial, **order.details()}
            continue
        yield f"{call}.completed", place
        done = {"status": "completed", "result": file, "action": turn.action}
        done |= {"revised_prompt": recipe.prompt, **order.details()}
        yield "output_item.done", {"output_index": 0, "item": item | done}


async def server_events(events: AsyncIterator, turn: Turn) -> AsyncIterator[str]:
    """The events numbered, as they are sent; a failure is the last of them."""
    number = 0
    try:
        async for kind, data in events:
            yield server_event(kind, number, data)
            number += 1
    except ApiError as error:
        reason = {"code": "server_error", "message": error.body["error"]["message"]}
        failed = turn.response | {"status": "failed", "error": reason}
        yield server_event("failed", number, {"response": failed})


def server_event(kind: str, number: int, data: dict) -> str:
    event = {"type": f"response.{kind}", "sequence_number": number, **data}
    return images.server_event(event["type"], event)


def usage(themes: list[str], text: str) -> dict:
    """Tokens as this server counts them: words and punctuation marks."""
    read, written = sum(len(words(theme)) for theme in themes), len(words(text))
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


@router.post("/v1/responses/input_tokens")
async def count_tokens(request: Request):
    wanted = check(TextRequest, await read_json(request, LARGEST_JSON_WITH_PICTURES))
    _, earlier = read_earlier(wanted, request.app.state.memory)
    items = [*earlier, *await asyncio.to_thread(read_items, wanted.input, earlier)]
    tokens = usage(themes_of(items), "")["input_tokens"]
    return {"object": "response.input_tokens", "input_tokens": tokens}


@router.get("/v1/responses/{key}")
async def retrieve(request: Request, key: str):
    return request.app.state.memory.responses.get(key, "response_id").shown


@router.delete("/v1/responses/{key}")
async def delete(request: Request, key: str):
    request.app.state.memory.responses.delete(key, "response_id")
    return {"id": key, "object": "response", "deleted": True}


@router.get("/v1/responses/{key}/input_items")
async def input_items(request: Request, key: str):
    stored = request.app.state.memory.responses.get(key, "response_id")
    count = len(stored.items) - len(stored.shown["output"])
    return page(stored.items[:count], dict(request.query_params))


@router.post("/v1/responses/{key}/cancel")
async def cancel(request: Request, key: str):
    request.app.state.memory.responses.get(key, "response_id")
    raise invalid("Cannot cancel a response that is completed.", "response_id")
