"""A whole round with the real nbgrader: release, hand in, autograde, feedback, export, formgrader.

The commands are those of solutions/README.md, read from there.
"""

import csv
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from itertools import zip_longest
from pathlib import Path

import browser
import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook

from classroom import sandbox
from classroom.nbgrader_steps import restore
from classroom.quizbank import ROOT

CHAPTER = "01_first_image"
GUIDE = (ROOT / "solutions" / "README.md").read_text("utf-8")
COMMANDS = re.findall(r"^ {3}((?:python|nbgrader) .*)$", GUIDE, re.MULTILINE)
BUILD, RELEASE, GRADE, REPORT, FEEDBACK, EXPORT = COMMANDS
GRADE += " --trust" * bool(sandbox.why_not())
MUTANTS = yaml.safe_load((ROOT / "tests" / "mutants" / f"{CHAPTER}.yaml").read_text("utf-8"))[
    "wrong"
]


def _solved(kind):
    """A released notebook into which somebody has written all the right answers."""
    released = nbformat.read(ROOT / "quizzes" / CHAPTER / f"{kind}.ipynb", 4)
    right = nbformat.read(ROOT / "solutions" / CHAPTER / f"{kind}.ipynb", 4)
    sources = {cell.metadata.nbgrader.grade_id: cell.source for cell in right.cells}
    for cell in released.cells:
        if cell.metadata.nbgrader.solution:
            cell.source = sources[cell.metadata.nbgrader.grade_id]
    return released


def _cell(notebook, grade_id):
    return next(c for c in notebook.cells if c.metadata.nbgrader.grade_id == grade_id)


def _answer(kind, **answers):
    """A solved notebook with other answers in some of its cells."""
    notebook = _solved(kind)
    for grade_id, source in answers.items():
        _cell(notebook, grade_id).source = source
    return notebook


LOUD = """import warnings

warnings.warn("a warning, written to stderr")
q3 = "A"
"""


def _copied():
    """An answer and a test copied; below the right answer stands an untouched copy of the first."""
    notebook = _solved("quiz")
    for grade_id in ("seed_is_noise", "seed_is_noise_is_right"):
        at = notebook.cells.index(_cell(notebook, grade_id))
        copy = nbformat.from_dict(notebook.cells[at]) | {"id": f"copy-{grade_id}"}
        notebook.cells.insert(at + 1, nbformat.from_dict(copy))
    notebook.cells[at].source = "q3 = ..."
    return notebook


def _stripped():
    notebook = _solved("quiz")
    for cell in notebook.cells:
        cell.metadata.pop("nbgrader")
    return notebook


def _cheated():
    """Wrong answers under tests that were rewritten to hold, and worth more."""
    notebook = nbformat.read(ROOT / "quizzes" / CHAPTER / "quiz.ipynb", 4)
    for cell in notebook.cells:
        if cell.metadata.nbgrader.grade:
            cell.source, cell.metadata.nbgrader["points"] = "100", 100
    return notebook


def _deleted():
    """Half of the cells gone, and a cell of the learner's own that the answers need."""
    notebook = _solved("quiz")
    del notebook.cells[-12:]
    notebook.cells.insert(2, new_code_cell("mine = 'B'"))
    _cell_by_source(notebook, 'q1 = "B"').source = "q1 = mine"
    return notebook


def _cell_by_source(notebook, source):
    return next(cell for cell in notebook.cells if cell.source == source)


def _mutants():
    """Few submissions that hold every wrong solution once.

    A wrong draw() stands alone, since the tasks after it use it; wrong solutions of those share.
    """
    tasks = {}
    for mutant in MUTANTS:
        if mutant["cell"] == "draw":
            yield [mutant]
        else:
            tasks.setdefault(mutant["cell"], []).append(mutant)
    for group in zip_longest(*tasks.values()):
        yield [mutant for mutant in group if mutant]


SUBMISSIONS = {
    "ada": {"quiz": _solved("quiz"), "exercise": _solved("exercise")},
    "bob": {
        kind: nbformat.read(ROOT / "quizzes" / CHAPTER / f"{kind}.ipynb", 4)
        for kind in ("quiz", "exercise")
    },
    "warned": {"quiz": _answer("quiz", seed_is_noise=LOUD)},
    "crashed": {"quiz": _answer("quiz", seed_is_noise="q3 = 1 / 0")},
    "copied": {"quiz": _copied()},
    "stripped": {"quiz": _stripped()},
    "cheated": {"quiz": _cheated()},
    "deleted": {"quiz": _deleted()},
    "broken": {"quiz": "this is not a notebook"},
    "zoe": {"quiz": _answer("quiz", which_library="q2 = 'a'", cpu_or_gpu="q8 = ' a '")},
}
for number, group in enumerate(_mutants()):
    codes = {mutant["cell"]: mutant["code"] for mutant in group}
    SUBMISSIONS[f"mutant{number}"] = {"exercise": _answer("exercise", **codes)}


