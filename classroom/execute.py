"""Grade one submission: bytes in, a plain dictionary out. It knows no gradebook and no class.

A quiz needs no process at all: its letters are read. An exercise is run in the sandbox, cell by
cell, and its tests are judged here. Each notebook is for itself, and what was earned stays.
"""

import os
import resource
import time

from classroom import letters, normalise, suspicions
from classroom.judge import Ended, Judge, Session, TimeOver, prepare
from classroom.plain import Broken
from classroom.releases import Release, modes
from classroom.sandbox import Warm
from classroom.states import FAULT, GRADED, NOT_FOUND, PART, TIME, UNREADABLE
from imagegen.quiz import LETTERS


class Grader:
    """Grades submissions of one assignment; what it has warmed up is shared by all of them.

    releases: the newest first. cell_time and total: seconds for a cell and for a notebook.
    """

    def __init__(
        self,
        releases: list[Release],
        isolated: bool = True,
        cell_time: float = 120,
        total: float = 900,
    ):
        self.releases, self.isolated = releases, isolated
        self.cell_time, self.total = cell_time, total
        self.warm, self.prepared, self.owner = {}, {}, os.getpid()

    def warm_up(self, release: Release, kind: str) -> tuple[Warm, dict]:
        """The warm process and the prepared names for a notebook, made when first needed."""
        tasks = release.notebooks[kind]
        setup = next((t.source for t in tasks if t.kind == "code"), "")
        if setup not in self.prepared:
            self.prepared[setup] = prepare(tasks)
        source, names = self.prepared[setup]
        ours = os.getpid() == self.owner  # a fork cannot know whether the process still runs
        if source not in self.warm or (ours and self.warm[source].process.poll() is not None):
            self.warm[source] = Warm(source, self.isolated)
        return self.warm[source], names

    def close(self) -> None:
        """End the warm processes."""
        for warm in self.warm.values():
            warm.close()

    def grade(self, files: dict[str, bytes | None]) -> dict:
        """Grade the files of one learner, {"quiz": bytes, ...}; None where nothing was found.

        The result: {"version", "notebooks": {kind: {"status", "reason", "scores", ...}},
        "repairs", "flags", "seconds", "cpu"}; scores are {grade id: [points, out of, by hand]}.
        """
        start, before = time.monotonic(), _cpu()
        result = {"notebooks": {}, "repairs": [], "flags": [], "version": None, "cpu": 0.0}
        for kind in self.releases[0].notebooks:
            result["notebooks"][kind] = self._notebook(kind, files.get(kind), result)
        result["version"] = result["version"] or self.releases[0].version
        result["seconds"] = time.monotonic() - start
        result["cpu"] += _cpu() - before
        return normalise.writable(result)

    def _notebook(self, kind, data, result):
        if data is None:
            return empty(self.releases[0], kind, NOT_FOUND, f"no {kind}.ipynb was handed in")
        try:
            cells, repairs = normalise.read(data)
            placed = normalise.place(cells, kind, self.releases)
        except normalise.Unreadable as reason:
            return empty(self.releases[0], kind, UNREADABLE, f"{kind}.ipynb: {reason}")
        result["repairs"] += [f"{kind}: {text}" for text in [*repairs, *placed.repairs]]
        if normalise.points_edited(cells, placed.release.notebooks[kind]):
            placed.flags.append("the points of a test were edited")
        result["version"] = placed.release.version
        tasks = placed.release.notebooks[kind]
        if is_quiz(placed.release, kind):
            graded = read_quiz(placed, kind)
        else:
            graded = self._run(placed, kind, tasks, result)
        sources = [source for answers in placed.answers.values() for source in answers]
        sources += [cell.source for own in placed.own.values() for cell in own]
        placed.flags += suspicions.signs(sources, tasks)
        placed.flags += suspicions.overstated(cells, graded["scores"])
        result["flags"] += [f"{kind}: {text}" for text in placed.flags]
        return graded

    def _run(self, placed, kind, tasks, result):
        graded = empty(placed.release, kind, GRADED, "")
        try:
            warm, names = self.warm_up(placed.release, kind)
            session = Session(warm, self.cell_time, self.total)
        except Broken as error:
            return graded | {"status": FAULT, "reason": str(error)}
        try:
            Run(placed, graded, session, Judge(session, names, tasks, modes(placed.release))).all()
        finally:
            session.close()
            result["cpu"] += session.cpu
        if graded["reason"]:
            placed.flags.append(graded["reason"])
        return graded


