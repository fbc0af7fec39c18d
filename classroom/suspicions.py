"""What in a learner's code a person should look at. It may be innocent, and it costs no points."""

import re

from classroom.normalise import Cell
from classroom.releases import Task

SIGNS = {
    "reads outside its folder": r"\.\./|\.\.\\\\|[\"']/(?:etc|proc|root|home|work|var)\b",
    "names the solutions, the gradebook or other submissions": (
        r"\bsolutions/|gradebook|\bsubmitted/|tests/mutants|nbgrader|HIDDEN TESTS"
        r"|BEGIN SOLUTION"
    ),
    "opens the encoded replies of the quiz": r"\b_unseal\b|\b_items\b|quiz_items",
    "changes how cells are run": r"_transformers|\bdisplayhook\b|\bdisplay_pub\b|showtraceback",
    "reaches into the notebook's own process": (
        r"get_ipython\(\)\.(?!run_|system|getoutput|magic)|profile_dir|user_ns|\bIn\[-"
    ),
    "changes functions from inside": r"__code__|__globals__|_getframe|\bgc\.get_|f_back",
    "makes objects that are equal to everything": r"def __eq__|__class__\s*=|def __ne__",
    "replaces functions of Python or of a library": (
        r"\b(?:builtins|torch|np|numpy|math|random)(?:\.(?!backends)\w+)+\s*=(?!=)"
        r"|setattr\((?:builtins|torch|np|numpy)|sys\.modules\["
    ),
    "replaces the counting of points": r"\btally\s*=(?!=)|def tally\b|quiz\.tally|check = lambda",
    "starts or ends other processes": (
        r"\bsubprocess\b|os\.(?:kill|killpg|fork|system|popen|exec\w*|spawn\w*|setsid)\b"
        r"|multiprocessing"
    ),
    "ends its own process": r"os\._exit|os\.abort|SIGKILL|ctypes",
    "uses the network": r"\bsocket\b|urllib|requests\.|http\.client|httpx|aiohttp",
    "shows active HTML": r"<script|<iframe|javascript:|onerror\s*=|%%(?:html|javascript|js)\b",
}


def signs(sources: list[str], ours: list[Task]) -> list[str]:
    """Sentences on what stands in the sources, except for what the released cells use too."""
    text, released = "\n".join(sources), "\n".join(task.source for task in ours)
    found = []
    for sentence, pattern in SIGNS.items():
        match = re.search(pattern, text)
        if match and match[0] not in released:
            found.append(f"the code {sentence} ({_line(text, match.start())})")
    return found


def overstated(cells: list[Cell], scores: dict) -> list[str]:
    """Tests whose stored result claims more points than the grading gave."""
    found = []
    for cell in cells:
        points, worth, _ = scores.get(cell.name, (0, 0, False))
        if cell.shown is not None and worth and cell.shown > points:
            found.append(
                f"{cell.name} shows {cell.shown:g} points as handed in, and got {points:g}"
            )
    return found


def _line(text, position):
    start, end = text.rfind("\n", 0, position) + 1, text.find("\n", position)
    line = text[start : end if end >= 0 else None].strip()
    return line if len(line) <= 60 else line[:57] + "..."
