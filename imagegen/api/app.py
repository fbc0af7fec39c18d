"""The server as an app: models, pictures, texts, and errors, in the wire format of OpenAI's API.

    /v1/models                          what is served, and until when
    /v1/images/generations              a prompt becomes pictures       (images.py)
    /v1/images/edits, /variations       pictures become pictures        (images.py)
    /v1/responses                       a theme becomes a description,
                                        and a picture by a tool         (responses.py)
    /v1/conversations                   earlier messages and pictures   (conversation.py)
    /v1/chat/completions                the older call for texts        (chat.py)
    /control/fail                       faults, for practice            (faults.py)

It needs no key and reads none. Used from chapter 11 on.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable
from datetime import date
from functools import partial

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from imagegen.api import chat, conversation, faults, images, responses
from imagegen.api.catalogue import IMAGES, find, served
from imagegen.api.errors import ApiError, answer_errors
from imagegen.api.gate import Gate, Gone
from imagegen.api.worker import Worker

GONE = 499  # what servers write into their logs for a client that hung up; nobody receives it


def load_storybook() -> Callable:
    """draw_recipes() of storybook-sd. It brings torch, which takes seconds, so only here."""
    # Diffusers imports torch's compiler if it is there. That takes as long as all else together,
    # and nothing is compiled here.
    sys.modules.setdefault("torch._dynamo", None)
    try:
        from imagegen.draw import draw_recipes
    finally:
        if sys.modules["torch._dynamo"] is None:
            del sys.modules["torch._dynamo"]
    from imagegen.models import load_pipeline

    return partial(draw_recipes, load_pipeline(IMAGES))


def create_app(
    emulate_retired: bool = False, places: int = 16, today: date | None = None
) -> FastAPI:
    """The app, its worker started. places: requests for pictures that may wait or be drawn.

    today: the day by which models are shut down, for tests; the real one if not given.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.emulate_retired = emulate_retired
    app.state.today = today or date.today()
    app.state.worker = Worker(places, load_storybook)
    app.state.faults = faults.Faults()
    app.state.pictures = OrderedDict()
    app.state.memory = conversation.Memory()
    for part in (images, responses, conversation, chat, faults):
        app.include_router(part.router)
    answer_errors(app)
    app.add_middleware(Gate, worker=app.state.worker)

    @app.exception_handler(Gone)
    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: Exception):
        return Response(status_code=GONE)

    @app.get("/v1/models")
    async def models(request: Request):
        listed = [model.listed() for model in served(app.state.today, emulate_retired)]
        return {"object": "list", "data": listed}

    @app.get("/v1/models/{name:path}")
    async def model(request: Request, name: str):
        return find(name, app.state.today, emulate_retired).listed()

    @app.api_route("/v1/{old}", methods=["GET", "POST"])
    @app.api_route("/v1/{old}/{rest:path}", methods=["GET", "POST"])
    async def assistants(request: Request, old: str, rest: str = ""):
        if old in ("assistants", "threads"):
            message = "The Assistants API was shut down on 2026-08-26: use POST /v1/responses."
            raise ApiError(message, status=404)
        raise ApiError(f"Invalid URL ({request.method} {request.url.path}).", status=404)

    return app