class Run:
    """One exercise, cell by cell."""

    def __init__(self, placed, graded, session, judge):
        self.placed, self.graded, self.session, self.judge = placed, graded, session, judge
        self.first = True

    def all(self):
        tasks = self.placed.release.notebooks[self.graded["kind"]]
        self._own(None)
        for place, task in enumerate(tasks):
            if task.is_test:
                self._test(task, tasks[place + 1 :])
            elif task.kind == "code" and task.solution:
                answers = self.placed.answers.get(task.name, [task.source])
                outputs = [output for source in answers for output in self._cell(source, task.name)]
                self.graded["outputs"][task.name] = outputs
            elif task.kind == "code":
                self._locked(task)
            elif task.points is not None:
                by_hand = task.name in self.placed.answers
                self.graded["scores"][task.name] = [0.0, task.points, by_hand]
            self._own(task.name)
        self.graded["answers"] = self.placed.answers
        self.graded["own"] = [
            [after, cell.kind, cell.source, self.graded["outputs"].get(f"{after}/{number}", [])]
            for after, cells in self.placed.own.items()
            for number, cell in enumerate(cells)
        ]

    def _locked(self, task):
        if self.first and task.source == self.judge_setup(task):
            self.first = False  # it has run in the warm process
            return
        self.first = False
        try:
            self.judge.locked(task)
        except (TimeOver, Ended) as reason:
            self._broke(task.name, reason)

    def judge_setup(self, task):
        """The source of the first cell, if the warm process has run it."""
        return task.source if len(self.judge.base) > 1 else None

    def _own(self, after):
        for number, cell in enumerate(self.placed.own.get(after, [])):
            if cell.kind == "code":
                where = f"{after}/{number}"
                label = f"a cell of their own below {after}" if after else "their own first cell"
                self.graded["outputs"][where] = self._cell(cell.source, label)

    def _cell(self, source, where):
        if self.session.ended:
            return []
        self.session.start_cell()
        try:
            return self.session.run(source)
        except (TimeOver, Ended) as reason:
            return self._broke(where, reason)

    def _test(self, task, later):
        name = task.name
        if self.session.ended:
            self._lost(task, f"not run: the notebook {self.graded['ended']}")
            return
        try:
            verdict = self.judge.test(task)
        except Ended as reason:
            self._broke(name, reason)
            self._lost(task, f"the notebook {self.graded['ended']}")
            return
        self.graded["scores"][name] = [verdict.points, task.points, False]
        self.graded["checks"][name] = verdict.checks
        self.graded["outputs"][name] = verdict.outputs
        if verdict.reason:
            self.graded["reasons"][name] = verdict.reason
        if "more than" in verdict.reason:
            self.graded["status"] = TIME
            self._add_reason(f"the test {name} {verdict.reason}")
        self._define(task, later)

    def _define(self, task, later):
        """Give the learner's later cells the names that a test defines, if they use any."""
        names = set(normalise.defines(task.source))
        sources = [s for t in later for s in self.placed.answers.get(t.name, [])]
        places = [task.name, *(t.name for t in later)]
        sources += [cell.source for place in places for cell in self.placed.own.get(place, [])]
        if any(name in source for source in sources for name in names):
            from classroom.judge import without_tally

            self._cell(without_tally(task.source), task.name)

    def _lost(self, task, reason):
        self.graded["scores"][task.name] = [0.0, task.points, False]
        self.graded["reasons"][task.name] = reason

    def _broke(self, where, reason):
        if isinstance(reason, TimeOver):
            text = f"{where} took more than {self.session.cell_time:g} seconds"
            self.graded["status"] = TIME
        else:
            text = f"the kernel died at {where}: it {reason}"
            if self.graded["status"] != TIME:
                self.graded["status"] = PART
            self.graded["ended"] = f"ended at {where} ({reason})"
            if "sandbox failed" in str(reason):
                self.graded["status"] = FAULT
        self._add_reason(text)
        return [{"output_type": "stream", "name": "stderr", "text": f"[{text}]\n"}]

    def _add_reason(self, text):
        known = self.graded["reason"]
        self.graded["reason"] = f"{known}; {text}" if known else text


def empty(release: Release, kind: str, status: str, reason: str) -> dict:
    """The result of a notebook in which nothing has been earned yet."""
    tasks = [task for task in release.notebooks[kind] if task.points is not None]
    return {
        "kind": kind,
        "version": release.version,
        "status": status,
        "reason": reason,
        "scores": {task.name: [0.0, task.points, False] for task in tasks},
        "checks": {},
        "reasons": {},
        "outputs": {},
        "letters": {},
        "answers": {},
        "own": [],
    }


def is_quiz(release: Release, kind: str) -> bool:
    """Whether all answers of a notebook are letters."""
    answers = [task for task in release.notebooks[kind] if task.solution]
    names = [normalise.defines(task.source) for task in answers]
    return bool(answers) and all(len(n) == 1 and n[0] in release.questions for n in names)


def read_quiz(placed: normalise.Placed, kind: str) -> dict:
    """Grade a quiz: read its letters and compare them with the key."""
    release, graded = placed.release, empty(placed.release, kind, GRADED, "")
    tasks = release.notebooks[kind]
    known = {}
    for after in [None, *(task.name for task in tasks)]:
        sources = [cell.source for cell in placed.own.get(after, []) if cell.kind == "code"]
        known = letters.constants(sources, known)
        task = next((t for t in tasks if t.name == after and t.solution), None)
        if task is None:
            continue
        (name,) = normalise.defines(task.source)
        item, answers = release.questions[name], placed.answers.get(task.name, [])
        options = LETTERS[: len(item["options"])]
        letter, remark = letters.read(answers, name, known, options)
        test = next(t for t in tasks[tasks.index(task) :] if t.is_test)
        graded["scores"][test.name] = [float(letter == release.key[name]), test.points, False]
        graded["letters"][name] = letter
        if remark:
            graded["reasons"][test.name] = f"the answer {remark}"
            if "not run" in remark and "(" in "".join(answers).replace("check(", ""):
                placed.flags.append(f"the answer to {name} {remark}")
        if letter is not None and "def " not in "".join(answers) and len("".join(answers)) < 500:
            known = letters.constants([f"{name} = {letter!r}"], known)
    graded["answers"] = placed.answers
    graded["own"] = [
        [after, cell.kind, cell.source, []] for after, cells in placed.own.items() for cell in cells
    ]
    return graded


def _cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
