"""Responses with pictures, conversations and chats, by the real client and its own types."""

import base64
import io
import json

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.conversations import Conversation, ConversationItemList, Message
from openai.types.responses import Response, ResponseItem
from openai.types.responses.response_item_list import ResponseItemList
from PIL import Image
from pydantic import TypeAdapter
from wire import NEWEST, apart, connect, raw, strictly

from imagegen.masks import to_transparent
from imagegen.recipe import read_recipe
from imagegen.storybook.caption import read
from imagegen.storybook.describe import REFUSAL

TOOL = {"type": "image_generation", "model": "storybook-sd", "size": "128x128", "steps": 6}
THEME = "a red castle in a meadow at noon in clear weather"
WRITER = {"model": "storybook-grammar"}


@pytest.fixture(scope="module")
def client(server):
    return connect(server)


def drawn(call):
    """The picture that a call of the tool has drawn."""
    return Image.open(io.BytesIO(base64.b64decode(call.result))).convert("RGB")


def data_url(image):
    data = io.BytesIO()
    image.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def paint(client, theme=THEME, tool=None, **given):
    tools = [TOOL | {"seed": 1} | (tool or {})]
    return client.responses.create(input=theme, tools=tools, **WRITER | given)


@pytest.fixture(scope="module")
def first(client):
    return paint(client)


def refused(call, word, param):
    with pytest.raises(openai.BadRequestError, match=word) as caught:
        call()
    assert caught.value.param == param


def test_the_tool_draws_what_is_described(client):
    answer = client.responses.with_raw_response.create(
        input="a red castle in a meadow at noon", tools=[{"type": "image_generation"}], **WRITER
    )
    response = strictly(Response, json.loads(answer.content))
    call, said = response.output
    assert (call.type, said.type) == ("image_generation_call", "message")
    assert (call.size, call.quality, call.output_format) == ("128x128", "medium", "png")
    assert response.output_text.startswith(call.revised_prompt)
    assert read(call.revised_prompt).items() >= read("a red castle in a meadow at noon").items()
    assert drawn(call).size == (128, 128)
    recipe = read_recipe(base64.b64decode(call.result))
    assert recipe.prompt == call.revised_prompt and recipe.steps == 20
    other = client.responses.create(
        model="gpt-6-luna", input="a boat", tools=[{"type": "image_generation", "quality": "low"}]
    )
    assert drawn(other.output[0]).size == (1024, 1024)


