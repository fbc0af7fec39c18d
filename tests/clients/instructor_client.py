"""instructor: answers that keep to a schema, which a grammar cannot."""

import instructor
from openai import OpenAI
from pydantic import BaseModel
from report import KEY, URL, row


class Painting(BaseModel):
    title: str


def ask(mode):
    client = instructor.from_openai(OpenAI(base_url=URL, api_key=KEY, max_retries=0), mode=mode)
    client.chat.completions.create(
        model="storybook-grammar", response_model=Painting, max_retries=1,
        messages=[{"role": "user", "content": "a cat"}],
    )  # fmt: skip


row("schema by a tool", lambda: ask(instructor.Mode.TOOLS), expected="calls no functions")
row("schema as JSON", lambda: ask(instructor.Mode.JSON), expected="A grammar writes plain text")
