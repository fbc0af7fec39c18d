"""Make an assignment known to nbgrader's gradebook: its notebooks and all their cells."""

from pathlib import Path

from nbgrader.api import BaseCell, Gradebook, GradeCell, SolutionCell, SourceCell
from nbgrader.coursedir import CourseDirectory
from traitlets.config import PyFileConfigLoader

from classroom.releases import Release


def settings(root: Path) -> CourseDirectory:
    """The course as nbgrader_config.py describes it: db_url, course_id and the folders."""
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    return CourseDirectory(config=config)


def register(gradebook: Gradebook, release: Release) -> dict:
    """Enter a version; return the ids {kind: id, (kind, type of cell, grade id): id}.

    Cells of older versions stay, because grades belong to them.
    """
    db, ids = gradebook.db, {}
    gradebook.update_or_create_assignment(release.assignment)
    for kind, tasks in release.notebooks.items():
        notebook = gradebook.update_or_create_notebook(kind, release.assignment)
        known = {(c.type, c.name): c for c in db.query(BaseCell).filter_by(notebook_id=notebook.id)}
        for task in tasks:
            if task.points is not None:
                worth = {"max_score": task.points, "cell_type": task.kind}
                _update(db, known.get(("GradeCell", task.name)), GradeCell, task, notebook, worth)
            if task.solution:
                _update(
                    db, known.get(("SolutionCell", task.name)), SolutionCell, task, notebook, {}
                )
        _sources(db, release, kind, notebook)
        db.commit()
        ids[kind] = notebook.id
        for cell in db.query(BaseCell).filter_by(notebook_id=notebook.id):
            ids[kind, cell.type, cell.name] = cell.id
    return ids


def _update(db, cell, make, task, notebook, values):
    if cell is None:
        db.add(make(name=task.name, notebook=notebook, **values))
    else:
        for name, value in values.items():
            setattr(cell, name, value)


def _sources(db, release, kind, notebook):
    """The released text of each cell, as nbgrader's own autograde and validate want it."""
    known = {c.name: c for c in db.query(SourceCell).filter_by(notebook_id=notebook.id)}
    hidden = {task.name: task for task in release.notebooks[kind]}
    for cell in release.released(kind).cells:
        meta = cell.metadata.nbgrader
        task = hidden[meta.grade_id]
        values = {
            "cell_type": cell.cell_type,
            "locked": bool(meta.locked),
            "source": task.trusted if task.is_test else cell.source,
            "checksum": meta.get("checksum"),
        }
        _update(db, known.get(task.name), SourceCell, task, notebook, values)