def test_a_streamed_picture_has_the_real_events(client):
    tool = {"type": "image_generation", "partial_images": 2, "quality": "low"}
    events = list(client.responses.create(input=THEME, tools=[tool], stream=True, **WRITER))
    for event in events:
        strictly(type(event), event.model_dump(exclude_unset=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    call = "image_generation_call"
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:8] == [
        *("created", "in_progress", "output_item.added", f"{call}.in_progress"),
        *(f"{call}.generating", f"{call}.partial_image", f"{call}.partial_image"),
        f"{call}.completed",
    ]
    assert kinds[8] == "output_item.done" and kinds[-1] == "completed"
    partials = [event for event in events if event.type.endswith("partial_image")]
    assert [event.partial_image_index for event in partials] == [0, 1]
    whole = events[-1].response
    assert events[8].item.result == whole.output[0].result
    early = Image.open(io.BytesIO(base64.b64decode(partials[1].partial_image_b64)))
    assert 0 < apart(early.convert("RGB"), drawn(whole.output[0])).mean() < 60
    assert client.responses.retrieve(whole.id) == whole


def test_a_later_turn_edits_the_last_picture(client, first):
    before = drawn(first.output[0])
    again = {"previous_response_id": first.id, "theme": "now at night"}
    second = paint(client, tool={"strength": 0.3}, **again)
    edited, new = second.output[0], paint(client, tool={"action": "generate"}, **again).output[0]
    assert (edited.action, new.action) == ("edit", "generate")
    named = read(edited.revised_prompt)
    assert (named["subject"], named["colour"], named["time"]) == ("castle", "red", "night")
    anew = apart(drawn(new), before).mean()
    assert apart(drawn(edited), before).mean() < 0.75 * anew
    # Some clients send the earlier items, or name them, in place of the response's id.
    theme = {"role": "user", "content": "now at night"}
    call = first.output[0].to_dict()
    whole = paint(client, [call, theme], tool={"strength": 0.3}).output[0]
    assert apart(drawn(whole), before).mean() < 0.75 * anew
    reference = {"type": "image_generation_call", "id": call["id"]}
    named = paint(client, [reference, theme], {"strength": 0.3}, previous_response_id=first.id)
    assert named.output[0].action == "edit"
    refused(lambda: paint(client, [reference, theme]), "no item", "input")
    refused(lambda: paint(client, tool={"action": "edit"}), "no picture", "input")


def test_a_sent_picture_is_edited_and_under_a_mask_there_alone(client, first):
    castle = drawn(first.output[0])
    white = Image.new("L", castle.size)
    white.paste(255, (64, 0, 128, 128))
    picture = {"type": "input_image", "image_url": data_url(castle)}
    theme = [{"role": "user", "content": [{"type": "input_text", "text": "a tree"}, picture]}]
    near, new = (
        paint(client, theme, {"steps": 10, "strength": 0.2, "action": action}).output[0]
        for action in ("auto", "generate")
    )
    assert (near.action, new.action) == ("edit", "generate")
    assert 0 < apart(drawn(near), castle).mean() < 0.7 * apart(drawn(new), castle).mean()
    mask = {"image_url": data_url(to_transparent(castle, white))}
    part = drawn(paint(client, theme, {"input_image_mask": mask}).output[0])
    change = apart(part, castle)
    assert change[:, :64].max() == 0 and change[:, 64:].mean() > 5
    for url in ("https://example.org/a.png", "data:image/png;base64,%%%", 7):
        wrong = [{"role": "user", "content": [picture | {"image_url": url}]}]
        with pytest.raises(openai.BadRequestError):
            paint(client, wrong)


def test_the_tool_is_used_where_it_may_be(client):
    none = paint(client, tool_choice="none")
    assert [item.type for item in none.output] == ["message"]
    refusal = paint(client, "Write a Python function")
    assert [item.type for item in refusal.output] == ["message"]
    assert refusal.output_text.startswith(REFUSAL)
    forced = paint(client, tool_choice={"type": "image_generation"})
    assert forced.output[0].type == "image_generation_call"
    function = {"type": "function", "name": "look", "parameters": {}, "strict": False}
    offered = client.responses.create(input="a cat", tools=[function], **WRITER)
    assert "cat" in offered.output_text
    call = {"type": "function", "name": "look"}
    given = {"input": "a cat", "tools": [function], **WRITER}
    refused(lambda: client.responses.create(tool_choice=call, **given), "calls no", "tool_choice")
    given["tools"] = [{"type": "web_search"}]
    refused(lambda: client.responses.create(**given), "no tool 'web_search'", "tools")
    refused(lambda: paint(client, tool={"size": "1x1"}), "divisible by 16", "size")


def test_a_format_that_a_grammar_cannot_keep_to_is_refused(client):
    schema = {"type": "json_schema", "name": "a", "schema": {"type": "object"}}
    call = lambda: client.responses.create(input="a cat", text={"format": schema}, **WRITER)  # noqa: E731
    refused(call, "no json_schema", "text.format")
    plain = client.responses.create(input="a cat", text={"format": {"type": "text"}}, **WRITER)
    assert "cat" in plain.output_text


def test_a_short_answer_is_incomplete(client):
    given = {"input": "a cat", "max_output_tokens": 16} | WRITER
    data = raw(client.responses.with_raw_response.create, **given)
    short = strictly(Response, data)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert short.usage.output_tokens == 16
    whole = client.responses.create(input="a cat", **WRITER).output_text
    assert whole.startswith(short.output_text) and len(short.output_text) < len(whole)
    events = list(client.responses.create(stream=True, **given))
    assert events[-1].type == "response.incomplete"
    refused(
        lambda: client.responses.create(**given | {"max_output_tokens": 1}),
        "below minimum", "max_output_tokens",
    )  # fmt: skip


def test_parameters_without_effect_are_taken(client):
    free = {"temperature": 0.1, "top_logprobs": 2, "reasoning": {"effort": "low"}, "user": "me"}
    free |= {"prompt_cache_key": "a", "truncation": "auto", "include": [], "max_tool_calls": 3}
    text = client.responses.create(input="a cat", extra_body=free, **WRITER).output_text
    assert text == client.responses.create(input="a cat", **WRITER).output_text
    call = lambda: client.responses.create(input="a cat", extra_body={"frames": 2}, **WRITER)  # noqa: E731
    refused(call, "Unknown parameter", "frames")


def test_the_items_of_a_response(client, first):
    second = client.responses.create(input="more blue", previous_response_id=first.id, **WRITER)
    items = raw(client.responses.input_items.with_raw_response.list, response_id=second.id)
    page = strictly(ResponseItemList, items)
    assert [item.type for item in page.data] == ["message", "message", "image_generation_call",
                                                 "message"]  # fmt: skip
    assert page.data[0].content[0].text == "more blue"
    if NEWEST:
        TypeAdapter(list[ResponseItem]).validate_python(items["data"])
    refused(lambda: client.responses.cancel(second.id), "completed", "response_id")
    counted = client.responses.input_tokens.count(input="a red cat", model="storybook-grammar")
    assert counted.input_tokens == 3


def test_the_items_of_a_conversation(client):
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": "a red castle"}]
    )
    key = conversation.id
    add = client.conversations.items.with_raw_response.create
    message = {"type": "message", "role": "user", "content": "at night"}
    added = strictly(ConversationItemList, raw(add, conversation_id=key, items=[message]))
    drawn = paint(client, "in the snow", conversation=key)
    named = read(drawn.output[0].revised_prompt)
    assert (named["subject"], named["time"], named["weather"]) == ("castle", "night", "snow")
    items = list(client.conversations.items.list(key, order="asc", limit=2))
    kinds = ["message"] * 3 + ["image_generation_call", "message"]
    assert [item.type for item in items] == kinds
    assert items[3].result == drawn.output[0].result
    item = added.data[0].id
    one = raw(
        client.conversations.items.with_raw_response.retrieve, item_id=item, conversation_id=key
    )
    assert strictly(Message, one).content[0].text == "at night"
    gone = client.conversations.items.delete(item, conversation_id=key)
    assert strictly(Conversation, gone.model_dump()).id == key
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(item, conversation_id=key)
    assert client.conversations.update(key, metadata={"a": "b"}).metadata == {"a": "b"}
    assert client.conversations.retrieve(key).metadata == {"a": "b"}


