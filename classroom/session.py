"""One grading of a class, from the folders to the gradebook, with a line for each learner."""

import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from traitlets.config import PyFileConfigLoader

from classroom import collect, pool, releases, sandbox
from classroom.gradebook import settings
from classroom.probe import find_modes
from classroom.record import Record, fingerprint
from classroom.states import FAULT, GRADED, ORDER

BATCH, SECONDS = 40, 20  # results are entered when there are so many, or after so long


def grade(root: Path, words) -> int:
    """Grade the submissions that the words of the command name. Returns the exit status.

    Raises ValueError, with one sentence, if the class cannot be graded at all.
    """
    isolated = _isolation(words.trust, words.scheduler)
    newest = releases.keep(root, words.assignment)
    versions = releases.versions(root, words.assignment)
    versions.sort(key=lambda release: release.version != newest.version)
    people = collect.roster(words.roster) if words.roster else {}
    places = words.places or [root / "submitted"]
    course = settings(root)
    record = Record(root, versions, course.db_url, course.course_id)
    try:
        record.add_people(people)
        for release in versions:
            find_modes(release, words.timeout or _timeout(root))
        submissions = list(collect.collect(places, words.assignment, versions))
        if words.only:
            submissions = [s for s in submissions if s.learner in words.only]
            _all_there(words.only, submissions)
        _remember(root, words, submissions)
        missing = sorted(people.keys() - {s.learner for s in submissions}) if people else []
        return _grade(words, record, versions, submissions, missing, isolated, root)
    finally:
        record.close()


def line(result: dict) -> str:
    """A learner's line: points of each notebook, and everything that a person should know."""
    parts = []
    for kind, part in sorted(result["notebooks"].items(), reverse=True):
        points = sum(score[0] for score in part["scores"].values())
        worth = sum(score[1] for score in part["scores"].values())
        text = f"{kind} {points:g}/{worth:g}"
        if any(by_hand for _, _, by_hand in part["scores"].values()):
            text += " + by hand"
        if part["status"] != GRADED:
            text += f" [{part['status']}: {part['reason']}]"
        parts.append(text)
    notes = [f"FLAG {text}" for text in result["flags"]] + result["repairs"]
    text = f"{result['learner']}: {', '.join(parts) or 'nothing was handed in'}"
    return text + "".join(f"\n    {note}" for note in notes)


def _grade(words, record, versions, submissions, missing, isolated, root):
    done = {} if words.force else record.done()
    known = {s.learner: fingerprint(s) for s in submissions}
    due, extensions = record.due, record.extensions()
    todo = [s for s in submissions if done.get(s.learner, {}).get("hash") != known[s.learner]]
    if len(submissions) > len(todo):
        print(
            f"{len(submissions) - len(todo)} submissions have not changed since they were graded."
        )
    by_name = {s.learner: s for s in todo}
    options = {
        "isolated": isolated,
        "cell_time": words.timeout or _timeout(root),
        "total": 8 * (words.timeout or _timeout(root)),
    }
    jobs = [(s.learner, s.files) for s in todo]
    if words.scheduler:
        results = pool.distributed(versions, jobs, words.scheduler, **options)
    else:
        workers = words.workers or os.cpu_count() or 1
        results = pool.local(versions, jobs, max(1, min(workers, len(jobs))), **options)
    batch, counts, last, start = [], {}, time.monotonic(), time.monotonic()
    for learner, result in _with_progress(results, len(todo)):
        submission = by_name[learner]
        result |= {"learner": learner, "assignment": words.assignment, "hash": known[learner]}
        result["graded"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        result["repairs"] = submission.repairs + result["repairs"]
        result["flags"] = submission.flags + result["flags"]
        _note_time(submission, result, due, extensions.get(learner))
        worst = min((p["status"] for p in result["notebooks"].values()), key=ORDER.index)
        counts[worst] = counts.get(worst, 0) + 1
        batch.append(result)
        _say(line(result))
        if len(batch) >= BATCH or time.monotonic() - last > SECONDS:
            record.write(batch)
            batch, last = [], time.monotonic()
    record.write(batch)
    record.write(
        [_nothing(learner, words.assignment) for learner in missing if learner not in done]
    )
    for learner in missing:
        _say(f"{learner}: nothing was handed in")
    seconds = time.monotonic() - start
    summary = [f"{count} {status}" for status, count in sorted(counts.items())]
    summary += [f"{len(missing)} missing"] if missing else []
    _say(f"{len(todo)} submissions in {seconds:.0f} s: {', '.join(summary) or 'nothing to do'}.")
    return 1 if counts.get(FAULT) else 0


def _isolation(trust, scheduler):
    """Say which isolation is in force; refuse to go on without one, unless told to."""
    reason = sandbox.why_not()
    if not reason:
        print("Isolation: bubblewrap. Learners' code sees no course, no class and no network.")
        return True
    if scheduler:
        print("Isolation: bubblewrap, on the workers.")
        return True
    if not trust:
        raise ValueError(
            f"There is no sandbox: {reason}. Learners' code could read the course and write the "
            "gradebook. Grade people whom you trust with --trust."
        )
    print(f"Isolation: NONE ({reason}). Learners' code runs with your rights.")
    return False


def _timeout(root):
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    value = config.Execute.get("timeout", 120)
    return float(value) if isinstance(value, (int, float)) else 120.0


def _note_time(submission, result, due, extension):
    moment = submission.handed_in
    result["handed_in"] = moment.isoformat() if moment else None
    result["late"] = False
    if moment is None:
        return
    limit = due + (extension or datetime.min - datetime.min) if due else None
    if limit and moment > limit:
        result["late"] = True
        result["flags"].append(f"late by {_span(moment - limit)}")
    elif moment > datetime.now(UTC).replace(tzinfo=None):
        result["flags"].append(
            f"handed in at {moment}, which has not come yet: late, or a wrong clock"
        )


def _span(delta):
    hours = delta.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 24 else f"{hours:.1f} hours"


def _nothing(learner, assignment):
    return {"learner": learner, "assignment": assignment, "notebooks": {}, "repairs": [],
            "flags": [], "version": None, "hash": None, "handed_in": None, "late": False,
            "graded": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"}  # fmt: skip


def _all_there(wanted, submissions):
    lost = sorted(set(wanted) - {s.learner for s in submissions})
    if lost:
        raise ValueError(f"Nothing was handed in by {', '.join(lost)}.")


def _remember(root, words, submissions):
    """Keep what came from elsewhere in submitted/, where nbgrader and a later grading look."""
    if not words.places or all(p.resolve() == (root / "submitted").resolve() for p in words.places):
        return
    for submission in submissions:
        for kind, data in submission.files.items():
            if data is None or "/" in submission.learner:
                continue
            path = root / "submitted" / submission.learner / words.assignment / f"{kind}.ipynb"
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        if submission.handed_in and not submission.empty:
            path = root / "submitted" / submission.learner / words.assignment / "timestamp.txt"
            path.write_text(f"{submission.handed_in:%Y-%m-%d %H:%M:%S.%f} UTC\n", "utf-8")


def _with_progress(results, total):
    from tqdm import tqdm

    return tqdm(results, total=total, unit="submission", disable=None if total else True,
                ncols=min(100, shutil.get_terminal_size().columns))  # fmt: skip


def _say(text):
    from tqdm import tqdm

    tqdm.write(text)
