"""How a notebook of a submission can end, and the version of the program that grades."""

import hashlib
from pathlib import Path

GRADED, PART, TIME, UNREADABLE = "graded", "graded in part", "timed out", "unreadable"
NOT_FOUND, FAULT = "not found", "infrastructure error"
ORDER = [FAULT, UNREADABLE, NOT_FOUND, PART, TIME, GRADED]  # the worst first

_PARTS = ("execute", "judge", "learner", "letters", "normalise", "plain")
_CODE = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in _PARTS)
GRADER = hashlib.sha256(_CODE).hexdigest()[:12]
