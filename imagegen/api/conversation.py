"""Messages and pictures as items of a conversation: read, stored, and shown page by page.

An item is a message {"role", "content": [part, ...]} or an image_generation_call, the picture that
an earlier answer drew. The server stores the latest ones until it is stopped.
"""

import asyncio
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from imagegen.api.errors import ApiError, invalid
from imagegen.api.request import (
    LARGEST_JSON_WITH_PICTURES,
    Body,
    WithMetadata,
    check,
    read_data_url,
    read_json,
    wrong_type,
)

MOST_STORED, MOST_CHARACTERS = 1000, 200_000_000  # of responses, and of conversations
LONGEST = 32_000  # characters of one message
ROLES = ("user", "assistant", "system", "developer")
router = APIRouter()

TEXT_PARTS = ("input_text", "output_text", "text")


@dataclass
class Stored:
    """A response or conversation as it is shown, and the items that belong to it."""

    shown: dict
    items: list[dict]

    @property
    def characters(self) -> int:
        """How much memory it takes; pictures are long texts here."""
        return sum(
            len(item.get("result") or "") + sum(len(str(part)) for part in item.get("content", []))
            for item in self.items
        )


class Store:
    """The latest of what was put in; the oldest goes when there are too many or too long ones."""

    def __init__(self, kind: str):
        self.kind = kind  # as errors name it
        self.entries: OrderedDict[str, tuple[Stored, int]] = OrderedDict()

    def put(self, key: str, stored: Stored) -> None:
        self.entries.pop(key, None)
        self.entries[key] = (stored, stored.characters)
        while len(self.entries) > MOST_STORED or (
            len(self.entries) > 1
            and sum(characters for _, characters in self.entries.values()) > MOST_CHARACTERS
        ):
            self.entries.popitem(last=False)

    def get(self, key: str, param: str) -> Stored:
        """What is stored under an id; ApiError 404 if nothing is."""
        if key in self.entries:
            return self.entries[key][0]
        message = f"{self.kind} with id '{key[:80]}' not found."
        raise ApiError(message, param, "not_found", status=404)

    def delete(self, key: str, param: str) -> None:
        self.get(key, param)
        del self.entries[key]


@dataclass
class Memory:
    """What the server remembers until it is stopped."""

    responses: Store = field(default_factory=lambda: Store("Response"))
    conversations: Store = field(default_factory=lambda: Store("Conversation"))


def read_items(given: Any, stored: list[dict] = ()) -> list[dict]:
    """The input, a text or a list of items, as items; stored: those that it may refer to."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if given is None:
        raise invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if not isinstance(given, list):
        raise wrong_type("input", "a string or an array", given)
    if not given:
        raise invalid("Invalid 'input': it is empty.", "input")
    return [read_item(item, stored) for item in given]


def read_item(given: Any, stored: list[dict] = ()) -> dict:
    """One item of the input: a message, an earlier picture, or a reference to either."""
    kind = given.get("type", "message") if isinstance(given, dict) else None
    if kind in ("item_reference", "image_generation_call") and not given.get("result"):
        for item in stored:
            if item["id"] == given.get("id"):
                return item
        raise invalid(f"There is no item '{str(given.get('id'))[:80]}' to refer to.", "input")
    if kind == "image_generation_call":
        if not isinstance(given["result"], str):
            raise wrong_type("input", "a picture in base64", given["result"])
        item = {"id": str(given.get("id") or new_id("ig")), "type": kind, "status": "completed"}
        return item | {"result": given["result"]}
    if kind != "message":
        raise invalid('Each item of the input is a message, {"role", "content"}.', "input")
    return read_message(given)


def read_message(given: dict) -> dict:
    """One message, {"role": ..., "content": a text or a list of texts and pictures}."""
    role, content = given.get("role"), given.get("content")
    if role not in ROLES:
        raise invalid(f"The role of a message is {', '.join(ROLES[:-1])} or {ROLES[-1]}.", "input")
    texts, images = [content], []
    if isinstance(content, list):
        texts = []
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind in TEXT_PARTS:
                texts.append(part.get("text"))
            elif kind == "refusal":
                texts.append(part.get("refusal"))
            elif kind == "input_image":
                images.append(read_image(part))
            else:
                raise invalid(
                    "This server reads texts and pictures: input_text and input_image.", "input"
                )
    if not (texts or images) or not all(isinstance(text, str) for text in texts):
        raise invalid("The content of a message is a text.", "input", "invalid_type")
    text = " ".join(texts)
    if not (text.strip() or images) or len(text) > LONGEST:
        raise invalid(f"A message has from 1 to {LONGEST:,} characters.", "input")
    return message(role, text, images=images)


def read_image(part: dict) -> dict:
    """A picture in a message."""
    if part.get("file_id"):
        raise invalid("This server keeps no files: send an image_url.", "input")
    read_data_url(part.get("image_url"), "image_url")  # an ApiError now, rather than later
    return {"type": "input_image", "image_url": part["image_url"], "detail": "auto"}


def new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"


def message(role: str, text: str, status: str = "completed", images: list[dict] = ()) -> dict:
    """A message as an item, in the form in which it is stored and shown."""
    part = {"type": "input_text", "text": text}
    if role == "assistant":
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": new_id("msg"), "type": "message", "role": role, "status": status}
    return item | {"content": [part, *images]}


def text_of(item: dict) -> str:
    """The words of a message."""
    return item["content"][0]["text"]


def themes_of(items: list[dict]) -> list[str]:
    """The words of the user's messages, oldest first."""
    return [text_of(item) for item in items if item.get("role") == "user"]


