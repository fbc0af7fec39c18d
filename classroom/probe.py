"""Find out which test cells can be judged from outside: those that the solution passes that way."""

import json
import os

from classroom.execute import Run, empty, is_quiz
from classroom.judge import Judge, Session, prepare
from classroom.normalise import Placed
from classroom.releases import Release
from classroom.sandbox import Warm, why_not


def find_modes(release: Release, cell_time: float = 120) -> dict[str, bool]:
    """{grade id of a test: True if it is judged from outside}, kept beside the version."""
    path = release.folder / "judged.json"
    if path.is_file():
        return json.loads(path.read_text("utf-8"))
    found = {}
    for kind, tasks in release.notebooks.items():
        if is_quiz(release, kind):
            continue
        warm = Warm(prepare(tasks)[0], isolated=not why_not())
        try:
            found |= _outside(release, kind, tasks, warm, cell_time)
        finally:
            warm.close()
    new = path.with_suffix(".new")
    new.write_text(json.dumps(found, indent=1), encoding="utf-8")
    os.replace(new, path)
    return found


def _outside(release, kind, tasks, warm, cell_time):
    """Which tests of a notebook give the solution all points when they run in our process."""
    placed = Placed(release, {t.name: [t.trusted] for t in tasks if t.solution})
    graded = empty(release, kind, "graded", "")
    session = Session(warm, cell_time, 8 * cell_time)
    outside = {t.name: None for t in tasks if t.is_test}  # None: only from outside
    try:
        Run(placed, graded, session, Judge(session, prepare(tasks)[1], tasks, outside)).all()
    finally:
        session.close()
    return {
        t.name: graded["scores"][t.name][0] == t.points and t.name not in graded["reasons"]
        for t in tasks
        if t.is_test
    }
