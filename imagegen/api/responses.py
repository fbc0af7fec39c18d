"""The calls that answer with texts: a theme becomes the description of a painting.

The text comes from a seeded grammar, imagegen.storybook.describe, which is no language model: it hears
the themes that users have said and nothing else. Instructions, temperature and the like are taken
and have no effect. Used in chapter 12.
"""

import asyncio
import json
import time
import uuid
from collections import OrderedDict

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from imagegen.api.asked import Fields, wrong_type
from imagegen.api.bodies import read_json
from imagegen.storybook.describe import describe
from imagegen.api.errors import ApiError, invalid
from imagegen.api.models import find
from imagegen.storybook.caption import words

KEPT = 1000  # responses, and conversations, that are remembered
PAUSE = 0.01  # seconds between two words of a stream
LONGEST = 32_000  # characters of one text
IGNORED = (
    *("temperature", "top_p", "max_output_tokens", "text", "reasoning", "truncation", "include"),
    *("service_tier", "parallel_tool_calls", "tool_choice", "stream_options", "user"),
    *("safety_identifier", "prompt_cache_key", "background"),
)

router = APIRouter()


class Memory:
    """What the server remembers until it is stopped: the last responses and conversations."""

    def __init__(self):
        self.responses = OrderedDict()  # id -> (response, the items that led to it and its own)
        self.conversations = OrderedDict()  # id -> (conversation, its items)


def store_last(store: OrderedDict, key: str, value) -> None:
    store[key] = value
    while len(store) > KEPT:
        store.popitem(last=False)


def recall(store: OrderedDict, key: str, param: str):
    """What is remembered under an id; ApiError 404 if nothing is."""
    if key in store:
        return store[key]
    kind = "Conversation" if param == "conversation" else "Response"
    raise ApiError(f"{kind} with id '{key[:80]}' not found.", param, "not_found", status=404)


@router.post("/v1/responses")
async def create(request: Request):
    state = request.app.state
    fields = Fields(await read_json(request))
    model = find(fields.text("model", 200), state.today, state.emulate_retired)
    if model.draws:
        raise invalid(f"The model '{model.id}' draws pictures and writes no texts.", "model")
    instructions = fields.text("instructions", LONGEST, "")
    new = read_input(fields.take("input"))
    conversation, earlier = read_earlier(fields, state.memory)
    metadata = read_metadata(fields)
    streamed = fields.flag("stream")
    stored = fields.take("store") is not False
    seed = fields.whole("seed", 0, 2**32 - 1, 0)
    if fields.take("tools"):
        raise invalid("A grammar has no tools: leave 'tools' out.", "tools")
    for name in IGNORED:
        fields.take(name)
    fields.rest()

    themes = [text_of(item) for item in [*earlier, *new] if item["role"] == "user"]
    if not themes or not new or new[-1]["role"] != "user":
        raise invalid("The input must end with a message of the user.", "input")
    text = describe(themes[-1], seed, themes[:-1])
    spoken = message("assistant", text)
    response = {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": instructions or None,
        "metadata": metadata,
        "model": model.id,
        "output": [spoken],
        "parallel_tool_calls": True,
        "previous_response_id": fields.body.get("previous_response_id"),
        "conversation": {"id": conversation} if conversation else None,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": usage(themes, text),
    }
    if conversation:
        earlier.extend([*new, spoken])  # the conversation's own list
    if stored:
        store_last(state.memory.responses, response["id"], (response, [*earlier, *new, spoken]))
    if streamed:
        return StreamingResponse(events(response), media_type="text/event-stream")
    return response


