"""From the quiz bank to the quizzes: `make quizzes`, for authors.

    solutions/items/*.yaml -> imagegen/quiz_items.json         what ask() and check() reply
                           -> solutions/*/quiz.ipynb           the quiz with its key
                           -> quizzes/*/*.ipynb                what learners get, by nbgrader

The bank is the only place where a question is written. Building twice gives the same bytes.
"""

import ast
import itertools
import json
import re
from base64 import b64encode
from collections import Counter
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import compute_checksum
from traitlets.config import PyFileConfigLoader

from classroom.publish import bootstrap
from imagegen.quiz import ITEMS, LETTERS, seal

ROOT = Path(__file__).resolve().parents[1]
ALL_OF_THE_ABOVE = re.compile(
    r"\b(all|none|both|any)\b.{0,12}\b(above|these|options|answers)\b", re.IGNORECASE
)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def load(folder: Path) -> tuple[dict, dict]:
    """The banks {"01_first_image": {"title", "items"}, ...} and the misconceptions of a folder.

    Raises ValueError with all that is wrong with them, one sentence a line.
    """
    pages, complaints = {}, []
    for path in sorted(Path(folder).glob("*.yaml")):
        try:
            pages[path.stem] = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            line = error.problem_mark.line + 1 if getattr(error, "problem_mark", None) else "?"
            complaints.append(f"{path.name}, line {line}: this is not YAML ({error.problem}).")
    misconceptions = pages.pop("misconceptions", {})
    if not complaints:
        complaints = lint(pages, misconceptions)
    if complaints:
        raise ValueError("\n".join(complaints))
    return pages, misconceptions


def lint(banks: dict, misconceptions: dict) -> list[str]:
    """What is wrong with the banks, one sentence each; empty if nothing is."""
    found, ids = [], {}
    for chapter, bank in banks.items():
        where = f"{chapter}.yaml"
        if not isinstance(bank, dict) or not bank.get("title") or not bank.get("items"):
            found.append(f"{where}: a bank needs a title and a list of items.")
            continue
        items = bank["items"]
        for number, item in enumerate(items, 1):
            name = f"{where}, item {item.get('id', number)}"
            found += [f"{name}: {wrong}" for wrong in _wrong_with(item, misconceptions)]
            other = ids.setdefault(item.get("id"), where)
            if sum(i.get("id") == item.get("id") for i in items) > 1 or other != where:
                found.append(f"{name}: the id is used twice (in {other}).")
        if not found:
            found += [f"{where}: {wrong}" for wrong in _unbalanced(items)]
        touched = {o.get("misconception") for i in items for o in i.get("options", [])}
        for id, misconception in misconceptions.items():
            if misconception["chapter"] == chapter[:2] and id not in touched:
                found.append(f"{where}: no item touches {id} ({misconception['belief']})")
    return found


def quiz(chapter: str, bank: dict) -> nbformat.NotebookNode:
    """The nbgrader source of a chapter's quiz: the key in its answers, the grading in its tests."""
    cells = [
        _cell(new_markdown_cell(_opening(chapter, bank)), "about_this_quiz", locked=True),
        _cell(new_code_cell(_setup(chapter)), "setup", locked=True),
    ]
    for name, item in _named(bank):
        if not name:
            continue
        key = LETTERS[_key(item)]
        options = "\n".join(f"- **{a}.** {o['text']}" for a, o in _lettered(item))
        stem = f"## Question {name[1:]}\n\n{item['stem'].strip()}\n\n{options}"
        # The import stands in the test, so that no variable of a learner can take its place.
        test = (
            f'check("{name}", {name})\n### BEGIN HIDDEN TESTS\n'
            f"from imagegen.quiz import letter_of\n\n"
            f'int(letter_of({name}) == "{key}")\n### END HIDDEN TESTS'
        )
        cells += [
            _cell(new_markdown_cell(stem), f"{item['id']}_question", locked=True),
            _cell(new_code_cell(f'{name} = "{key}"'), item["id"], solution=True),
            _cell(new_code_cell(test), f"{item['id']}_is_right", locked=True, grade=True, points=1),
        ]
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return new_notebook(cells=cells, metadata=metadata)


def shipped(banks: dict, misconceptions: dict) -> str:
    """The text of quiz_items.json: every question as text, every reply encoded."""
    out = {}
    for chapter, bank in banks.items():
        for name, item in _named(bank):
            replies = {a: _reply(o, misconceptions) for a, o in _lettered(item)}
            sealed = dict(seal(reply, item["id"], letter) for letter, reply in replies.items())
            # All get the length of the longest; otherwise the shortest would give the key away.
            size = max(map(len, sealed.values()))
            out[item["id"]] = {
                "chapter": chapter,
                "name": name,
                "stem": item["stem"].strip(),
                "options": [option["text"] for option in item["options"]],
                "replies": {
                    name: b64encode(sealed[name].ljust(size, b"\0")).decode()
                    for name in sorted(sealed)
                },
            }
    return json.dumps(out, indent=1, ensure_ascii=False) + "\n"


def answered(released: Path) -> list[str]:
    """The answers that somebody has written into a released notebook, as grade ids."""
    cells = [c for c in nbformat.read(released, 4).cells if c.metadata.get("nbgrader")]
    return [
        cell.metadata.nbgrader.grade_id
        for cell in cells
        if cell.metadata.nbgrader.solution
        and cell.metadata.nbgrader.checksum != compute_checksum(cell)
    ]


