"""LiteLLM: one function for every provider."""

import litellm
from report import KEY, PROMPT, URL, is_picture, row

GIVEN = {"api_base": URL, "api_key": KEY}
TALK = [{"role": "user", "content": "a cat on a beach"}]


def draw():
    answer = litellm.image_generation(PROMPT, model="openai/storybook-sd", size="512x512", **GIVEN)
    assert is_picture(answer.data[0].b64_json)


def chat():
    answer = litellm.completion(model="openai/storybook-grammar", messages=TALK, **GIVEN)
    assert "cat" in answer.choices[0].message.content


def stream():
    chunks = litellm.completion(
        model="openai/storybook-grammar", messages=TALK, stream=True, **GIVEN
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert "cat" in text


def respond():
    answer = litellm.responses(
        model="openai/storybook-grammar", input=PROMPT, tools=[{"type": "image_generation"}],
        **GIVEN,
    )  # fmt: skip
    calls = [item for item in answer.output if item.type == "image_generation_call"]
    assert is_picture(calls[0].result)


row("picture", draw)
row("chat", chat)
row("chat, streamed", stream)
row("picture by the tool of responses", respond)
