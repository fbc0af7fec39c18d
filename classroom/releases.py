"""What learners were given, kept by version: releases/ASSIGNMENT/NUMBER-HASH, never deleted.

A version holds the released notebooks, the notebooks they were built from (with solutions and
hidden tests), and the questions of the quiz. Each submission is graded against the version it was
made from, so a question may be added after the first learners have handed in.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nbformat
import yaml

from imagegen.quiz import LETTERS


@dataclass(frozen=True)
class Task:
    """A cell of a released notebook, with what only the grader knows of it."""

    name: str
    cell_id: str
    kind: str  # "code" or "markdown"
    source: str  # as released
    trusted: str  # as in solutions/: a test with its hidden part, an answer with its solution
    solution: bool
    points: float | None  # None where nothing is given

    @property
    def is_test(self) -> bool:
        return self.points is not None and self.kind == "code"


@dataclass(frozen=True)
class Release:
    """One version of an assignment. folder: where it is kept; notebooks: {"quiz": tasks, ...}."""

    assignment: str
    version: str
    folder: Path
    notebooks: dict[str, list[Task]] = field(hash=False)
    questions: dict[str, dict] = field(hash=False)  # {"q1": item}, as in solutions/items
    beliefs: dict[str, dict] = field(hash=False)  # misconceptions by id

    def released(self, kind: str) -> nbformat.NotebookNode:
        """The notebook as learners got it."""
        return nbformat.read(self.folder / "released" / f"{kind}.ipynb", 4)

    @cached_property
    def key(self) -> dict[str, str]:
        """The right letters, {"q1": "C", ...}."""
        rights = {}
        for name, item in self.questions.items():
            place = [bool(option.get("correct")) for option in item["options"]].index(True)
            rights[name] = LETTERS[place]
        return rights

    def max_points(self, kind: str) -> float:
        """All points of a notebook, those that a person gives included."""
        return sum(task.points or 0 for task in self.notebooks[kind])


def keep(root: Path, assignment: str) -> Release:
    """Keep the quiz and the exercise as they are built now, and return this version.

    Raises ValueError if they are not built, or built from another state of solutions/.
    """
    files = {}
    for path in sorted((root / "quizzes" / assignment).glob("*.ipynb")):
        files[f"released/{path.name}"] = path.read_bytes()
        source = root / "solutions" / assignment / path.name
        if not source.is_file():
            raise ValueError(f"{source} is missing: quizzes/{assignment} was built from it.")
        files[f"source/{path.name}"] = source.read_bytes()
    if not files:
        raise ValueError(f"quizzes/{assignment} has no notebooks: use one of {_known(root)}.")
    items = root / "solutions" / "items"
    for path in (items / f"{assignment}.yaml", items / "misconceptions.yaml"):
        files[path.name] = path.read_bytes() if path.is_file() else b"{}\n"
    digest = hashlib.sha256(b"\0".join(n.encode() + b"\0" + d for n, d in files.items()))
    version = digest.hexdigest()[:12]
    folder = root / "releases" / assignment
    for old in _folders(root, assignment):
        if old.name.endswith(version):
            return load(old)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as new:
        for name, data in files.items():
            path = Path(new, "x", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        release = load(Path(new, "x"))  # and see that it can be read before it is kept
        _check(release)
        place = folder / f"{len(_folders(root, assignment)) + 1:03}-{version}"
        shutil.move(Path(new, "x"), place)
    return load(place)


def versions(root: Path, assignment: str) -> list[Release]:
    """All versions that were kept, the newest first."""
    return [load(folder) for folder in _folders(root, assignment)][::-1]


def load(folder: Path) -> Release:
    """Read a version from its folder."""
    notebooks = {}
    for path in sorted((folder / "released").glob("*.ipynb")):
        source = {_name(cell): cell for cell in _cells(folder / "source" / path.name)}
        notebooks[path.stem] = [_task(cell, source.get(_name(cell))) for cell in _cells(path)]
    assignment = folder.parent.name if folder.name != "x" else folder.parent.parent.name
    bank = yaml.safe_load((folder / f"{assignment}.yaml").read_text("utf-8")) or {}
    questions = {f"q{number}": item for number, item in enumerate(bank.get("items", []), 1)}
    beliefs = yaml.safe_load((folder / "misconceptions.yaml").read_text("utf-8")) or {}
    return Release(assignment, folder.name, folder, notebooks, questions, beliefs)


def best(found: list[tuple[str, str | None, str]], kind: str, all_versions: list[Release]):
    """The version that a submission was made from.

    found: its cells as (grade id, cell id, source). The version with the most cells of the same
    name and text wins; of equals the newest.
    """
    if len(all_versions) == 1:
        return all_versions[0]
    names = {name for name, _, _ in found if name} | {cell_id for _, cell_id, _ in found}
    texts = {" ".join(source.split()) for _, _, source in found}

    def fits(release):
        tasks = release.notebooks.get(kind, [])
        known = sum(t.name in names or t.cell_id in names for t in tasks)
        same = sum(" ".join(t.source.split()) in texts for t in tasks)
        strange = len({n for n, _, _ in found if n} - {t.name for t in tasks})
        return same * 2 + known - strange

    return max(all_versions, key=fits)  # max() keeps the first, and the newest comes first


def modes(release: Release) -> dict:
    """Which test cells can be judged from outside, if that has been found out: {name: bool}."""
    path = release.folder / "judged.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _folders(root, assignment):
    return sorted(
        p for p in (root / "releases" / assignment).glob("[0-9][0-9][0-9]-*") if p.is_dir()
    )


def _known(root):
    return ", ".join(sorted(p.name for p in (root / "quizzes").iterdir() if p.is_dir()))


def _cells(path):
    return [c for c in nbformat.read(path, 4).cells if c.metadata.get("nbgrader")]


def _name(cell):
    return cell.metadata.nbgrader.grade_id


def _task(cell, source):
    meta = cell.metadata.nbgrader
    trusted = cell if source is None else source
    return Task(
        name=meta.grade_id,
        cell_id=cell.get("id", meta.grade_id),
        kind="code" if cell.cell_type == "code" else "markdown",
        source=cell.source,
        trusted=trusted.source,
        solution=bool(meta.solution),
        points=float(meta.points) if meta.grade else None,
    )


def _check(release):
    for kind, tasks in release.notebooks.items():
        solved = _cells(release.folder / "source" / f"{kind}.ipynb")
        if [t.name for t in tasks] != [_name(c) for c in solved]:
            raise ValueError(
                f"quizzes/{release.assignment}/{kind}.ipynb was built from another state of "
                "solutions/: run `python -m classroom.quizbank` first."
            )
