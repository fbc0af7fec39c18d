"""One class, graded by the command: right points, closed attacks, one row for each learner."""

import csv
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from datetime import datetime

import classes
import nbformat
import pytest
import yaml
from classes import CHAPTER, ROOT, SUBMISSIONS
from nbgrader.api import Gradebook

from classroom import collect, feedback, judge, letters, normalise, plain, releases, sandbox
from classroom.execute import Grader
from classroom.probe import find_modes

NO_SANDBOX = sandbox.why_not()
needs_sandbox = pytest.mark.skipif(bool(NO_SANDBOX), reason=f"NO SANDBOX HERE: {NO_SANDBOX}")
TIMEOUT = "25"  # seconds for a cell; the machine may be busy
SECRET = "planted-4711"


class Course:
    """A copy of the course, in which an instructor works."""

    def __init__(self, root):
        self.root, self.home = root, root / "home"
        for name in ("solutions", "quizzes", "imagegen", "classroom"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, root / name, ignore=ignore)
        for name in ("assets", "chapters"):
            (root / name).symlink_to(ROOT / name)
        shutil.copy(ROOT / "nbgrader_config.py", root)
        self.home.mkdir()
        for folder in (root, root / "solutions", self.home):
            (folder / f"{SECRET}.txt").write_text(SECRET)

    def command(self, *words):
        return [sys.executable, "-m", "classroom", *map(str, words)]

    @property
    def environment(self):
        place = {"PYTHONPATH": str(self.root), "HOME": str(self.home), "PLANTED": SECRET}
        return os.environ | place

    def run(self, *words):
        done = subprocess.run(
            self.command(*words),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=1500,
        )
        return done.returncode, done.stdout + done.stderr

    def grade(self, *words):
        trust = ["--trust"] if NO_SANDBOX else []
        return self.run("grade", CHAPTER, "--timeout", TIMEOUT, *trust, *words)

    def scores(self):
        """{learner: (points of the quiz, of the exercise)} as the gradebook has them."""
        with Gradebook(f"sqlite:///{self.root / 'gradebook.db'}", "image-generation") as book:
            return {
                s.student.id: tuple(
                    sum(n.score for n in s.notebooks if n.name == kind)
                    for kind in ("quiz", "exercise")
                )
                for s in book.assignment_submissions(CHAPTER)
            }


