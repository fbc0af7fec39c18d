"""What Open WebUI sends when its image engine is "openai", and when it chats."""

import json
import urllib.request

from report import KEY, PROMPT, URL, is_picture, row


def post(path, **body):
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    headers["X-OpenWebUI-User-Name"] = "Ada"
    call = urllib.request.Request(f"{URL}/{path}", json.dumps(body).encode(), headers)
    return urllib.request.urlopen(call, timeout=300).read()


def draw():
    given = {"model": "storybook-sd", "prompt": PROMPT, "n": 1, "size": "512x512"}
    answer = json.loads(post("images/generations", response_format="b64_json", **given))
    assert is_picture(answer["data"][0]["b64_json"])


def chat():
    messages = [{"role": "user", "content": "a cat on a beach"}]
    text = post("chat/completions", model="storybook-grammar", messages=messages, stream=True)
    assert b"cat" in text and text.endswith(b"data: [DONE]\n\n")


def models():
    listed = json.loads(urllib.request.urlopen(f"{URL}/models").read())["data"]
    assert "storybook-sd" in [model["id"] for model in listed]


row("list of models", models)
row("picture, 512x512, b64_json", draw)
row("chat, streamed", chat)