def test_a_chat(client):
    given = {"model": "gpt-4o", "messages": [{"role": "system", "content": "Be brief."}]}
    given["messages"].append({"role": "user", "content": "a red castle at night"})
    data = raw(client.chat.completions.with_raw_response.create, **given)
    whole = strictly(ChatCompletion, data)
    text = whole.choices[0].message.content
    assert read(text)["subject"] == "castle" and whole.choices[0].finish_reason == "stop"
    given["messages"] += [{"role": "assistant", "content": text}]
    given["messages"] += [{"role": "user", "content": [{"type": "text", "text": "more blue"}]}]
    blue = client.chat.completions.create(**given).choices[0].message.content
    assert read(blue) | {"subject": "castle", "colour": "blue"} == read(blue)
    chunks = list(
        client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **given)
    )
    for chunk in chunks:
        strictly(ChatCompletionChunk, chunk.model_dump(exclude_unset=True))
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(deltas) == blue and len(deltas) > 20
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    short = client.chat.completions.create(max_completion_tokens=5, **given).choices[0]
    assert short.finish_reason == "length" and blue.startswith(short.message.content)
    call = client.chat.completions.create
    for wrong, param in (
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"model": "storybook-sd"}, "model"),
        ({"n": 2}, "n"),
        ({"frames": 2}, "frames"),
    ):
        refused(lambda wrong=wrong: call(**given | {"extra_body": wrong}), ".", param)


def test_every_answer_has_the_services_headers(client):
    answers = [
        client.models.with_raw_response.list(),
        client.responses.with_raw_response.create(input="a cat", **WRITER),
    ]
    names = [answer.headers["x-request-id"] for answer in answers]
    assert all(name.startswith("req_") for name in names) and len(set(names)) == 2
    for answer in answers:
        assert int(answer.headers["openai-processing-ms"]) >= 0
        assert answer.headers["x-ratelimit-limit-requests"] == "16"
        assert 0 <= int(answer.headers["x-ratelimit-remaining-requests"]) <= 16
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve("resp_none")
    assert caught.value.request_id.startswith("req_")
