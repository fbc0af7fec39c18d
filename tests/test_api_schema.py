"""Every kind of answer and event, as it crosses the wire, against the schema in openapi.yaml."""

import json
from pathlib import Path

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from PIL import Image
from wire import as_file

API = yaml.safe_load((Path(__file__).parent / "openapi.yaml").read_text(encoding="utf-8"))
SCHEMAS = API["components"]["schemas"]
PICTURE = {"model": "storybook-sd", "prompt": "a cat", "steps": 6, "seed": 1}
WRITE = {"model": "storybook-grammar", "input": "a cat"}
CHAT = {"model": "storybook-grammar", "messages": [{"role": "user", "content": "a cat"}]}
STREAM = {"stream": True, "partial_images": 1}
TOOL = {"type": "image_generation", "model": "storybook-sd", "size": "128x128", "steps": 6}
ANSWERS = {  # name: (method, path, body, schema)
    "models": ("GET", "models", None, "ListModels"),
    "a model": ("GET", "models/storybook-sd", None, "Model"),
    "a picture": ("POST", "images/generations", PICTURE, "ImagesResponse"),
    "an edit": ("POST", "images/edits", PICTURE, "ImagesResponse"),
    "a description": ("POST", "responses", WRITE, "Response"),
    "half of it": ("POST", "responses", WRITE | {"max_output_tokens": 16}, "Response"),
    "a drawing": ("POST", "responses", WRITE | {"tools": [TOOL]}, "Response"),
    "a chat": ("POST", "chat/completions", CHAT, "ChatCompletion"),
    "no such model": ("POST", "images/generations", PICTURE | {"model": "x"}, "Error"),
    "a wrong n": ("POST", "images/generations", PICTURE | {"n": 0}, "Error"),
    "no such call": ("GET", "nothing", None, "Error"),
    "no such response": ("GET", "responses/resp_0", None, "Error"),
    "no input": ("POST", "responses", {"model": "storybook-grammar"}, "Error"),
}
PARTS = {"content_part.added", "output_text.delta", "output_text.done", "content_part.done"}
TEXT = {"created", "in_progress", "output_item.added", "output_item.done", "completed"} | PARTS
CALL = {"in_progress", "generating", "partial_image", "completed"}
STREAMS = {  # name: (path, body, the kinds of events)
    "pictures": (
        "images/generations",
        PICTURE | STREAM,
        {"image_generation.partial_image", "image_generation.completed"},
    ),
    "edits": (
        "images/edits",
        PICTURE | STREAM,
        {"image_edit.partial_image", "image_edit.completed"},
    ),
    "descriptions": (
        "responses",
        WRITE | {"stream": True},
        {f"response.{name}" for name in TEXT},
    ),
    "drawings": (
        "responses",
        WRITE | {"stream": True, "tools": [TOOL | {"partial_images": 1}]},
        {f"response.{name}" for name in TEXT}
        | {f"response.image_generation_call.{name}" for name in CALL},
    ),
    "chats": ("chat/completions", CHAT | {"stream": True}, {"chat.completion.chunk"}),
}


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server.url, timeout=300, trust_env=False) as client:
        yield client


def asked(client, method, path, body):
    """The answer to a request; an edit sends its picture in a form."""
    if path != "images/edits":
        return client.request(method, path, json=body)
    files = {"image": (*as_file(Image.new("RGB", (128, 128), "teal")), "image/png")}
    return client.post(path, data=body | {"stream": str("stream" in body).lower()}, files=files)


def check(data, name):
    """Data against a schema; and the schema against the same data without a needed field."""
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **API})
    wrong = [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(data)]
    assert wrong == [], name
    for field in SCHEMAS[name]["required"]:
        rest = {key: value for key, value in data.items() if key != field}
        assert not validator.is_valid(rest), f"{name} does without {field}"


def events(text):
    """The events of a stream; the last line of a chat's is no event."""
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines())
        if lines["data"] == "[DONE]":
            continue
        data = json.loads(lines["data"])
        assert lines.get("event", data.get("type")) == data.get("type")
        yield data


def test_the_schemas_are_schemas():
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_as_the_schema_says(client, name):
    method, path, body, schema = ANSWERS[name]
    answer = asked(client, method, path, body)
    assert answer.is_success == (schema != "Error"), answer.text[:300]
    check(answer.json(), schema)


@pytest.mark.parametrize("name", STREAMS)
def test_every_event_is_as_the_schema_says(client, name):
    path, body, kinds = STREAMS[name]
    seen = set()
    for event in events(asked(client, "POST", path, body).text):
        kind = event.get("type") or event["object"]
        check(event, kind)
        seen.add(kind)
    assert seen == kinds


def test_a_conversation_is_as_the_schema_says(client):
    first = {"type": "message", "role": "user", "content": "a cat"}
    made = client.post("conversations", json={"items": [first]}).json()
    check(made, "Conversation")
    path = f"conversations/{made['id']}"
    client.post("responses", json=WRITE | {"conversation": made["id"]})
    for call in (path, f"{path}/items"):
        check(
            client.get(call).json(), "ConversationItemList" if "items" in call else "Conversation"
        )
    check(client.delete(path).json(), "DeletedConversation")