class Course:
    """A copy of the course, in which an instructor works."""

    def __init__(self, root):
        self.root = root
        self.database = f"sqlite:///{root / 'gradebook.db'}"
        for name in ("solutions", "quizzes"):
            shutil.copytree(ROOT / name, root / name)
        shutil.copy(ROOT / "nbgrader_config.py", root)
        package = root / "imagegen"  # so that building writes here, and not into the repository
        shutil.copytree(ROOT / "imagegen", package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(
            ROOT / "classroom", root / "classroom", ignore=shutil.ignore_patterns("__pycache__")
        )
        (root / "assets").symlink_to(ROOT / "assets")

    def run(self, command, **kwargs):
        program, *words = command.split()
        run = subprocess.run(
            [Path(sys.executable).with_name(program), *words],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            timeout=1800,
            **kwargs,
        )
        return run.returncode, run.stdout + run.stderr

    def hand_in(self, name, notebooks):
        folder = self.root / "submitted" / name / CHAPTER
        folder.mkdir(parents=True, exist_ok=True)
        for kind, notebook in notebooks.items():
            path = folder / f"{kind}.ipynb"
            if isinstance(notebook, str):
                path.write_text(notebook, "utf-8")
            else:  # as a careless editor writes it: what is damaged stays damaged
                path.write_text(nbformat.writes(notebook), "utf-8")

    def score(self, name, kind):
        with Gradebook(self.database) as gradebook:
            notebook = gradebook.find_submission_notebook(kind, CHAPTER, name)
            return notebook.score, notebook.needs_manual_grade

    def points(self, name, kind):
        with Gradebook(self.database) as gradebook:
            notebook = gradebook.find_submission_notebook(kind, CHAPTER, name)
            return {grade.name: (grade.score, grade.max_score) for grade in notebook.grades}

    def said(self, name, kind):
        """What the cells of a graded notebook printed, as {grade id: text}."""
        path = self.root / "autograded" / name / CHAPTER / f"{kind}.ipynb"
        return {
            cell.metadata.nbgrader.grade_id: " ".join(
                "".join(o.get("text", "") for o in cell.get("outputs", [])).split()
            )
            for cell in nbformat.read(path, 4).cells
            if cell.metadata.get("nbgrader")
        }


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course after a class has handed in and all of it was graded once."""
    course = Course(tmp_path_factory.mktemp("course"))
    status, said = course.run(BUILD)
    assert status == 0 and f"built quizzes/{CHAPTER}\n" in said, said
    status, said = course.run(RELEASE)
    assert status == 0 and f"{CHAPTER}: version 001-" in said, said
    for name, notebooks in SUBMISSIONS.items():
        course.hand_in(name, notebooks)
    course.code, course.log = course.run(GRADE)
    return course


def test_all_but_the_unreadable_file_are_graded(course):
    assert course.code == 0
    assert "broken: quiz 0/8 [unreadable: quiz.ipynb: it is no notebook]" in course.log
    assert {path.name for path in (course.root / "autograded").iterdir()} == SUBMISSIONS.keys()


def test_solved_scores_all_and_waits_for_a_person(course):
    assert course.score("ada", "quiz") == (8, False)
    assert course.score("ada", "exercise") == (11, True)


def test_unsolved_scores_nothing_and_needs_nobody(course):
    assert course.score("bob", "quiz") == (0, False)
    assert course.score("bob", "exercise") == (0, False)


@pytest.mark.parametrize(
    ("name", "kind", "score"),
    [
        ("warned", "quiz", 8),
        ("crashed", "quiz", 7),
        ("copied", "quiz", 8),
        ("stripped", "quiz", 8),
        ("cheated", "quiz", 0),
        ("deleted", "quiz", 4),
        ("broken", "quiz", 0),
        ("zoe", "quiz", 7),
        ("zoe", "exercise", 0),
    ],
)
def test_accidents_cost_only_what_is_wrong(course, name, kind, score):
    assert course.score(name, kind)[0] == score


@pytest.mark.parametrize("number", range(len([*_mutants()])))
def test_every_mutant_loses_points_and_is_told_why(course, number):
    group = [*_mutants()][number]
    points = course.points(f"mutant{number}", "exercise")
    said = course.said(f"mutant{number}", "exercise")
    tests = {"draw": "draw_follows_its_arguments", "series": "series_is_a_full_table"}
    tests["keep"] = "keep_loses_nothing"
    for mutant in group:
        score, worth = points[tests[mutant["cell"]]]
        assert score < worth
        assert mutant["says"] in said[tests[mutant["cell"]]]


def test_who_hands_in_again_is_graded_again_and_nobody_else(course):
    course.hand_in("crashed", {"quiz": _solved("quiz")})
    code, log = course.run(GRADE)
    assert code == 0 and "1 submissions in" in log, log
    assert course.score("crashed", "quiz") == (8, False)


def test_the_report_says_what_was_chosen(course):
    code, log = course.run(REPORT)
    assert code == 0, log
    page = (course.root / "reports" / f"{CHAPTER}.html").read_text("utf-8")
    assert "Teach this on Monday" in page and "broken" in page


def test_feedback_tells_each_learner_why(course):
    code, log = course.run(FEEDBACK)
    assert code == 0, log
    page = (course.root / "feedback" / "zoe" / CHAPTER / "quiz.html").read_text("utf-8")
    assert "q2: A is not right. Names such as" in page
    assert "q8: A is right." in page


def test_the_export_has_a_row_for_everybody(course):
    code, log = course.run(EXPORT)
    assert code == 0, log
    with (course.root / "grades.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["assignment"] == CHAPTER]
    assert len(rows) == len({row["student_id"] for row in rows})
    rows = {row["student_id"]: row for row in rows}
    assert rows.keys() >= SUBMISSIONS.keys()
    assert {row["max_score"] for row in rows.values()} == {"23.0"}
    assert float(rows["ada"]["score"]) == 19 and float(rows["bob"]["score"]) == 0


def _port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_formgrader_shows_the_class_and_takes_points_by_hand(course):
    url = f"http://127.0.0.1:{_port()}"
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--IdentityProvider.token=", f"--port={url.rsplit(':')[-1]}"]
    server = subprocess.Popen(
        command, cwd=course.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"{url}/api/status")
        with Gradebook(course.database) as gradebook:
            submission = gradebook.find_submission_notebook("exercise", CHAPTER, "ada").id
        with browser.page() as page:
            page.goto(f"{url}/formgrader/manage_assignments")
            row = page.locator("tr", has_text=CHAPTER)
            row.wait_for(timeout=60_000)
            handed_in = row.locator(".num-submissions").inner_text()
            assert int(handed_in) >= len(SUBMISSIONS)
            page.goto(f"{url}/formgrader/gradebook/{CHAPTER}/exercise")
            page.locator("td.name", has_text="Submission").first.wait_for(timeout=60_000)
            page.goto(f"{url}/formgrader/submissions/{submission}")
            # A box saves what is typed only from then on, and is emptied at that moment.
            loaded = "window.formgrader && formgrader.grades && formgrader.grades.loaded"
            page.wait_for_function(loaded, timeout=60_000)
            box = page.locator(".score").last
            box.fill("3")
            with page.expect_response(lambda r: "/api/grade/" in r.url and r.ok):
                box.press("Tab")
            results = ROOT / "results"
            results.mkdir(exist_ok=True)
            page.screenshot(path=results / "formgrader.png")
        assert course.score("ada", "exercise") == (14, False)
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(f"{address} did not answer within {seconds} s.")


# -- putting answers back, without nbgrader ----------------------------------------------------


def test_restoring_an_untouched_notebook_changes_nothing():
    released = nbformat.read(ROOT / "quizzes" / CHAPTER / "quiz.ipynb", 4)
    assert restore(nbformat.from_dict(released), nbformat.from_dict(released)) == released


def test_a_learners_own_cells_stay_where_they_were():
    released = nbformat.read(ROOT / "quizzes" / CHAPTER / "quiz.ipynb", 4)
    mine = nbformat.from_dict(released)
    mine.cells.insert(0, new_code_cell("first = 1"))
    mine.cells.insert(4, new_code_cell("fourth = 4"))
    mine.cells.append(new_code_cell("last = 9"))
    restored = restore(mine, nbformat.from_dict(released))
    assert [cell.source for cell in restored.cells] == [cell.source for cell in mine.cells]
