"""The graded notebook of a learner, as formgrader shows it and as feedback is made from it.

It holds the learner's answers, what their cells showed, and why each point was lost. It holds no
hidden test and no key, and nothing that a browser would run.
"""

import re
import sys
from base64 import b64decode
from pathlib import Path

import bleach
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.apps import NbGraderAPI
from traitlets.config import PyFileConfigLoader

from classroom.gradebook import settings
from classroom.releases import Release
from imagegen.quiz import LETTERS

TAGS = {
    "a", "abbr", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "div", "dl",
    "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "s", "small",
    "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": ["href", "title"], "th": ["colspan", "rowspan"], "td": ["colspan", "rowspan"]}
TEXT = 100_000  # characters of one output


def write_pages(root: Path, assignment: str) -> int:
    """Write feedback/NAME/ASSIGNMENT/*.html for everybody who was graded; the exit status."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    api = NbGraderAPI(coursedir=settings(root), config=config)
    result = api.generate_feedback(assignment, force=True)
    pages = sorted((root / "feedback").glob(f"*/{assignment}/*.html"))
    print(f"{len(pages)} pages in feedback/*/{assignment}/")
    if not result["success"]:
        print(result.get("error") or result.get("log"), file=sys.stderr)
        return 1
    return 0


def notebook(release: Release, kind: str, result: dict) -> nbformat.NotebookNode:
    """The released notebook with a learner's answers, outputs and reasons in it."""
    graded = release.released(kind)
    own = {}
    for after, cell_kind, source, outputs in result["own"]:
        make = new_code_cell if cell_kind == "code" else new_markdown_cell
        text = source if cell_kind == "code" else harmless(source)
        cell = make(text, id=f"own-{len(own)}-{sum(map(len, own.values()))}")
        if cell_kind == "code":
            cell.outputs = clean(outputs)
        own.setdefault(after, []).append(cell)
    cells = []
    if result["reason"]:
        cells.append(
            new_markdown_cell(f"**{result['status'].capitalize()}**: {harmless(result['reason'])}.")
        )
        cells[0]["id"] = "reason"
    cells += own.get(None, [])
    for cell in graded.cells:
        name = cell.metadata.nbgrader.grade_id
        answer = result["answers"].get(name)
        if answer:
            joined = "\n\n".join(answer)
            cell.source = joined if cell.cell_type == "code" else harmless(joined)
        if cell.cell_type == "code":
            outputs = list(result["outputs"].get(name, []))
            if cell.metadata.nbgrader.grade and not outputs:
                outputs = _said(release, graded, name, result)
            cell.outputs = clean(outputs)
        cells += [cell, *own.get(name, [])]
    graded.cells = cells
    return graded


def comments(release: Release, kind: str, result: dict) -> dict[str, str | None]:
    """{grade id of an answer: what the grader remarks on it}."""
    said, answer = {}, None
    for task in release.notebooks[kind]:
        if task.solution:
            answer = task.name
            said[answer] = None if task.name in result["answers"] else "No response."
        elif task.is_test and answer and task.name in result["reasons"]:
            reason = result["reasons"][task.name]
            said[answer] = reason[0].upper() + reason[1:] + "."
    return said


def clean(outputs: list[dict]) -> list:
    """Outputs of which a browser only shows text, tables and pictures."""
    return [nbformat.from_dict(o) for o in map(_cleaned, outputs) if o]


def harmless(text: str) -> str:
    """Markdown without raw HTML and with links to web pages only."""
    text = re.sub(r"<(?=[A-Za-z!/?])", "&lt;", text[:TEXT])
    text = re.sub(r"\]\(\s*<?(?!https?://|#)[^)]*\)", "](#)", text)
    return re.sub(r"^\s{0,3}\[[^\]]+\]:\s*(?!https?://).*$", "", text, flags=re.MULTILINE)


def _cleaned(output):
    kind = output.get("output_type")
    if kind == "stream":
        return output | {"text": output["text"][: 2 * TEXT]}
    if kind == "error":
        return output
    if kind not in ("display_data", "execute_result"):
        return None
    data = {}
    for mime, value in output.get("data", {}).items():
        if not isinstance(value, str):
            continue
        if mime == "text/plain":
            data[mime] = value[:TEXT]
        elif mime in ("image/png", "image/jpeg") and _is_base64(value):
            data[mime] = value
        elif mime == "text/html":
            data[mime] = bleach.clean(_without_scripts(value[:TEXT]), TAGS, ATTRIBUTES, strip=True)
        elif mime in ("text/markdown", "text/latex"):
            data[mime] = harmless(value)
    if not data:
        data = {"text/plain": f"[an output of the kind {', '.join(output.get('data', {}))[:80]}]"}
    made = {"output_type": kind, "data": data, "metadata": {}}
    return made | ({"execution_count": None} if kind == "execute_result" else {})


def _without_scripts(html):
    """Without the text of scripts and styles, which would be left as text."""
    return re.sub(r"<(script|style)\b.*?(</\1\s*>|\Z)", "", html, flags=re.DOTALL | re.IGNORECASE)


def _is_base64(text):
    try:
        b64decode("".join(text.split()), validate=True)
    except ValueError:
        return False
    return True


def _said(release, graded, test, result):
    """What the check of a quiz would have printed, and the reason where nothing was printed."""
    reason = result["reasons"].get(test)
    task = next(t for t in release.notebooks[result["kind"]] if t.name == test)
    names = re.findall(r'check\("(q\d+)"', task.source)
    lines = []
    for name in names:
        item = release.questions.get(name)
        letter = result["letters"].get(name)
        if item and letter:
            lines.append(reply(release, name, letter))
        elif result["status"] in ("graded", "graded in part"):
            lines.append(f"{name}: {reason or 'not answered'}.")
    if not names and reason:
        lines.append(f"{reason}.")
    text = "\n".join(lines)
    return [{"output_type": "stream", "name": "stdout", "text": text + "\n"}] if text else []


def reply(release: Release, name: str, letter: str) -> str:
    """What check() says of a letter, from the questions of this version."""
    item = release.questions[name]
    option = item["options"][LETTERS.index(letter)]
    verdict = "is right" if option.get("correct") else "is not right"
    text = f"{name}: {letter} {verdict}. {str(option['why']).strip()}"
    belief = release.beliefs.get(option.get("misconception"), {}).get("belief")
    return text + (f"\n\nA common belief behind it: {belief}" if belief else "")
