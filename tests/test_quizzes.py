"""The quizzes and exercises: built from their sources, open to everybody, fooled by no mutant."""

import ast
import contextlib
import io
import re
import shutil
import subprocess
import sys
from functools import cache

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager

from classroom import quizbank

ROOT = quizbank.ROOT
CHAPTERS = sorted(path.stem for path in (ROOT / "solutions" / "items").glob("[0-9]*.yaml"))
MUTANTS = ROOT / "tests" / "mutants"
BANK = {  # a chapter without its file fails in a test, and not in the collection of all
    chapter: yaml.safe_load(path.read_text("utf-8"))
    if (path := MUTANTS / f"{chapter}.yaml").exists()
    else {"right": [], "wrong": []}
    for chapter in CHAPTERS
}


def _answers(kind):
    return [
        pytest.param(chapter, answer, id=f"{answer['cell']}: {answer['name']}")
        for chapter in CHAPTERS
        for answer in BANK[chapter][kind]
    ]


def _cells(path):
    """The code cells of a notebook as {grade id: source}, in order."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return {cell.metadata.nbgrader.grade_id: cell.source for cell in cells}


def _points(path):
    """What each graded cell of a notebook is worth; by hand means a written answer."""
    return {
        cell.metadata.nbgrader.grade_id: (cell.metadata.nbgrader.points, cell.cell_type)
        for cell in nbformat.read(path, 4).cells
        if cell.metadata.nbgrader.grade
    }


def _execute(source, names):
    """Run one cell as the kernel would; return the value of its last line and what it printed."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        exec(compile(tree, "cell", "exec"), names)
        value = last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    assert err.getvalue() == "", f"stderr: {err.getvalue()}"
    return value, out.getvalue()


@cache
def _prepared(chapter):
    """The exercise's cells, and its names after the setup: a model is loaded only once."""
    cells, names = _cells(ROOT / "solutions" / chapter / "exercise.ipynb"), {}
    for name in list(cells):
        if name in ("setup", "same"):
            _execute(cells.pop(name), names)
    return cells, names


@cache
def _before(chapter, cell):
    """The exercise's cells, and its names once all above this one have run, but for the tests."""
    cells, names = _prepared(chapter)
    names, graded = dict(names), _points(ROOT / "solutions" / chapter / "exercise.ipynb")
    for name in list(cells)[: list(cells).index(cell)]:
        if name not in graded:
            _execute(cells[name], names)
    return cells, names, graded


def _grade(chapter, answer):
    """Run the tests below one cell with this answer in it: points, worth, what was said."""
    cells, names, graded = _before(chapter, answer["cell"])
    below = list(cells)[list(cells).index(answer["cell"]) + 1]
    names = dict(names)
    _execute(answer["code"], names)
    points, said = _execute(cells[below], names)
    return points, graded[below][0], " ".join(said.split())


