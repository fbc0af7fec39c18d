"""The course as nbgrader sees it: `nbgrader` commands and formgrader read this file."""

import os
import sys
from pathlib import Path

from nbgrader.converters import Autograde, GenerateAssignment
from nbgrader.preprocessors import ClearSolutions, DeduplicateIds

from classroom.nbgrader_steps import ClearAnswers, RestoreReleased

c = get_config()  # noqa: F821

# nbgrader calls its alembic by name, and it is found beside this Python, activated or not.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

c.CourseDirectory.course_id = "image-generation"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
if "GRADEBOOK_URL" in os.environ:  # such as postgresql+psycopg2://...; else gradebook.db
    c.CourseDirectory.db_url = os.environ["GRADEBOOK_URL"]
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "quizzes"

# A released notebook runs to its end as it is: what is to be written is three dots.
c.ClearSolutions.code_stub = {"python": "..."}
c.ClearSolutions.text_stub = "*Write your answer here.*"
c.GenerateAssignment.preprocessors = [
    ClearAnswers if step is ClearSolutions else step
    for step in GenerateAssignment.preprocessors.default()
]

# One damaged submission must not stop the class, nor cost its learner what is right in it.
c.Autograde.sanitize_preprocessors = [
    RestoreReleased if step is DeduplicateIds else step
    for step in Autograde.sanitize_preprocessors.default()
]
c.OverwriteCells.add_missing_cells = True

# A warning is not a mistake: without this, one line on stderr takes all points of a test.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = r"(?s).*"

# Seconds for one cell; a first picture on a slow laptop takes a fraction of it.
c.Execute.timeout = 120
