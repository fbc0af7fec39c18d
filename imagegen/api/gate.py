"""What every request passes first, and every answer last.

Only programs of this machine may ask: a page of the web can send forms to 127.0.0.1, or give it a
name of its own. Each answer carries the headers of OpenAI's service. A fault of the server becomes
an answer like any other, after which the connection still works.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagegen.api.errors import ApiError, broken
from imagegen.api.worker import Worker

LOCAL = ("127.0.0.1", "localhost", "::1")
log = logging.getLogger("uvicorn.error")


class Gate:
    """The app with these checks and headers around it."""

    def __init__(self, app: ASGIApp, worker: Worker):
        self.app, self.worker = app, worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, started = time.perf_counter(), False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                milliseconds = round(1000 * (time.perf_counter() - began))
                MutableHeaders(scope=message).update(self.headers(milliseconds))
            await send(message)

        try:
            refuse_strangers(Headers(scope=scope))
            await self.app(scope, receive, send_on)
        except ApiError as error:
            await error.answer()(scope, receive, send_on)
        except Exception as error:
            log.exception("The server failed to answer")
            if started:
                raise
            await broken(error).answer()(scope, receive, send_on)

    def headers(self, milliseconds: int) -> dict[str, str]:
        """The headers of an answer, as OpenAI's service sends them."""
        places, wait = self.worker.places, max(1, round(self.worker.seconds))
        free = max(0, places - len(self.worker.jobs))
        return {
            "x-request-id": f"req_{uuid.uuid4().hex}",
            "openai-version": "2020-10-01",
            "openai-processing-ms": str(milliseconds),
            "x-ratelimit-limit-requests": str(places),
            "x-ratelimit-remaining-requests": str(free),
            "x-ratelimit-reset-requests": f"{0 if free else wait}s",
        }


def refuse_strangers(headers: Headers) -> None:
    """ApiError for a request that comes from a page of the web, or by a name that is not ours."""
    host = headers.get("host", "")
    if hostname(f"//{host}") not in LOCAL:
        message = f"This server answers on this machine alone, and not as '{host[:80]}'."
        raise ApiError(message, code="unknown_host")
    origin = headers.get("origin")
    if origin is not None and hostname(origin) not in LOCAL:
        message = f"Pages of '{origin[:80]}' may not use this server."
        raise ApiError(message, code="foreign_origin", status=403)


def hostname(address: str) -> str | None:
    """The name of the machine in an address; None if there is none."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


class Gone(Exception):
    """The client has left, so that there is nobody to answer."""


async def unless_gone(request: Request, work: Awaitable) -> Any:
    """What `work` gives; if the client leaves before, the work is cancelled and Gone raised."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=0.2)
            if not task.done() and await request.is_disconnected():
                raise Gone
        return task.result()
    finally:
        task.cancel()
