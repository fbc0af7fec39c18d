"""Faults on demand, so that a learner can meet them: the next requests for pictures go wrong.

Met in chapter 11, by Server.fail().
"""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import Field

from imagegen.api.errors import ApiError
from imagegen.api.gate import unless_gone
from imagegen.api.request import Body, check, read_json

PATIENCE = 600  # seconds that a request without an answer is held, as long as the client waits

router = APIRouter()


@dataclass
class Faults:
    """What the next requests for pictures meet, so that a learner can meet it: kind by kind."""

    next: list[str] = field(default_factory=list)

    async def meet(self, request: Request) -> None:
        """ApiError for the next fault in line; a timeout is an answer that never comes."""
        kind = self.next.pop(0) if self.next else None
        if kind == "timeout":
            await unless_gone(request, asyncio.sleep(PATIENCE))
        if kind:
            raise ApiError(**FAULTS[kind])


FAULTS = {
    "rate_limit": {
        "message": "Rate limit reached. Please try again in 1 s.",
        "status": 429,
        "type": "requests",
        "code": "rate_limit_exceeded",
        "retry_after": 1,
    },
    "moderation": {
        "message": "Your request was rejected by the safety system.",
        "status": 400,
        "type": "image_generation_user_error",
        "code": "moderation_blocked",
    },
    "server_error": {
        "message": "The server had an error while processing your request. Please try again.",
        "status": 500,
        "type": "server_error",
        "code": "server_error",
    },
    "timeout": {
        "message": "The server took too long to answer.",
        "status": 504,
        "type": "server_error",
        "code": "timeout",
    },
}


class FaultRequest(Body):
    """What a learner wants to meet next."""

    kind: Literal[*FAULTS] = "server_error"
    times: int = Field(1, ge=0, le=1000)


@router.post("/control/fail")
async def fail(request: Request):
    """Let the next requests for pictures meet a fault: {"kind": ..., "times": 1}."""
    fault = check(FaultRequest, await read_json(request))
    request.app.state.faults.next += [fault.kind] * fault.times
    return fault.model_dump()