def expected(names=SUBMISSIONS):
    return {name: (quiz, exercise) for name, (quiz, exercise, *_) in names.items()}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course after the class was graded once, with two workers."""
    course = Course(tmp_path_factory.mktemp("class"))
    assert course.run("release", CHAPTER)[0] == 0
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}", "image-generation") as book:
        due = datetime(2026, 3, 1, 12)
        book.update_or_create_assignment(CHAPTER, duedate=due)
    for name, (*_, files) in SUBMISSIONS.items():
        classes.hand_in(course.root, name, files)
    roster = course.root / "class.csv"
    roster.write_text('id;name\nfull;"Full, Ada"\nabsent;Absent Bob\n', "utf-8")
    course.code, course.log = course.grade("--workers", 2, "--roster", roster)
    course.first = course.scores()
    return course


# -- the class ---------------------------------------------------------------------------------


def test_all_are_graded_and_none_aborts_the_class(course):
    assert course.code == 0, course.log
    assert f"{len(SUBMISSIONS)} submissions in" in course.log


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_each_gets_the_right_points_and_its_reason(course, name):
    assert course.first[name] == expected()[name], lines_of(course, name)
    assert SUBMISSIONS[name][2] in lines_of(course, name)


def lines_of(course, name):
    """The lines of a learner in the log."""
    found = re.search(rf"^{re.escape(name)}: .*\n(?:    .*\n)*", course.log, re.M)
    assert found, course.log
    return found[0]


def test_the_isolation_is_said(course):
    assert "Isolation: bubblewrap" in course.log or "Isolation: NONE" in course.log


def test_everybody_has_one_row_and_the_absent_one_says_so(course):
    assert "absent: nothing was handed in" in course.log
    code, said = course.run("report", CHAPTER, "--roster", course.root / "class.csv")
    assert code == 0, said
    path = course.root / "reports" / f"{CHAPTER}.csv"
    with path.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["learner"] for row in rows) == sorted([*SUBMISSIONS, "absent"])
    rows = {row["learner"]: row for row in rows}
    assert rows["absent"]["state"] == rows["nothing"]["state"] == "missing"
    assert rows["absent"]["points"] == "" and rows["untouched"]["points"] == "0.0"
    assert rows["full"]["state"] == "pending" and rows["full"]["pending"] == "4.0"
    assert rows["late"]["late"] == "late" and rows["full"]["name"] == "Full, Ada"
    page = (course.root / "reports" / f"{CHAPTER}.html").read_text("utf-8")
    assert "<script" not in page and "http" not in re.sub(r'charset|viewport|"en"', "", page)[:300]
    assert "beta is the factor of the noise." in page and "betas() returns nothing" in page
    assert "was edited; the released one was used (and 7 more like it)" in page


@needs_sandbox
def test_nothing_of_the_course_the_class_or_the_home_was_found(course):
    said = outputs(course, "thief")
    assert "FOUND []" in said and "ENVIRONMENT []" in said and "no net" in said
    assert "CAN WRITE []" in said and not said.split("CAN WRITE []")[1].strip().startswith("0\n")
    assert not [p for p in course.root.rglob("left_behind")]


@needs_sandbox
def test_nothing_outlives_a_submission(course):
    listing = subprocess.run(["ps", "-eo", "uid,args"], capture_output=True, text=True).stdout
    assert not re.findall(r"^ *(?:61\d\d\d|\d+) sleep 3600$", listing, re.M)


def outputs(course, name):
    path = course.root / "autograded" / name / CHAPTER / "exercise.ipynb"
    cells = nbformat.read(path, 4).cells
    return "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))


def test_feedback_is_for_everybody_and_shows_no_key_and_no_script(course):
    code, said = course.run("feedback", CHAPTER)
    assert code == 0, said
    for name in SUBMISSIONS:
        for kind in ("quiz", "exercise"):
            page = course.root / "feedback" / name / CHAPTER / f"{kind}.html"
            text = page.read_text("utf-8")
            assert "HIDDEN TESTS" not in text and "letter_of" not in text
            scripts = re.findall(r"<script\b.*?</script>", text, re.DOTALL)
            assert not [script for script in scripts if "document.title" in script], name
    wrong = (course.root / "feedback" / "half" / CHAPTER / "quiz.html").read_text("utf-8")
    assert "is not right" in wrong and "A common belief behind it" in wrong
    for item, key in zip(classes.ITEMS, classes.KEY, strict=True):
        right = item["options"]["ABCD".index(key)]["why"].strip()[:30]
        assert (right in wrong) == (classes.ITEMS.index(item) < 4)
    path = course.root / "autograded" / "script" / CHAPTER / "exercise.ipynb"
    shown = [o for c in nbformat.read(path, 4).cells for o in c.get("outputs", []) if "data" in o]
    html = [o["data"]["text/html"] for o in shown if "text/html" in o["data"]]
    assert html == ["<b>bold</b>"]


def test_who_has_not_changed_is_not_graded_again_and_who_has_is(course):
    before = course.scores()
    classes.hand_in(course.root, "half", classes.both())
    code, log = course.grade("--workers", 1)
    assert code == 0, log
    assert "1 submissions in" in log and "half: quiz 8/8, exercise 11/15" in log
    assert course.scores() == before | {"half": (8, 11)}


def test_a_mark_by_hand_stays_and_is_exported(course):
    with Gradebook(f"sqlite:///{course.root / 'gradebook.db'}", "image-generation") as book:
        mark = book.find_grade("own_schedule_findings", "exercise", CHAPTER, "full")
        assert mark.needs_manual_grade and mark.auto_score is None
        mark.manual_score, mark.needs_manual_grade = 3.0, False
        book.db.commit()
    code, log = course.grade("--workers", 1, "--only", "full", "--force")
    assert code == 0, log
    assert course.scores()["full"] == (8, 14)
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "export"],
        cwd=course.root, env=course.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (course.root / "grades.csv").open(encoding="utf-8") as file:
        rows = {r["student_id"]: r for r in csv.DictReader(file) if r["assignment"] == CHAPTER}
    assert rows["full"]["score"] == "22.0" and rows["full"]["max_score"] == "23.0"


def test_a_question_added_after_a_release_harms_nobody(course):
    """Who has the older version is graded by it; the release of it stays."""
    bank = course.root / "solutions" / "items" / f"{CHAPTER}.yaml"
    items = yaml.safe_load(bank.read_text("utf-8"))
    items["items"].append(items["items"][0] | {"id": "one_more_question"})
    bank.write_text(yaml.safe_dump(items, allow_unicode=True), "utf-8")
    build = "from classroom import quizbank, publish; from pathlib import Path\n"
    build += f"bank = quizbank.load(Path('solutions/items'))[0]['{CHAPTER}']\n"
    build += "import nbformat\n"
    build += f"nbformat.write(quizbank.quiz('{CHAPTER}', bank), 'solutions/{CHAPTER}/quiz.ipynb')\n"
    build += f"print(quizbank.course(Path.cwd()).generate_assignment('{CHAPTER}'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=course.root, env=course.environment)
    assert done.returncode == 0
    assert course.run("release", CHAPTER)[0] == 0
    assert len(releases.versions(course.root, CHAPTER)) == 2
    new = nbformat.read(course.root / "quizzes" / CHAPTER / "quiz.ipynb", 4)
    for number, key in enumerate([*classes.KEY, classes.KEY[0]], 1):
        cell = next(c for c in new.cells if c.source == f"q{number} = ...")
        cell.source = f'q{number} = "{key}"'
    classes.hand_in(course.root, "newer", {"quiz.ipynb": new})
    code, log = course.grade("--workers", 1, "--only", "newer", "full", "--force")
    assert code == 0, log
    assert "newer: quiz 9/9" in log and "full: quiz 8/8" in log


def test_stock_nbgrader_gives_honest_work_the_same_points(course):
    """Different on purpose: a letter that only running the code would tell is no answer here."""
    names = ["half", "helper", "float64", "in_place", "syntax", "loud"]
    stock = course.root / "stock"
    stock.mkdir()
    for name in ("nbgrader_config.py", "solutions", "quizzes", "classroom", "imagegen"):
        (stock / name).symlink_to(ROOT / name)
    for name in names:  # all but one have the quiz of "full"
        files = SUBMISSIONS[name][3]
        same = name != "half" and name != "helper" and files["quiz.ipynb"] == classes.quiz()
        classes.hand_in(stock, name, {k: v for k, v in files.items() if k[0] == "e" or not same})
    url = f"sqlite:///{stock / 'gradebook.db'}"
    environment = course.environment | {"GRADEBOOK_URL": url, "PYTHONPATH": str(ROOT)}
    for command in ("generate_assignment", "autograde"):
        words = [sys.executable, "-m", "nbgrader", command, CHAPTER]
        words += [f"--CourseDirectory.root={stock}"]
        words += ["--CourseDirectory.release_directory=given"] * (command != "autograde")
        done = subprocess.run(
            words, cwd=stock, env=environment, capture_output=True, text=True, timeout=1500
        )
        assert done.returncode == 0, done.stderr[-3000:]
    with Gradebook(url, "image-generation") as book:
        for name in names:
            for kind, points in zip(("quiz", "exercise"), SUBMISSIONS[name][:2], strict=True):
                if (stock / "submitted" / name / CHAPTER / f"{kind}.ipynb").is_file():
                    found = book.find_submission_notebook(kind, CHAPTER, name)
                    assert found.score == points, (name, kind)


# -- killed, resumed, one worker ---------------------------------------------------------------


def test_killed_in_mid_run_it_resumes_to_the_same_grades(tmp_path):
    names = ["half", "loose", "dies", "cut", "liar", "markdown", "nothing"]
    course = Course(tmp_path)
    session = course.root / "classroom" / "session.py"
    text = session.read_text("utf-8")
    session.write_text(text.replace("BATCH, SECONDS = 40", "BATCH, SECONDS = 2"), "utf-8")
    for name in names:
        classes.hand_in(course.root, name, SUBMISSIONS[name][3])
    words = ["grade", CHAPTER, "--workers", 1, "--timeout", TIMEOUT]
    words += ["--trust"] if NO_SANDBOX else []
    run = subprocess.Popen(
        course.command(*words),
        cwd=course.root,
        env=course.environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    graded = 0
    for line in run.stdout:
        graded += bool(re.match(rf"({'|'.join(names)}): ", line))
        if graded == 4:
            run.send_signal(signal.SIGKILL)
            break
    run.wait()
    run.stdout.close()
    time.sleep(1)
    code, log = course.grade("--workers", 1)
    assert code == 0, log
    before = re.search(r"(\d) submissions have not changed since they were graded", log)
    assert before and 2 <= int(before[1]) <= 4, log
    assert course.scores() == expected({n: SUBMISSIONS[n] for n in names})
    code, log = course.grade("--workers", 1)
    assert "0 submissions in" in log and "7 submissions have not changed" in log


def test_without_a_sandbox_a_class_is_refused_unless_trusted(tmp_path, monkeypatch, capsys):
    from classroom.__main__ import main

    monkeypatch.setattr(sandbox, "why_not", lambda: "bubblewrap is not installed")
    monkeypatch.chdir(tmp_path)
    assert main(["grade", CHAPTER]) == 2
    assert "There is no sandbox: bubblewrap is not installed." in capsys.readouterr().err


# -- the parts ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """The chapter as it is now, kept as a version."""
    root = tmp_path_factory.mktemp("version")
    for name in ("solutions", "quizzes"):
        shutil.copytree(ROOT / name, root / name)
    return releases.keep(root, CHAPTER)


@pytest.mark.parametrize(
    ("source", "letter"),
    [
        ('q1 = "C"', "C"),
        ("q1 = 'c.'", "C"),
        ('q1 = "C. About 0.71"', "C"),
        ("q1 = ' (c) '", "C"),
        ("q1 = 'Ｃ'", "C"),
        ("q1 = 'С'", "C"),  # Cyrillic
        ("q1 = “C”", "C"),
        ("%%time\nq1: str = 'ABCD'[2]", "C"),
        ("q1 = mine", "B"),
        ("q1, q2 = 'C', 'D'", "C"),
        ("  q1 = 'C'", "C"),
        (">>> q1 = 'C'", "C"),
        ("In [3]: q1 = 'C'", "C"),
        ("ｑ１ ＝ ＂Ｃ＂", "C"),
        ("q1 = 'C' if known else 'C'", None),
        ("def f(): return 'C'\nq1 = f()", None),
        ("globals()['q1'] = 'C'", None),
        ("q1 == 'C'", None),
        ("q1 = 'A'\nq1 = 'C'", "C"),
        ("q1 = ...", None),
        ("q1 = C", None),
        ("q1 = 'Cat'", None),
        ("q1 = 'C or D'", None),
        ("q1 = 'E'", None),
        ("q1 = ['C']", None),
        ("q1 = key['q1']", None),
        ("q1 = __import__('os').getenv('C')", None),
        ("q1 = input()", None),
        ("q1 = 'C' if True else 'D'", None),
        ("q1 = " + "(" * 500 + "'C'" + ")" * 500, None),
        ("q2 = 'C'", None),
    ],
)
def test_a_letter_is_read_and_never_run(source, letter):
    assert letters.read([source], "q1", {"mine": "B"}, "ABCD")[0] == letter


def test_every_key_is_read_as_the_key_and_every_other_letter_as_wrong(version):
    grader = Grader([version], isolated=False)
    for shift in range(4):
        answers = ["ABCD"[("ABCD".index(key) + shift) % 4] for key in classes.KEY]
        data = nbformat.writes(classes.quiz(answers)).encode()
        part = grader.grade({"quiz": data})["notebooks"]["quiz"]
        assert sum(s[0] for s in part["scores"].values()) == (8 if shift == 0 else 0)
        assert list(part["letters"].values()) == answers


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b"\0" * 50, "empty"),
        (b"<!DOCTYPE html><p>", "web page"),
        (b'{"cells": [{"cell_type": "code", "source": "x', "cut off"),
        (b"PK\3\4junk", "archive"),
        (b"%PDF-1.4", "PDF"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1}', "no cells"),
        (b'{"cells": [\n<<<<<<< HEAD\n', "git"),
    ],
)
def test_what_is_no_notebook_is_named(data, what):
    with pytest.raises(normalise.Unreadable, match=what):
        normalise.read(data)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_notebook_is_read_in_any_encoding(encoding):
    cells, _ = normalise.read(nbformat.writes(classes.quiz()).encode(encoding))
    assert [c.source for c in cells] == [c.source for c in classes.quiz().cells]


def test_an_untouched_notebook_has_no_answers(version):
    for kind in version.notebooks:
        cells, repairs = normalise.read(nbformat.writes(version.released(kind)).encode())
        placed = normalise.place(cells, kind, [version])
        assert (placed.answers, placed.own, placed.flags, repairs) == ({}, {}, [], [])


def test_all_tests_of_the_chapter_are_judged_from_outside(version):
    assert find_modes(version) == {
        "noise_step_is_variance_preserving": True,
        "jump_lands_where_the_chain_does": True,
        "betas_give_the_curve_back": True,
    }


@pytest.mark.parametrize("place", ["class.zip", "class"])
def test_a_class_is_found_in_what_a_learning_platform_gives(tmp_path, version, place):
    files = {
        f"Ada Byron_123_assignsubmission_file_/{CHAPTER}/quiz.ipynb": classes.quiz(),
        "Bob_124_assignsubmission_file_/hand in.zip": classes.zipped(classes.both()),
        "../../escape_125_assignsubmission_file_/quiz.ipynb": classes.quiz(),
    }
    if place == "class.zip":
        (tmp_path / place).write_bytes(classes.zipped(files))
    else:
        for name, content in files.items():
            path = tmp_path / place / name.replace("../", "")
            path.parent.mkdir(parents=True, exist_ok=True)
            is_bytes = isinstance(content, bytes)
            path.write_bytes(content if is_bytes else nbformat.writes(content).encode())
    found = {s.learner: s for s in collect.collect([tmp_path / place], CHAPTER, [version])}
    assert set(found) == {"Ada Byron", "Bob", "escape"}
    assert found["Ada Byron"].files["exercise"] is None and found["Bob"].files["exercise"]


def test_two_people_of_one_name_are_two_people(tmp_path, version):
    data = nbformat.writes(classes.quiz()).encode()
    for number in (7, 8):
        path = tmp_path / f"Ada Byron_{number}_assignsubmission_file_" / "quiz.ipynb"
        path.parent.mkdir()
        path.write_bytes(data)
    (tmp_path / os.fsdecode("Zoë_9_assignsubmission_file_".encode("cp1252"))).mkdir()
    found = {s.learner: s for s in collect.collect([tmp_path], CHAPTER, [version])}
    assert set(found) == {"Ada Byron (7)", "Ada Byron (8)", "Zoë"}
    assert all(found[f"Ada Byron ({n})"].files["quiz"] == data for n in (7, 8))
    assert "2 people are called Ada Byron" in found["Ada Byron (7)"].repairs


def test_an_archive_that_grows_too_far_is_refused(tmp_path, version):
    bomb = classes.zipped({"quiz.ipynb": b"0" * 200_000_000})
    (tmp_path / "eve.zip").write_bytes(bomb)
    (only,) = collect.collect([tmp_path / "eve.zip"], CHAPTER, [version])
    assert only.empty and "grows more than a hundredfold" in only.flags[0]


def test_the_lines_of_tally_are_read_back(capsys):
    from imagegen.quiz import tally

    def it_holds():
        pass

    def it_fails():
        raise AssertionError("a long reason: " + "word " * 30 + "end")

    tally(it_holds, it_fails)
    found = judge.checks_of(capsys.readouterr().out)
    assert found[0] == ("it holds", True, "")
    assert found[1][:2] == ("it fails", False) and found[1][2].endswith("word end")


@pytest.mark.parametrize(
    "data",
    [
        {"tensor": ["float32", [10**6, 10**6], 0, False]},  # memory that nobody wrote
        {"tensor": ["load", [1], 0, False]},
        {"array": ["|O", [1], 0]},
        {"record": ["os", "system", {"command": {"str": "true"}}]},
        {"record": ["imagegen.training.__main__", "main", {}]},
        {"dict": [[{"list": []}, None]]},
        {"float": "1", "int": "1"},
        {"int": "9" * 5000},
    ],
)
def test_forged_data_are_no_data(data):
    with pytest.raises(plain.Broken):
        plain.decode(data, [b""])


def test_gradings_at_once_share_no_account():
    """The kernel limits the processes of an account, whoever started them."""
    accounts = [sandbox._account() for _ in range(3)]
    for _, claim in accounts:
        claim.close()
    assert len({uid for uid, _ in accounts}) == 3


def test_a_message_that_drips_is_not_waited_for():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(struct.pack(">I", 1000) + b" ")
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            plain.receive(ours, 0.2)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "text",
    [
        "<script>x()</script>",
        "[a](javascript:x())",
        "![a](<javascript:x()>)",
        "[a][b]\n\n[b]: javascript:x()",
        "$<img src=x onerror=x()>$",
    ],
)
def test_markdown_of_a_learner_runs_nothing(text):
    from nbconvert.filters import markdown2html

    page = markdown2html(feedback.harmless(text))
    assert not re.search(
        r"<script|<img(?! src=\"#\")|(href|src)=\"javascript|onerror=[^&]*>", page.split("$")[0]
    )
    assert "javascript:" not in page


def test_outputs_are_cleaned():
    data = {
        "text/html": "<table onclick=x()><tr><td>1</td></tr></table><iframe src=x></iframe>",
        "application/javascript": "x()",
        "image/svg+xml": "<svg onload=x()>",
        "image/png": 'x" onerror="x()',
    }
    shown = {"output_type": "display_data", "data": data, "metadata": {"text/html": {"a": 1}}}
    (cell,) = feedback.clean([shown])
    assert cell.data == {"text/html": "<table><tbody><tr><td>1</td></tr></tbody></table>"} or (
        cell.data == {"text/html": "<table><tr><td>1</td></tr></table>"}
    )
    assert cell.metadata == {}
