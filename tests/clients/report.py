"""How a client's example tells what works: a line "what | result" for each thing tried."""

import base64
import os
import sys
from collections.abc import Callable

URL = os.environ["OPENAI_BASE_URL"]
KEY = os.environ["OPENAI_API_KEY"]
PROMPT = "a red castle in a meadow at sunset"


def row(what: str, call: Callable, expected: str = "") -> None:
    """Try a call. expected: words of the error that must come; without them it must work."""
    try:
        call()
        result = "works"
    except Exception as error:
        reason = " ".join(str(error).split())
        result = "refused" if expected and expected in reason else f"FAILS: {reason[:300]}"
    if expected and result == "works":
        result = "FAILS: it is not refused"
    print(f"{what} | {result}")
    sys.stdout.flush()


def is_picture(text: str) -> bool:
    """Whether a text is a picture in base64."""
    data = base64.b64decode(text.rpartition(",")[2])
    return data[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"RIFF")