def build(root: Path = ROOT) -> None:
    """Build everything that is made from the bank; SystemExit with a sentence if it cannot be."""
    try:
        banks, misconceptions = load(root / "solutions" / "items")
    except ValueError as error:
        raise SystemExit(str(error)) from None
    for path in sorted((root / "quizzes").glob("*/*.ipynb")):
        if names := answered(path):
            raise SystemExit(
                f"{path.relative_to(root)} holds answers ({', '.join(names)}), which building "
                f"would overwrite: move the file elsewhere first. Nothing was changed."
            )
    nbgrader = course(root)
    (root / "imagegen" / ITEMS.name).write_text(shipped(banks, misconceptions), encoding="utf-8")
    for chapter, bank in banks.items():
        path = root / "solutions" / chapter / "quiz.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(quiz(chapter, bank), path)
        result = nbgrader.generate_assignment(chapter)
        if not result["success"]:
            reason = result.get("error") or result.get("log")
            raise SystemExit(f"nbgrader could not build quizzes/{chapter}:\n{reason}")
        print(f"built quizzes/{chapter}")


def course(root: Path = ROOT) -> NbGraderAPI:
    """nbgrader's own interface to the course in a folder, with the settings of its config file."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.GenerateAssignment.no_database = True  # `python -m classroom release` writes it
    config.SaveCells.enabled = False
    return NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)


def _wrong_with(item: dict, misconceptions: dict) -> list[str]:
    found, options = [], item.get("options") or []
    if not re.fullmatch(r"[a-z][a-z0-9_]{2,39}", str(item.get("id", ""))):
        found.append("the id must be small letters, digits and underscores.")
    if not str(item.get("stem") or "").strip():
        found.append("the stem is missing.")
    if not 3 <= len(options) <= len(LETTERS):
        found.append(f"there must be 3 to {len(LETTERS)} options.")
    if sum(bool(o.get("correct")) for o in options) != 1:
        found.append("exactly one option must be correct.")
    if len({str(o.get("text")) for o in options}) < len(options):
        found.append("two options say the same.")
    for letter, option in zip(LETTERS, options, strict=False):
        text = option.get("text")
        if not isinstance(text, str) or not text.strip():
            found.append(f"option {letter} needs a text (in quotes, if YAML reads it otherwise).")
            continue
        if ALL_OF_THE_ABOVE.search(text):
            found.append(f'option {letter} is an "all of the above", which tests no knowledge.')
        if not str(option.get("why") or "").strip():
            found.append(f"option {letter} does not say why it is right or tempting.")
        if not option.get("correct") and option.get("misconception") not in misconceptions:
            found.append(f"option {letter} names no misconception of misconceptions.yaml.")
        if not option.get("correct") and not option.get("try"):
            found.append(f"option {letter} has no cell to try.")
        try:
            ast.parse(option.get("try") or "")
        except SyntaxError as error:
            found.append(f"the cell to try of option {letter} is not Python ({error.msg}).")
    return found


def _unbalanced(items: list[dict]) -> list[str]:
    """Keys that can be guessed without reading: by their length or by their letter."""
    if len(items) < 4:
        return []
    found, longest = [], 0
    for item in items:
        lengths = [len(option["text"]) for option in item["options"]]
        key = lengths.pop(_key(item))
        longest += key > max(lengths)
    if longest > 0.4 * len(items):
        found.append(f"the key is the longest option in {longest} of {len(items)} items.")
    letter, count = Counter(LETTERS[_key(item)] for item in items).most_common(1)[0]
    if count > len(items) / 4 + 1:
        found.append(f"{letter} is the key of {count} of {len(items)} items: move some.")
    return found


def _key(item: dict) -> int:
    return [bool(option.get("correct")) for option in item["options"]].index(True)


def _named(bank: dict) -> list[tuple[str, dict]]:
    """The items as q1, q2, ...; one with `quiz: false`, which only chapters ask, has no name."""
    numbers = itertools.count(1)
    return [(f"q{next(numbers)}" if item.get("quiz", True) else "", item) for item in bank["items"]]


def _lettered(item: dict) -> list[tuple[str, dict]]:
    return list(zip(LETTERS, item["options"], strict=False))


def _reply(option: dict, misconceptions: dict) -> str:
    belief = misconceptions.get(option.get("misconception"), {}).get("belief", "")
    reply = {
        "right": bool(option.get("correct")),
        "why": option["why"].strip(),
        "belief": belief,
        "try": option.get("try", ""),
    }
    return json.dumps(reply)


def _opening(chapter: str, bank: dict) -> str:
    count = sum(bool(name) for name, _ in _named(bank))
    return (
        f"# Quiz {int(chapter[:2])}. {bank['title']}\n\n"
        f"{count} questions on chapter `{chapter}`, one point each.\n\n"
        'Write your letter in place of the three dots, for example `q1 = "A"`, and run the cell '
        "and the one below it. You are told whether it is right and why, and get a cell to try. "
        "You may change an answer as often as you like."
    )


def _setup(chapter: str) -> str:
    return f'{bootstrap()}\n\nfrom imagegen.quiz import checker\n\ncheck = checker("{chapter}")'


def _cell(cell, grade_id: str, *, grade=False, solution=False, locked=False, points=None):
    meta = {
        "grade": grade,
        "grade_id": grade_id,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    cell.metadata["nbgrader"] = meta | ({"points": points} if grade else {})
    cell["id"] = grade_id
    return cell


if __name__ == "__main__":
    build()
