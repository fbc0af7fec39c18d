"""Pydantic AI: an agent by chat completions and by responses.

It draws with models whose names it knows alone.
"""

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryImage
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from report import KEY, PROMPT, URL, row

PROVIDER = OpenAIProvider(base_url=URL, api_key=KEY)
CHAT = OpenAIChatModel("storybook-grammar", provider=PROVIDER)
RESPONSES = OpenAIResponsesModel("gpt-5", provider=PROVIDER)


class Painting(BaseModel):
    title: str


def chat():
    assert "cat" in Agent(CHAT).run_sync("a cat on a beach").output


def functions():
    agent = Agent(CHAT)

    @agent.tool_plain
    def look() -> str:
        """Look out of the window."""
        return "a cat"

    assert "cat" in agent.run_sync("a cat on a beach").output


def tool():
    picture = Agent(RESPONSES, output_type=BinaryImage).run_sync(PROMPT).output
    assert picture.media_type == "image/png" and picture.data


def structured():
    Agent(CHAT, output_type=Painting).run_sync("a cat")


row("chat", chat)
row("chat with a function, which is not called", functions)
row("picture by the tool of responses", tool)
row("structured output", structured, expected="calls no functions")