def pictures_of(items: list[dict]) -> list[str]:
    """The pictures that an edit begins with, as data URLs: the latest, sent or drawn."""
    for item in reversed(items):
        if item.get("result"):
            return [f"data:image/png;base64,{item['result']}"]
        sent = [p["image_url"] for p in item.get("content", []) if p["type"] == "input_image"]
        if sent:
            return sent
    return []


class Page(Body):
    """Which part of a list is wanted."""

    order: Literal["asc", "desc"] = "desc"
    limit: int = Field(20, ge=1, le=100)
    after: str = Field("", max_length=100)
    include: Any = None


def page(items: list[dict], query: dict) -> dict:
    """Items as a list, the newest first unless order=asc, from after an item on."""
    wanted = check(Page, {name.removesuffix("[]"): value for name, value in query.items()}, True)
    items = items[::-1] if wanted.order == "desc" else items
    if wanted.after:
        ids = [item["id"] for item in items]
        if wanted.after not in ids:
            raise invalid(f"There is no item '{wanted.after}' in this list.", "after")
        items = items[ids.index(wanted.after) + 1 :]
    shown = items[: wanted.limit]
    return {
        "object": "list",
        "data": shown,
        "has_more": len(items) > wanted.limit,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
    }


class ConversationRequest(WithMetadata):
    """What a request for a new conversation may say."""

    items: Any = None


@router.post("/v1/conversations")
async def create_conversation(request: Request):
    body = await read_json(request, LARGEST_JSON_WITH_PICTURES)
    wanted = check(ConversationRequest, body)
    shown = {"id": new_id("conv"), "object": "conversation", "created_at": int(time.time())}
    shown |= {"metadata": wanted.checked_metadata()}
    items = await asyncio.to_thread(read_items, wanted.items) if wanted.items else []
    request.app.state.memory.conversations.put(shown["id"], Stored(shown, items))
    return shown


def conversation_of(request: Request, key: str) -> Stored:
    return request.app.state.memory.conversations.get(key, "conversation")


@router.get("/v1/conversations/{key}")
async def retrieve_conversation(request: Request, key: str):
    return conversation_of(request, key).shown


@router.post("/v1/conversations/{key}")
async def update_conversation(request: Request, key: str):
    wanted = check(WithMetadata, await read_json(request))
    stored = conversation_of(request, key)
    stored.shown = stored.shown | {"metadata": wanted.checked_metadata()}
    return stored.shown


@router.delete("/v1/conversations/{key}")
async def delete_conversation(request: Request, key: str):
    request.app.state.memory.conversations.delete(key, "conversation")
    return {"id": key, "object": "conversation.deleted", "deleted": True}


@router.get("/v1/conversations/{key}/items")
async def conversation_items(request: Request, key: str):
    return page(conversation_of(request, key).items, dict(request.query_params))


@router.post("/v1/conversations/{key}/items")
async def add_items(request: Request, key: str):
    wanted = check(ConversationRequest, await read_json(request, LARGEST_JSON_WITH_PICTURES))
    stored = conversation_of(request, key)
    new = await asyncio.to_thread(read_items, wanted.items, stored.items)
    stored.items += new
    request.app.state.memory.conversations.put(key, stored)
    return page(new, {"order": "asc", "limit": "100"})


@router.get("/v1/conversations/{key}/items/{item}")
async def retrieve_item(request: Request, key: str, item: str):
    for found in conversation_of(request, key).items:
        if found["id"] == item:
            return found
    raise ApiError(f"Item with id '{item[:80]}' not found.", "item_id", "not_found", status=404)


@router.delete("/v1/conversations/{key}/items/{item}")
async def delete_item(request: Request, key: str, item: str):
    found = await retrieve_item(request, key, item)
    stored = conversation_of(request, key)
    stored.items.remove(found)
    return stored.shown