@pytest.fixture
def copy(tmp_path):
    """The parts of the course that quizzes are built from, in a folder of their own."""
    for name in ("solutions", "quizzes"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    (tmp_path / "imagegen").mkdir()
    return tmp_path


def _built(root):
    names = [*root.glob("quizzes/*/*"), *root.glob("solutions/*/quiz.ipynb")]
    files = [path for path in names if path.is_file()]  # results/ is what running one leaves
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


# -- building ----------------------------------------------------------------------------------


def test_building_again_changes_no_byte(copy):
    quizbank.build(copy)
    assert _built(copy) == _built(ROOT)
    shipped = copy / "imagegen" / quizbank.ITEMS.name
    assert shipped.read_bytes() == quizbank.ITEMS.read_bytes()


def test_building_refuses_to_overwrite_somebodys_answers(copy):
    path = copy / "quizzes" / "01_first_image" / "quiz.ipynb"
    path.write_text(path.read_text("utf-8").replace("q2 = ...", "q2 = 'C'"), "utf-8")
    before = _built(copy)
    with pytest.raises(SystemExit, match=r"quiz.ipynb holds answers \(which_library\)"):
        quizbank.build(copy)
    assert _built(copy) == before


def test_building_names_what_is_wrong_with_a_bank(copy):
    path = copy / "solutions" / "items" / "01_first_image.yaml"
    path.write_text(path.read_text("utf-8").replace("misconception: m26", "misconception: x"))
    with pytest.raises(SystemExit, match="item which_library: option A names no misconception"):
        quizbank.build(copy)
    assert _built(copy) == _built(ROOT)


# The course returns to a belief in a second chapter, unless the bank says that it is met once.
BANKS, BELIEFS = quizbank.load(ROOT / "solutions" / "items")
RETURNING = [belief for belief, about in BELIEFS.items() if not about.get("once")]


@pytest.mark.parametrize("belief", RETURNING)
def test_a_belief_is_offered_by_two_items_in_two_chapters(belief):
    asked = {
        chapter: [
            item["id"]
            for item in BANKS[chapter]["items"]
            if belief in [option.get("misconception") for option in item["options"]]
        ]
        for chapter in CHAPTERS
    }
    asked = {chapter: items for chapter, items in asked.items() if items}
    assert len(asked) >= 2, f"{belief} is offered in {asked} alone"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_many_think_is_refuted_by_a_cell_below(chapter):
    """Every "Many think" has its "In fact" and its "See it", and the next cell is code."""
    cells = nbformat.read(ROOT / "chapters" / f"{chapter}.ipynb", 4).cells
    boxes = [i for i, cell in enumerate(cells) if "**Many think**" in cell.source]
    assert boxes
    for i in boxes:
        assert "**In fact**" in cells[i].source and "**See it:**" in cells[i].source
        assert cells[i + 1].cell_type == "code", cells[i].source


# -- what is released --------------------------------------------------------------------------

RELEASED = sorted((ROOT / "quizzes").glob("*/*.ipynb"))


@pytest.mark.parametrize("path", RELEASED, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_released_notebook_holds_no_solution(path):
    text = path.read_text("utf-8")
    assert "SOLUTION" not in text and "HIDDEN TESTS" not in text
    solved = _cells(ROOT / "solutions" / path.parent.name / path.name)
    released = _cells(path)
    assert list(solved) == list(released)
    for cell in nbformat.read(path, 4).cells:
        meta = cell.metadata.nbgrader
        if meta.solution and cell.cell_type == "code":
            assert cell.source != solved[meta.grade_id] and "..." in cell.source
        if path.name == "quiz.ipynb" and meta.grade:
            assert re.fullmatch(r'check\("(q\d+)", \1\)', cell.source.strip())


@pytest.mark.parametrize("path", RELEASED, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_released_notebook_runs_to_its_end_unsolved_and_scores_nothing(path):
    names = {}
    points = _points(path)
    for name, source in _cells(path).items():
        value, said = _execute(source, names)
        if name in points:
            assert not value and said.strip()


def test_a_solution_that_loses_a_point_fails_when_nbval_runs_it(tmp_path):
    """solutions/conftest.py does this for every graded cell of the solutions."""
    shutil.copy(ROOT / "solutions" / "conftest.py", tmp_path)
    about = {"nbgrader": {"grade": True, "grade_id": "task", "points": 2, "schema_version": 3}}
    answers = ("2", "2.0", "1", "...", "pass")
    cells = [nbformat.v4.new_code_cell(answer, metadata=about) for answer in answers]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "exercise.ipynb")
    command = ["pytest", "-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    run = subprocess.run([sys.executable, "-m", *command, tmp_path], capture_output=True, text=True)
    failed = re.findall(r"^FAILED .*Cell (\d)", run.stdout, re.MULTILINE)
    assert failed == ["2", "3", "4"], run.stdout


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_an_exercise_has_two_or_three_tasks_that_count_themselves_and_an_open_one(chapter):
    kinds = [kind for _, kind in _points(ROOT / "solutions" / chapter / "exercise.ipynb").values()]
    assert 2 <= kinds.count("code") <= 3 and kinds.count("markdown") == 1


# -- answers, right and wrong ------------------------------------------------------------------


@pytest.mark.parametrize(("chapter", "answer"), _answers("right"))
def test_right_answers_that_are_written_differently_score_all_points(chapter, answer):
    points, worth, said = _grade(chapter, answer)
    assert points == worth, said


@pytest.mark.parametrize(("chapter", "answer"), _answers("wrong"))
def test_wrong_answers_lose_points_and_are_told_why(chapter, answer):
    points, worth, said = _grade(chapter, answer)
    assert points < worth
    assert answer["says"] in said
    assert "belief" not in answer or answer["belief"] in BELIEFS


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_some_wrong_answers_name_the_belief_behind_them(chapter):
    assert any("belief" in answer for answer in BANK[chapter]["wrong"])


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_task_has_two_other_right_answers_and_some_wrong_ones(chapter):
    tasks = {answer["cell"] for kind in BANK[chapter].values() for answer in kind}
    assert tasks, f"tests/mutants/{chapter}.yaml is missing"
    for task in tasks:
        assert sum(answer["cell"] == task for answer in BANK[chapter]["right"]) >= 2
        assert sum(answer["cell"] == task for answer in BANK[chapter]["wrong"]) >= 3
    path = ROOT / "solutions" / chapter / "exercise.ipynb"
    assert len(tasks) == sum(kind == "code" for _, kind in _points(path).values())
