"""How nbgrader releases and takes back the notebooks of this course; nbgrader_config.py uses it.

Stock nbgrader stops a whole class at one copied cell, and loses the grades of a learner whose
editor dropped the metadata. Here a submission gives its answers, and nothing else: they are put
into the notebook as it was released.
"""

import re
from pathlib import Path

import nbformat
from nbgrader.preprocessors import ClearSolutions, NbGraderPreprocessor


class ClearAnswers(ClearSolutions):
    """Release the answer `q1 = "B"` of a quiz as `q1 = ...`, and the rest as nbgrader does."""

    def _replace_solution_region(self, cell, language):
        if answer := re.fullmatch(r'(q\d+) = "[A-Z]"', cell.source):
            cell.source = f"{answer[1]} = ..."
            return True
        return super()._replace_solution_region(cell, language)


class RestoreReleased(NbGraderPreprocessor):
    """Grade the released notebook with the answers of the submission in it."""

    def preprocess(self, nb, resources):
        course, names = self.config.CourseDirectory, resources["nbgrader"]
        folder = Path(course.root, course.release_directory, names["assignment"])
        released = nbformat.read(folder / f"{names['notebook']}.ipynb", 4)
        return restore(nb, released), resources


def restore(
    submitted: nbformat.NotebookNode, released: nbformat.NotebookNode
) -> nbformat.NotebookNode:
    """Put the answers of a submitted notebook into the released one.

    An answer is known by its grade id, or by its cell id where an editor lost the metadata. Of
    several copies the last one that was changed counts. Cells that a learner added stay, after
    the same cell as before; everything else is as it was released.
    """
    ours = {cell.metadata.nbgrader.grade_id: cell for cell in released.cells if _grade_id(cell)}
    by_cell_id = {cell.id: name for name, cell in ours.items()}
    answers, added, before = {}, {}, None
    for cell in submitted.cells:
        name = _grade_id(cell) if _grade_id(cell) in ours else by_cell_id.get(cell.get("id"))
        if name is None:
            cell.metadata.pop("nbgrader", None)
            added.setdefault(before, []).append(cell)
            continue
        before = name
        if ours[name].metadata.nbgrader.solution and cell.source != ours[name].source:
            answers[name] = cell.source
    cells = list(added.get(None, []))
    for cell in released.cells:
        name = _grade_id(cell)
        cell.source = answers.get(name, cell.source)
        cells += [cell, *added.get(name, [])]
    released.cells = cells
    return released


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")
