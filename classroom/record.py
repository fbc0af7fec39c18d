"""Write results down: nbgrader's gradebook is the record, and one process writes it.

A batch is one transaction. Afterwards a small file for each learner in grading/ASSIGNMENT says
what was graded, by content; who finds it there is not graded again. Killed in between, a batch is
graded once more and gives the same.
"""

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path

import nbformat
from nbgrader.api import (
    Comment,
    Grade,
    Gradebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)

from classroom import feedback
from classroom.collect import Submission
from classroom.gradebook import register
from classroom.releases import Release
from classroom.states import FAULT, GRADER


def fingerprint(submission: Submission) -> str:
    """A hash of what a learner handed in, and of the program that grades it."""
    parts = [GRADER.encode(), str(submission.handed_in).encode()]
    for kind, data in sorted(submission.files.items()):
        parts += [kind.encode(), b"-" if data is None else hashlib.sha256(data).digest()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


class Record:
    """The gradebook and the files of one assignment. url: of the database, as nbgrader takes it."""

    def __init__(self, root: Path, releases: list[Release], url: str, course_id: str = ""):
        self.root, self.releases, self.assignment = root, releases, releases[0].assignment
        if url.startswith("sqlite:///") and "?" not in url:
            url += "?timeout=120"  # a reader, such as formgrader, may hold it for a moment
        self.gradebook = Gradebook(url, course_id)
        self.db = self.gradebook.db
        self.folder = root / "grading" / self.assignment
        self.cells = {}
        for release in releases[::-1]:
            self.cells |= register(self.gradebook, release)

    def close(self) -> None:
        self.gradebook.close()

    @property
    def due(self) -> datetime | None:
        """When the assignment is due, in UTC; set in formgrader."""
        return self.gradebook.find_assignment(self.assignment).duedate

    def extensions(self) -> dict:
        """{learner: time beyond the due date}, set in formgrader."""
        rows = self._submissions().values()
        return {row.student_id: row.extension for row in rows if row.extension}

    def done(self) -> dict[str, dict]:
        """{learner: result} of all who were graded and stand in the gradebook."""
        recorded = set(self._submissions())
        results = {name: result for name, result in self.results().items() if name in recorded}
        return {
            name: result
            for name, result in results.items()
            if all(part["status"] != FAULT for part in result["notebooks"].values())
        }

    def results(self) -> dict[str, dict]:
        """{learner: result} of all who were graded so far."""
        found = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                result = json.loads(path.read_text("utf-8"))
            except ValueError:  # never written whole: graded again
                continue
            found[result["learner"]] = result
        return found

    def given_by_hand(self) -> dict[str, dict[tuple[str, str], float]]:
        """{learner: {(kind, grade id): points}} of all marks that a person has given."""
        names = {id: key for key, id in self.cells.items() if isinstance(key, tuple)}
        found = {}
        rows = (
            self.db.query(SubmittedAssignment.student_id, Grade.cell_id, Grade.score)
            .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
            .filter(Grade.manual_score.isnot(None))
        )
        for learner, cell_id, points in rows:
            if cell_id in names:
                kind, _, name = names[cell_id]
                found.setdefault(learner, {})[kind, name] = points
        return found

    def write(self, batch: list[dict]) -> None:
        """Enter a batch: notebooks, then the gradebook in one transaction, then files."""
        for result in batch:
            if result["notebooks"]:
                self._write_notebooks(result)
        rows = self._submissions()
        try:
            for result in batch:
                self._enter(result, rows)
            self.db.commit()
        except Exception:
            self.db.rollback()
            raise
        for result in batch:
            brief = {k: v for k, v in result.items() if k != "notebooks"}
            brief["notebooks"] = {
                kind: {k: v for k, v in part.items() if k not in ("outputs", "answers", "own")}
                for kind, part in result["notebooks"].items()
            }
            _replace(
                self.folder / f"{file_name(result['learner'])}.json", json.dumps(brief, indent=1)
            )

    def add_people(self, people: dict[str, str]) -> None:
        """Put the learners of a roster into the gradebook."""
        for learner, full in people.items():
            student = self.db.get(Student, learner)
            if student is None:
                last, comma, first = full.partition(",")  # "Doe, Jane"
                if not comma:
                    first, _, last = full.rpartition(" ")
                # nbgrader's export puts no quotes around a name, so a comma would move the columns.
                first, last = (name.replace(",", " ").strip() for name in (first, last))
                self.db.add(Student(id=learner, first_name=first or None, last_name=last or None))
        self.db.commit()

    # -- the gradebook -------------------------------------------------------------------------

    def _submissions(self):
        assignment = self.gradebook.find_assignment(self.assignment)
        rows = self.db.query(SubmittedAssignment).filter_by(assignment_id=assignment.id)
        return {row.student_id: row for row in rows}

    def _enter(self, result, rows):
        learner = result["learner"]
        if self.db.get(Student, learner) is None:
            self.db.add(Student(id=learner))
        if not result["notebooks"]:
            return
        row = rows.get(learner)
        if row is None:
            assignment = self.gradebook.find_assignment(self.assignment)
            row = SubmittedAssignment(assignment_id=assignment.id, student_id=learner)
            self.db.add(row)
            self.db.flush()
            rows[learner] = row
        handed_in = result.get("handed_in")
        row.timestamp = datetime.fromisoformat(handed_in) if handed_in else None
        for kind, part in result["notebooks"].items():
            self._enter_notebook(kind, part, row, result)

    def _enter_notebook(self, kind, part, row, result):
        found = self.db.query(SubmittedNotebook).filter_by(
            assignment_id=row.id, notebook_id=self.cells[kind]
        )
        notebook = found.one_or_none()
        if notebook is None:
            notebook = SubmittedNotebook(assignment_id=row.id, notebook_id=self.cells[kind])
            self.db.add(notebook)
            self.db.flush()
        release = next(r for r in self.releases if r.version == part["version"])
        notebook.late_submission_penalty = None
        flags = [text for text in result["flags"] if text.startswith(f"{kind}:")]
        notebook.flagged = bool(flags)
        grades = {g.cell_id: g for g in self.db.query(Grade).filter_by(notebook_id=notebook.id)}
        for name, (points, _, by_hand) in part["scores"].items():
            cell_id = self.cells[kind, "GradeCell", name]
            grade = grades.pop(cell_id, None)
            if grade is None:
                grade = Grade(cell_id=cell_id, notebook_id=notebook.id)
                self.db.add(grade)
            open_end = by_hand or part["status"] == FAULT
            grade.auto_score = None if open_end else points
            grade.needs_manual_grade = open_end or grade.manual_score is not None
        for grade in grades.values():  # of a version that this submission is no longer made from
            self.db.delete(grade)
        said = feedback.comments(release, kind, part)
        remarks = {c.cell_id: c for c in self.db.query(Comment).filter_by(notebook_id=notebook.id)}
        for name, text in said.items():
            cell_id = self.cells[kind, "SolutionCell", name]
            remark = remarks.get(cell_id)
            if remark is None:
                remark = Comment(cell_id=cell_id, notebook_id=notebook.id)
                self.db.add(remark)
            remark.auto_comment = text

    # -- the files -----------------------------------------------------------------------------

    def _write_notebooks(self, result):
        folder = self.root / "autograded" / result["learner"] / self.assignment
        for kind, part in result["notebooks"].items():
            release = next(r for r in self.releases if r.version == part["version"])
            graded = feedback.notebook(release, kind, part)
            _replace(folder / f"{kind}.ipynb", nbformat.writes(graded))
        if result.get("handed_in"):
            moment = datetime.fromisoformat(result["handed_in"])
            _replace(folder / "timestamp.txt", f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC")


def file_name(learner: str) -> str:
    """A name for a learner's file that every file system takes."""
    safe = "".join(c if c.isalnum() or c in " ._-'," else "_" for c in learner)[:100]
    return f"{safe}-{hashlib.sha256(learner.encode()).hexdigest()[:8]}"


def _replace(path, text):
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, path)
