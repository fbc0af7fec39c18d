"""LangChain: ChatOpenAI, by chat completions and by responses."""

from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from report import KEY, PROMPT, URL, is_picture, row

GIVEN = {"model": "storybook-grammar", "base_url": URL, "api_key": KEY, "max_retries": 0}


class Painting(BaseModel):
    title: str


def chat():
    assert "cat" in ChatOpenAI(**GIVEN).invoke("a cat on a beach").content


def stream():
    text = "".join(chunk.content for chunk in ChatOpenAI(**GIVEN).stream("a cat on a beach"))
    assert "cat" in text


def tool():
    """A picture, and then a change of it."""
    llm = ChatOpenAI(use_responses_api=True, **GIVEN).bind_tools([{"type": "image_generation"}])
    first = llm.invoke(PROMPT)
    second = llm.invoke(
        [{"role": "user", "content": "now in the snow"}],
        previous_response_id=first.response_metadata["id"],
    )
    for answer in (first, second):
        blocks = [block for block in answer.content_blocks if block["type"] == "image"]
        assert is_picture(blocks[0]["base64"])


def structured():
    ChatOpenAI(**GIVEN).with_structured_output(Painting).invoke("a cat")


row("chat", chat)
row("chat, streamed", stream)
row("picture by the tool of responses, and its change", tool)
row("structured output", structured, expected="A grammar writes plain text")
