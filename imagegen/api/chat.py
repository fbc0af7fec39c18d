"""The older call for texts, /v1/chat/completions, which some libraries know alone.

It stores nothing: the client sends the whole conversation each time. Chapter 12 uses the newer
call, responses.py.
"""

import asyncio
import json
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from imagegen.api.catalogue import find
from imagegen.api.conversation import new_id, read_message, themes_of
from imagegen.api.errors import invalid
from imagegen.api.request import LARGEST_JSON_WITH_PICTURES, WithMetadata, check, read_json
from imagegen.api.responses import PAUSE, refuse_formats, usage, without_effect
from imagegen.recipe import LAST_SEED
from imagegen.storybook.describe import cut_off, describe

NO_EFFECT = (
    *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
    *("modalities", "moderation", "parallel_tool_calls", "prediction", "presence_penalty"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort"),
    *("safety_identifier", "service_tier", "stop", "store", "temperature", "top_logprobs"),
    *("top_p", "user", "verbosity", "web_search_options"),
)

router = APIRouter()


class ChatRequest(without_effect(NO_EFFECT), WithMetadata):
    """What a request for a completion may say."""

    model: str = Field(max_length=200)
    messages: list[dict] = Field(min_length=1)
    n: int = Field(1, ge=1, le=1)
    seed: int = Field(0, ge=0, le=LAST_SEED)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: Any = None
    stream: bool = False
    stream_options: dict = {}
    tools: list[dict] = []
    tool_choice: str | dict = "auto"


@router.post("/v1/chat/completions")
async def complete(request: Request):
    state = request.app.state
    wanted = check(ChatRequest, await read_json(request, LARGEST_JSON_WITH_PICTURES))
    model = find(wanted.model, state.today, state.emulate_retired)
    if model.draws:
        raise invalid(f"The model '{model.id}' draws pictures and writes no texts.", "model")
    refuse_formats(wanted.response_format, "response_format")
    if wanted.tool_choice not in ("auto", "none"):
        raise invalid("A grammar calls no functions: let 'tool_choice' be auto.", "tool_choice")
    themes = await asyncio.to_thread(themes_of, list(map(read_message, wanted.messages)))
    if not themes or wanted.messages[-1].get("role") != "user":
        raise invalid("The messages must end with one of the user.", "messages")
    whole = await asyncio.to_thread(describe, themes[-1], wanted.seed, themes[:-1])
    length = wanted.max_completion_tokens or wanted.max_tokens
    text = cut_off(whole, length) if length else whole
    reason = "stop" if text == whole else "length"
    counted = usage(themes, text)
    tokens = {
        "prompt_tokens": counted["input_tokens"],
        "completion_tokens": counted["output_tokens"],
        "total_tokens": counted["total_tokens"],
    }
    about = {"id": new_id("chatcmpl"), "created": int(time.time()), "model": model.id}
    if wanted.stream:
        counts = tokens if wanted.stream_options.get("include_usage") else None
        return StreamingResponse(
            chunks(about, text, reason, counts), media_type="text/event-stream"
        )
    answer = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": answer, "finish_reason": reason, "logprobs": None}
    return {"object": "chat.completion", **about, "choices": [choice], "usage": tokens}


async def chunks(about: dict, text: str, reason: str, tokens: dict | None):
    """The completion as server-sent events, word by word."""

    def chunk(delta: dict | None, reason: str | None = None, **usage) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        choices = [] if delta is None else [choice]
        event = {"object": "chat.completion.chunk", **about, "choices": choices, **usage}
        return f"data: {json.dumps(event)}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    for number, word in enumerate(text.split(" ")):
        yield chunk({"content": f" {word}" if number else word})
        await asyncio.sleep(PAUSE)
    yield chunk({}, reason)
    if tokens:
        yield chunk(None, usage=tokens)
    yield "data: [DONE]\n\n"
