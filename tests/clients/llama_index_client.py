"""LlamaIndex: by chat completions and by responses. It knows OpenAI's model names alone."""

from llama_index.core.llms import ChatMessage, ImageBlock
from llama_index.llms.openai import OpenAI, OpenAIResponses
from report import KEY, PROMPT, URL, is_picture, row

GIVEN = {"model": "gpt-4o", "api_base": URL, "api_key": KEY, "max_retries": 0}


def chat():
    answer = OpenAI(**GIVEN).chat([ChatMessage(role="user", content="a cat on a beach")])
    assert "cat" in answer.message.content


def stream():
    message = ChatMessage(role="user", content="a cat on a beach")
    text = "".join(piece.delta or "" for piece in OpenAI(**GIVEN).stream_chat([message]))
    assert "cat" in text


def tool():
    llm = OpenAIResponses(built_in_tools=[{"type": "image_generation"}], **GIVEN)
    answer = llm.chat([ChatMessage(role="user", content=PROMPT)])
    blocks = [block for block in answer.message.blocks if isinstance(block, ImageBlock)]
    assert is_picture(blocks[0].image.decode())


row("chat", chat)
row("chat, streamed", stream)
row("picture by the tool of responses", tool)