def read_input(given) -> list[dict]:
    """The input, a text or a list of messages, as items."""
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if given is None:
        raise invalid("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    if not isinstance(given, list):
        raise wrong_type("input", "a string or an array", given)
    if not given:
        raise invalid("Invalid 'input': it is empty.", "input")
    return [read_message(item) for item in given]


def read_message(given) -> dict:
    """One message of the input, {"role": ..., "content": a text or a list of texts}."""
    if not isinstance(given, dict) or given.get("type", "message") != "message":
        raise invalid('Each item of the input is a message, {"role", "content"}.', "input")
    role, content = given.get("role"), given.get("content")
    if role not in ("user", "assistant", "system", "developer"):
        raise invalid("The role of a message is user, assistant, system or developer.", "input")
    if isinstance(content, list):
        texts = []
        for part in content:
            if not isinstance(part, dict) or part.get("type") not in ("input_text", "output_text"):
                raise invalid("This server reads texts alone: input_text.", "input")
            texts.append(part.get("text"))
    else:
        texts = [content]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise invalid("The content of a message is a text.", "input", "invalid_type")
    text = " ".join(texts)
    if not text.strip() or len(text) > LONGEST:
        raise invalid(f"A message has from 1 to {LONGEST:,} characters.", "input")
    return message(role, text)


def message(role: str, text: str) -> dict:
    """An item of a conversation, in the form in which it is kept and shown."""
    part = {"type": "input_text", "text": text}
    if role == "assistant":
        part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": role}
    return item | {"status": "completed", "content": [part]}


def text_of(item: dict) -> str:
    return item["content"][0]["text"]


def read_earlier(fields: Fields, memory: Memory) -> tuple[str | None, list[dict]]:
    """The conversation's id, if any, and the items that came before: of it, or of a response."""
    conversation = fields.take("conversation")
    previous = fields.text("previous_response_id", 100, "")
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
        return conversation, recall(memory.conversations, conversation, "conversation")[1]
    if previous:
        return None, list(recall(memory.responses, previous, "previous_response_id")[1])
    return None, []


def read_metadata(fields: Fields) -> dict:
    """Up to 16 pairs of texts, which are given back as they came."""
    given = fields.take("metadata") or {}
    if not isinstance(given, dict):
        raise wrong_type("metadata", "an object", given)
    short = all(isinstance(v, str) and len(v) <= 512 and len(k) <= 64 for k, v in given.items())
    if len(given) > 16 or not short:
        raise invalid("Metadata has at most 16 pairs of short texts.", "metadata")
    return given


def usage(themes: list[str], text: str) -> dict:
    """Tokens as this server counts them: words and punctuation marks."""
    heard, said = sum(len(words(theme)) for theme in themes), len(words(text))
    return {
        "input_tokens": heard,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": heard + said,
    }


async def events(response: dict):
    """The response as server-sent events, word by word."""
    item = response["output"][0]
    part = item["content"][0]
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    number = 0

    def event(kind, **data):
        nonlocal number
        data = {"type": f"response.{kind}", "sequence_number": number, **data}
        number += 1
        return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n"

    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    empty = item | {"status": "in_progress", "content": []}
    yield event("output_item.added", output_index=0, item=empty)
    yield event("content_part.added", **at, part=part | {"text": ""})
    for word in part["text"].split(" "):
        first = word if number == 4 else f" {word}"
        yield event("output_text.delta", **at, delta=first, logprobs=[])
        await asyncio.sleep(PAUSE)
    yield event("output_text.done", **at, text=part["text"], logprobs=[])
    yield event("content_part.done", **at, part=part)
    yield event("output_item.done", output_index=0, item=item)
    yield event("completed", response=response)


@router.get("/v1/responses/{key}")
async def retrieve(request: Request, key: str):
    return recall(request.app.state.memory.responses, key, "response_id")[0]


@router.delete("/v1/responses/{key}")
async def delete(request: Request, key: str):
    recall(request.app.state.memory.responses, key, "response_id")
    del request.app.state.memory.responses[key]
    return {"id": key, "object": "response", "deleted": True}


@router.post("/v1/conversations")
async def create_conversation(request: Request):
    fields = Fields(await read_json(request))
    items = fields.take("items")
    metadata = read_metadata(fields)
    fields.rest()
    conversation = {"id": f"conv_{uuid.uuid4().hex}", "object": "conversation"}
    conversation |= {"created_at": int(time.time()), "metadata": metadata}
    kept = (conversation, read_input(items) if items else [])
    store_last(request.app.state.memory.conversations, conversation["id"], kept)
    return conversation


@router.get("/v1/conversations/{key}")
async def retrieve_conversation(request: Request, key: str):
    return recall(request.app.state.memory.conversations, key, "conversation")[0]


@router.delete("/v1/conversations/{key}")
async def delete_conversation(request: Request, key: str):
    recall(request.app.state.memory.conversations, key, "conversation")
    del request.app.state.memory.conversations[key]
    return {"id": key, "object": "conversation.deleted", "deleted": True}


@router.get("/v1/conversations/{key}/items")
async def conversation_items(request: Request, key: str):
    """The messages of a conversation, the newest first unless order=asc, page by page."""
    items = list(recall(request.app.state.memory.conversations, key, "conversation")[1])
    fields = Fields(dict(request.query_params), form=True)
    if fields.choice("order", ("asc", "desc"), "desc") == "desc":
        items.reverse()
    limit, after = fields.whole("limit", 1, 100, 20), fields.text("after", 100, "")
    ids = [item["id"] for item in items]
    if after:
        if after not in ids:
            raise invalid(f"There is no item '{after}' in this conversation.", "after")
        items = items[ids.index(after) + 1 :]
    page = items[:limit]
    ends = {"first_id": page[0]["id"] if page else "", "last_id": page[-1]["id"] if page else ""}
    return {"object": "list", "data": page, "has_more": len(items) > limit, **ends}
