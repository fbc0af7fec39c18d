"""The body of a request, JSON or a form with files, read with limits; ApiError says what is wrong.

Whatever arrives, the answer is a sentence and never a crash: a server must not believe its clients.
"""

import json

from fastapi import Request
from starlette.formparsers import MultiPartException, MultiPartParser

from imagegen.api.errors import ApiError, invalid

LARGEST_JSON = 2_000_000  # bytes; a prompt of 32,000 letters takes at most 384,000
LARGEST_FORM = 200_000_000  # bytes of all files together


async def read_json(request: Request) -> dict:
    """The JSON object that a request carries."""
    kind = request.headers.get("content-type", "")
    if kind.split(";")[0].strip().lower() != "application/json":
        raise ApiError(
            f"Unsupported content type: '{kind[:80]}'. Send 'application/json'.", status=415
        )
    raw = b"".join([chunk async for chunk in limited(request, LARGEST_JSON)])
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=refuse_constant)
        json.dumps(body, ensure_ascii=False).encode("utf-8")  # fails for half a surrogate pair
    except (ValueError, RecursionError):
        raise invalid(
            "We could not parse the JSON body of your request.", code="invalid_json"
        ) from None
    if not isinstance(body, dict):
        raise invalid("The JSON body must be an object, {...}.", code="invalid_json")
    return body


async def read_form(request: Request) -> tuple[dict, dict]:
    """The texts and the files of a form: {name: text}, {name: [file, ...]}."""
    kind = request.headers.get("content-type", "")
    if kind.split(";")[0].strip().lower() != "multipart/form-data":
        raise ApiError(
            f"Unsupported content type: '{kind[:80]}'. Send 'multipart/form-data'.", status=415
        )
    stream = limited(request, LARGEST_FORM)
    parser = MultiPartParser(request.headers, stream, max_files=40, max_fields=40)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, LookupError) as error:
        said = getattr(error, "message", None) or error
        raise invalid(f"We could not parse the form: {said}", code="invalid_form") from None
    texts, files = {}, {}
    for name, value in form.multi_items():
        name = name.removesuffix("[]")  # how the client names the files of a list
        if isinstance(value, str):
            texts[name] = value
        else:
            files.setdefault(name, []).append(value)
    return texts, files


async def limited(request: Request, most: int):
    """The body, piece by piece; ApiError 413 once it is longer than `most` bytes."""
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > most:
            raise ApiError(f"The body is longer than {most:,} bytes.", status=413)
        yield chunk


def refuse_constant(name: str):
    raise ValueError(f"{name} is no JSON")
