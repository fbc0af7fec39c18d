"""Everything an instructor runs: `python -m classroom COMMAND --help` says more of each."""

import argparse
import sys
from pathlib import Path

ROOT = Path.cwd()


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit status is 0 if everything was done."""
    parser = argparse.ArgumentParser(prog="python -m classroom", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    release = commands.add_parser("release", help="keep what is built as a version for a class")
    release.add_argument("assignments", nargs="+")

    grade = commands.add_parser("grade", help="grade what was handed in")
    grade.add_argument("assignment")
    grade.add_argument("places", nargs="*", type=Path, help="folders or zips (default: submitted/)")
    grade.add_argument("--only", nargs="+", metavar="LEARNER", help="only these learners")
    grade.add_argument("--force", action="store_true", help="grade again what has not changed")
    grade.add_argument("--roster", type=Path, help="CSV of the class: who is missing is said")
    grade.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    grade.add_argument("--scheduler", metavar="TCP://...", help="the address of a Dask scheduler")
    grade.add_argument("--trust", action="store_true", help="run learners' code without a sandbox")
    grade.add_argument("--timeout", type=float, default=None, help="seconds for one cell")

    feedback = commands.add_parser("feedback", help="write a page for every learner")
    feedback.add_argument("assignment")

    report = commands.add_parser("report", help="write the class report and a table")
    report.add_argument("assignments", nargs="+")
    report.add_argument("--out", type=Path, default=None, help="the folder (default: reports/)")
    report.add_argument("--roster", type=Path, help="CSV of the class: who is missing is said")

    certificate = commands.add_parser("certificate", help="grade your own folder and sign it")
    certificate.add_argument(
        "folder", type=Path, help="with NN_topic/quiz.ipynb and exercise.ipynb"
    )
    certificate.add_argument("--name", default="", help="the name on the certificate")
    certificate.add_argument("--picture", type=Path, help="a picture you made, with its recipe")
    certificate.add_argument("--out", type=Path, default=Path("certificate"))
    certificate.add_argument("--trust", action="store_true", help="run your code without a sandbox")

    verify = commands.add_parser("verify", help="check a certificate, without any server")
    verify.add_argument("certificate", type=Path)

    commands.add_parser("lint", help="say how far the questions can be guessed without reading")

    words = parser.parse_args(words)
    try:
        return COMMANDS[words.command](words) or 0
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def _release(words):
    from nbgrader.api import Gradebook

    from classroom.gradebook import register, settings
    from classroom.releases import keep

    course = settings(ROOT)
    for assignment in words.assignments:
        version = keep(ROOT, assignment)
        with Gradebook(course.db_url, course.course_id) as gradebook:
            register(gradebook, version)
        print(f"{assignment}: version {version.version}, {version.folder}")


def _grade(words):
    from classroom.session import grade

    return grade(ROOT, words)


def _feedback(words):
    from classroom.feedback import write_pages

    return write_pages(ROOT, words.assignment)


def _report(words):
    from classroom.report import write

    for path in write(ROOT, words.assignments, words.out or ROOT / "reports", words.roster):
        print(path)


def _certificate(words):
    from classroom.certificate import award

    for path in award(ROOT, words):
        print(path)


def _verify(words):
    from classroom.certificate import verify

    lines, valid = verify(words.certificate)
    print("\n".join(lines))
    return 0 if valid else 1


def _lint(words):
    from classroom.guessing import table

    print(table(ROOT))


COMMANDS = {
    "release": _release,
    "grade": _grade,
    "feedback": _feedback,
    "report": _report,
    "certificate": _certificate,
    "verify": _verify,
    "lint": _lint,
}

if __name__ == "__main__":
    sys.exit(main())
