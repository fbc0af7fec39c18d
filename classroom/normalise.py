"""From the file that somebody handed in to answers in the notebook as it was released.

Only sources are taken from a file. It may come from any editor and be damaged in any of the ways
that were seen; what had to be repaired is said, and what looks like tampering is flagged.
"""

import ast
import json
import re
from dataclasses import dataclass, field

from classroom.releases import Release, Task, best

FENCE = re.compile(r"\A\s*```(?:python|py)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL | re.IGNORECASE)
LIMIT = 500_000_000  # bytes of a file; its outputs are dropped
LONGEST = 1_000_000  # characters of the sources of a notebook


class Unreadable(Exception):
    """The file holds no notebook; the message says what it is."""


@dataclass
class Cell:
    kind: str  # "code" or "markdown"
    source: str
    name: str | None  # nbgrader's grade id
    cell_id: str | None
    points: object = None
    shown: float | None = None  # the number that its stored output ends with


@dataclass
class Placed:
    """A submission in the notebook as it was released.

    answers: {grade id: sources in order}; only what differs from the release. own: cells of the
    learner's, {grade id that they follow, or None: cells}. repairs: sentences. flags: sentences.
    """

    release: Release
    answers: dict[str, list[str]] = field(default_factory=dict)
    own: dict[str | None, list[Cell]] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    recognised: int = 0


def read(data: bytes) -> tuple[list[Cell], list[str]]:
    """The cells of a notebook file of any format, and what was repaired. Raises Unreadable."""
    repairs = []
    if len(data) > LIMIT:
        raise Unreadable(f"it has {len(data) // 10**6} MB, more than a notebook can have")
    if not data.strip(b"\0 \r\n\t"):
        raise Unreadable("the file is empty")
    text = _text(data, repairs)
    try:
        notebook = json.loads(text, strict=False)
    except RecursionError:
        raise Unreadable("it is nested too deeply to be a notebook") from None
    except ValueError as error:
        raise Unreadable(_what_it_is(text, error)) from None
    cells = _listed(notebook, repairs)
    if cells is None:
        raise Unreadable("it is JSON, but no notebook: it has no cells")
    return [cell for cell in map(_cell, cells) if cell], repairs


def place(cells: list[Cell], kind: str, releases: list[Release]) -> Placed:
    """Put the cells of a submission where they belong in the release they were made from."""
    release = best([(c.name, c.cell_id, c.source) for c in cells], kind, releases)
    placed = Placed(release)
    if sum(len(cell.source) for cell in cells) > LONGEST:
        raise Unreadable("its cells hold more than a million characters of text")
    tasks = release.notebooks[kind]
    known = _identify(cells, tasks, placed)
    _by_position(cells, known, tasks, placed)
    if tasks and all(t.points is None and not t.solution for t in known.values()):
        placed.flags.append(f"no question of the released {kind} was found in it")
    placed.recognised = len(known)
    before = None
    for number, cell in enumerate(cells):
        task = known.get(number)
        if task is None:
            if cell.source.strip():
                placed.own.setdefault(before, []).append(cell)
            continue
        before = task.name
        _take(cell, task, placed)
    missing = [t.name for t in tasks if t.solution and t not in known.values()]
    if missing and known:
        placed.repairs.append(f"cells for answers are missing: {', '.join(missing)}")
    return placed


# -- reading -----------------------------------------------------------------------------------


def _text(data, repairs):
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            repairs.append(f"the file began with a byte order mark ({encoding})")
            return data.decode(encoding, errors="replace")
    if b"\0" in data[:2]:  # every other byte of UTF-16 is 0, where the text is JSON
        return data.decode("utf-16-be" if data[0] == 0 else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        repairs.append("the file was not UTF-8 and was read as Windows-1252")
        return data.decode("cp1252", errors="replace")


def _what_it_is(text, error):
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<head")):
        return "it is a web page, no notebook (saved while signed out?)"
    if text.startswith("PK"):
        return "it is an archive or an office document that cannot be opened"
    if start.startswith("%pdf"):
        return "it is a PDF, no notebook"
    if start.startswith("{"):
        position = getattr(error, "pos", 0)
        if position >= len(text.rstrip()) - 2 or "unterminated" in str(error).lower():
            return "the file is cut off: its end is missing"
        if "<<<<<<<" in text:
            return "it holds the marks of a merge by git that was not finished"
        return f"it is a damaged notebook (JSON breaks off at character {position})"
    return "it is no notebook"


def _listed(notebook, repairs):
    """The raw cells: of format 4, of format 3 and older, or of a bare list."""
    if isinstance(notebook, list):
        repairs.append("the file held a list of cells without a notebook around it")
        return notebook
    if not isinstance(notebook, dict):
        return None
    if isinstance(notebook.get("cells"), list):
        if "nbformat" not in notebook:
            repairs.append("the format's number was missing")
        return notebook["cells"]
    sheets = notebook.get("worksheets")
    if isinstance(sheets, list):
        repairs.append("it was saved in an old notebook format")
        sheets = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
        return [cell for cells in sheets if isinstance(cells, list) for cell in cells]
    return None


def _cell(raw):
    if not isinstance(raw, dict):
        return None
    source = raw.get("source", raw.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str):
        return None
    meta = raw.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    ours = meta.get("nbgrader")
    ours = ours if isinstance(ours, dict) else {}
    name, cell_id = ours.get("grade_id"), raw.get("id")
    return Cell(
        kind="code" if raw.get("cell_type") == "code" else "markdown",
        source=writable(source.replace("\r\n", "\n").replace("\r", "\n")),
        name=name if isinstance(name, str) else None,
        cell_id=cell_id if isinstance(cell_id, str) else None,
        points=ours.get("points"),
        shown=_shown(raw.get("outputs")),
    )


def writable(value: object) -> object:
    """JSON-like data without the characters that no file or database takes: halves, and NUL."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {key: writable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [writable(item) for item in value]
    return value


def _shown(outputs):
    """The number of a stored result, which a test cell ends with; None if there is none."""
    try:
        results = [o["data"]["text/plain"] for o in outputs if o["output_type"] == "execute_result"]
        return float("".join(results[-1]))
    except (TypeError, KeyError, IndexError, ValueError):
        return None


# -- recognising -------------------------------------------------------------------------------


def _identify(cells, tasks, placed):
    """{number of a cell: the task it is}, by grade id, cell id, text, or the names it defines."""
    by_name = {task.name: task for task in tasks}
    by_id = {task.cell_id: task for task in tasks}
    by_text = {_flat(task.source): task for task in reversed(tasks) if task.source.strip()}
    known, how = {}, {"cell id": 0, "text": 0}
    for number, cell in enumerate(cells):
        if cell.name in by_name:
            known[number] = by_name[cell.name]
        elif cell.cell_id in by_id:
            known[number] = by_id[cell.cell_id]
            how["cell id"] += 1
        elif _flat(cell.source) in by_text:
            known[number] = by_text[_flat(cell.source)]
            how["text"] += 1
    answered = {t.name for n, t in known.items() if _flat(cells[n].source) != _flat(t.source)}
    letters, foreign = placed.release.questions.keys(), []
    defined = {name: t for t in tasks if t.solution for name in defines(t.source)}
    for number, cell in enumerate(cells):
        if number in known:
            continue
        for name in defines(_code(cell)):
            task = defined.get(name)
            if task and name in letters and cell.name:  # a letter without its question
                foreign.append(cell.name)
            elif task and task.name not in answered:
                known[number] = task
                how["text"] += 1
                break
    if foreign:
        names = ", ".join(foreign)[:200]
        placed.flags.append(f"it answers other questions, which do not count: {names}")
    elif letters & defined.keys() and all(t.kind == "code" for t in known.values()) and known:
        placed.flags.append("the letters stand without their questions")
    for way, count in how.items():
        if count:
            placed.repairs.append(f"{count} cells had lost nbgrader's metadata, known by {way}")
    return known


def _by_position(cells, known, tasks, placed):
    """Where an answer is still missing: unknown cells right below the cell that asks for it."""
    order = {task.name: place for place, task in enumerate(tasks)}
    for task in tasks:
        changed = [n for n, t in known.items() if t == task]
        if not task.solution or changed or order[task.name] == 0:
            continue
        asks = tasks[order[task.name] - 1]
        above = [n for n, t in known.items() if t == asks]
        if not above:
            continue
        for number in range(above[-1] + 1, len(cells)):
            if number in known:
                break
            if cells[number].kind == task.kind:
                known[number] = task
                placed.repairs.append(f"the answer {task.name} was found by its place")
                break


def _take(cell, task, placed):
    """Take from a recognised cell what counts: an answer, or code that was added to ours."""
    ours, theirs = _flat(task.source), _flat(cell.source)
    if ours == theirs or not theirs:
        return
    if task.solution:
        source = _code(cell) if task.kind == "code" else cell.source
        for test in placed.release.notebooks.values():
            for other in test:
                if other.is_test and other.source.strip() and other.source.strip() in source:
                    source = source.replace(other.source.strip(), "")
        sources = placed.answers.setdefault(task.name, [])
        if cell.kind != task.kind:
            placed.repairs.append(f"the answer {task.name} stood in a {cell.kind} cell")
        if source not in sources:
            sources.append(source)
            if len(sources) == 2:
                placed.repairs.append(f"the answer {task.name} stood in several cells, joined")
        return
    if task.kind != "code" or cell.kind != "code":
        return
    if task.source.strip() in cell.source:
        rest = cell.source.replace(task.source.strip(), "").strip()
        names = set(defines(rest))
        tasks = [t for tasks in placed.release.notebooks.values() for t in tasks if t.solution]
        asked = next((t.name for t in tasks if names & set(defines(t.source))), None)
        if asked and asked not in placed.answers:
            placed.answers[asked] = [rest]
            placed.repairs.append(f"the answer {asked} stood in the cell {task.name}")
        elif rest:
            own = Cell("code", rest, None, None)
            placed.own.setdefault(task.name, []).append(own)
        return
    if task.is_test:
        placed.flags.append(f"the test {task.name} was edited; the released one was used")
    else:
        placed.own.setdefault(task.name, []).append(Cell("code", cell.source, None, None))
        placed.repairs.append(f"the cell {task.name} was edited; it was run below the released one")


def points_edited(cells: list[Cell], tasks: list[Task]) -> bool:
    """Whether a cell claims other points than it was released with."""
    worth = {task.name: task.points for task in tasks if task.points is not None}
    return any(c.name in worth and c.points not in (None, worth[c.name]) for c in cells)


def defines(source: str) -> list[str]:
    """The names that the top level of a cell defines, even if it is no valid Python."""
    source = re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = re.findall(r"^(?:def|class)\s+(\w+)", source, re.M)
        names += re.findall(r"^(\w+)\s*(?::[^=\n]+)?=(?!=)", source, re.M)
        return list(dict.fromkeys(names))
    names = []
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                names += [part.id for part in parts if isinstance(part, ast.Name)]
    return list(dict.fromkeys(names))


def _code(cell):
    match = FENCE.match(cell.source)
    return match[1] if match and cell.kind != "code" else cell.source


def _flat(source):
    return " ".join(source.split())
