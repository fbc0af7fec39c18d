"""The server as an app: models, pictures, texts, and errors, in the wire format of OpenAI's API.

    /v1/models                          what is served, and until when
    /v1/images/generations              a prompt becomes pictures       (images.py)
    /v1/images/edits, /variations       pictures become pictures        (images.py)
    /v1/responses, /v1/conversations    a theme becomes a description   (responses.py)

It needs no key and reads none. Used from chapter 11 on.
"""

from collections import OrderedDict
from datetime import date

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from imagegen.api import images, responses
from imagegen.api.errors import ApiError, answer_errors
from imagegen.api.models import find, served
from imagegen.api.painter import Painter

GONE = 499  # what servers note down for a client that left; nobody hears it


def load_hand():
    """The hand that draws. It brings torch, which takes seconds, and so is imported here alone."""
    from imagegen.api.draw import Hand

    return Hand()


def create_app(emulate_retired: bool = False, places: int = 16, today: date | None = None):
    """The app, its painter at work. places: requests for pictures that may wait or be drawn.

    today: the day by which models are shut down, for tests; the real one if not given.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.emulate_retired = emulate_retired
    app.state.today = today or date.today()
    app.state.painter = Painter(places, load_hand)
    app.state.faults = images.Faults()
    app.state.pictures = OrderedDict()
    app.state.memory = responses.Memory()
    app.include_router(images.router)
    app.include_router(responses.router)
    answer_errors(app)
    # No page of the web may talk to it under a name of its own that leads to this machine.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.exception_handler(images.Gone)
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
