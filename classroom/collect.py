"""What was handed in, in whatever way it came: folders, zips, zips in zips, odd names.

Only notebooks are taken, never a module, a link or another file, and every repair is said. Nothing
here runs or trusts anything: an archive is read in memory, with limits, and never unpacked to disk.
"""

import csv
import io
import os
import re
import tarfile
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from classroom import normalise
from classroom.releases import Release

DEPTH, MEMBERS, SIZE = 5, 5_000, 600_000_000  # of archives in archives, files, bytes in all
IGNORED = re.compile(r"^(\.|__MACOSX$|~\$)|^(Thumbs\.db|desktop\.ini)$")
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(file|onlinetext)(_.*)?$")
CANVAS = re.compile(r"^(?P<name>[^_]+?)(?:_LATE)?_(?P<id>\d+)_\d+_(?P<file>.+)$")
UNGLOBBED = str.maketrans("[]*?", "()__")  # nbgrader looks for a learner's folder by a pattern
ARCHIVE = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


@dataclass
class Submission:
    """What one learner handed in. files: {"quiz": bytes or None}; handed_in: in UTC, if known."""

    learner: str
    files: dict[str, bytes | None]
    repairs: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    handed_in: datetime | None = None

    @property
    def empty(self) -> bool:
        return all(data is None for data in self.files.values())


@dataclass(frozen=True)
class File:
    parts: tuple[str, ...]  # the folders and the name, below the learner's folder
    path: Path | None
    data: bytes | None = None

    def read(self) -> bytes:
        return self.data if self.path is None else self.path.read_bytes()


class TooMuch(Exception):
    """An archive holds more than a submission can; the message says what."""


def collect(places: list[Path], assignment: str, releases: list[Release]):
    """Yield a Submission for every learner in the folders and zips, sorted by name.

    Raises ValueError if a place does not exist or is neither a folder nor an archive.
    """
    found = {}
    for place in places:
        if not place.exists():
            raise ValueError(f"There is no folder or zip {place}.")
        if place.is_dir():
            learners = _learners_of_folder(place, assignment)
        elif place.name.lower().endswith(ARCHIVE):
            learners = _learners_of_archive(place, assignment)
        else:
            raise ValueError(f"{place} is neither a folder nor a zip.")
        for (name, number), files, flags in learners:
            older = found.setdefault(name, {}).setdefault(number, ([], []))
            older[0].extend(files)
            older[1].extend(flags)
    for name, people in sorted(found.items()):
        if None in people or len(people) == 1:  # one person, in whatever way it came
            parts = list(people.values())
            files, flags = ([x for part in parts for x in part[i]] for i in (0, 1))
            yield _chosen(name, files, flags, assignment, releases)
            continue
        for number, (files, flags) in sorted(people.items()):
            submission = _chosen(f"{name} ({number})", files, flags, assignment, releases)
            submission.repairs.append(f"{len(people)} people are called {name}")
            yield submission


def roster(path: Path) -> dict[str, str]:
    """{learner: name in full} from a CSV with a column id (or student_id, username, email)."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    try:
        dialect = csv.Sniffer().sniff(text[:2000], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    rows = list(csv.reader(io.StringIO(text), dialect))
    if not rows:
        raise ValueError(f"{path} is empty.")
    head = [cell.strip().lower() for cell in rows[0]]
    known = ("id", "student_id", "student", "username", "login", "learner", "email")
    column = next((head.index(name) for name in known if name in head), None)
    body = rows[1:] if column is not None else rows
    column = column or 0
    names = [i for i, name in enumerate(head) if "name" in name and i != column]
    people = {}
    for row in body:
        if len(row) > column and row[column].strip():
            full = " ".join(row[i].strip() for i in names if i < len(row))
            people[row[column].strip().translate(UNGLOBBED)] = full
    return people


# -- who ---------------------------------------------------------------------------------------


def _learners_of_folder(place, assignment):
    """(learner, files, flags) for each folder or archive in a folder, or for the folder itself."""
    entries = [p for p in sorted(place.iterdir()) if not IGNORED.match(p.name)]
    own = [p for p in entries if p.is_file() and p.suffix.lower() == ".ipynb"]
    flat = [p for p in own if CANVAS.match(p.name)]
    if (own and not flat) or any(p.is_dir() and same(p.name, assignment) for p in entries):
        yield _name(place.resolve().name), *_files_of_folder(place)
        return
    for entry in entries:
        if entry.is_symlink():
            yield _name(entry.name), [], ["the submission is a link, which is not followed"]
        elif entry.is_dir():
            yield _name(entry.name), *_files_of_folder(entry)
        elif entry.name.lower().endswith(ARCHIVE):
            who = _name(_stem(entry.name), MOODLE, CANVAS)
            yield who, *_files_of_archive(entry.read_bytes(), (), [entry.name])
        elif match := CANVAS.match(entry.name):
            yield _name(entry.name, CANVAS), [File((match["file"],), entry)], []


def _learners_of_archive(place, assignment):
    """As for a folder; an archive with one folder for each learner is a class."""
    files, flags = _files_of_archive(place.read_bytes(), (), [])
    tops = {file.parts[0] for file in files if len(file.parts) > 1}
    flat = [file for file in files if len(file.parts) == 1]
    canvas = [CANVAS.match(file.parts[0]) for file in flat]
    if flat and all(canvas):
        for file, match in zip(flat, canvas, strict=True):
            yield _name(file.parts[0], CANVAS), [File((match["file"],), None, file.read())], []
    elif flat or not tops or (len(tops) == 1 and same(next(iter(tops)), assignment)):
        yield _name(_stem(place.name)), files, flags
    else:
        if len(tops) == 1:  # a folder around the class, or around one learner
            inner = {f.parts[1] for f in files if len(f.parts) > 2}
            if inner and not any(re.match(r"\d\d_", name) for name in inner) and len(inner) > 1:
                files = [File(f.parts[1:], f.path, f.data) for f in files if len(f.parts) > 1]
                tops = {file.parts[0] for file in files if len(file.parts) > 1}
        for top in sorted(tops):
            mine = [File(f.parts[1:], f.path, f.data) for f in files if f.parts[0] == top]
            yield _name(top), mine, list(flags)


def _name(folder, *patterns):
    """Who handed in: the name, and the number that a learning platform gives this person."""
    folder = _readable(folder)
    match = next(filter(None, (p.match(folder) for p in patterns or [MOODLE])), None)
    name = match["name"] if match else folder
    return (name.strip() or folder).translate(UNGLOBBED), match and match["id"]


def _readable(name):
    """A file's name in characters that can be printed: not UTF-8 means an old Windows here."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("cp1252", errors="replace")
    return "".join(c if c.isprintable() else " " for c in name)


def _stem(name):
    for ending in sorted(ARCHIVE, key=len, reverse=True):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


# -- what --------------------------------------------------------------------------------------


def _files_of_folder(folder):
    files, flags = [], []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(IGNORED.match(part) for part in parts):
            continue
        if path.is_symlink() or any(
            (folder / Path(*parts[:n])).is_symlink() for n in range(len(parts))
        ):
            flags.append(f"{'/'.join(map(_readable, parts))} is a link, which is not followed")
        elif path.is_file() and not os.access(path, os.R_OK):
            flags.append(f"{'/'.join(map(_readable, parts))} may not be read")
        elif path.is_file():
            parts = tuple(map(_readable, parts))
            if path.name.lower().endswith(ARCHIVE):
                more, said = _files_of_archive(path.read_bytes(), parts[:-1], [path.name])
                files += more
                flags += said
            else:
                files.append(File(parts, path))
    return files, flags


def _files_of_archive(data, above, names, depth=0, budget=None):
    """The files of an archive and of the archives in it, and what is odd about it."""
    budget = budget if budget is not None else {"members": MEMBERS, "bytes": SIZE}
    files, flags = [], []
    try:
        for parts, content in _members(data, budget, flags):
            if any(IGNORED.match(part) for part in parts):
                continue
            if parts[-1].lower().endswith(ARCHIVE) and depth < DEPTH:
                more, said = _files_of_archive(
                    content, above + parts[:-1], [*names, parts[-1]], depth + 1, budget
                )
                files += more
                flags += said
            else:
                files.append(File(above + parts, None, content))
    except TooMuch as reason:
        flags.append(f"{'/'.join(names) or 'the archive'}: {reason}")
    except (zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, RuntimeError,
            NotImplementedError, ValueError) as error:  # fmt: skip
        flags.append(f"{'/'.join(names) or 'the archive'} cannot be opened ({error})")
    return files, flags


def _members(data, budget, flags):
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                name = member.filename
                if not member.flag_bits & 0x800:  # not said to be UTF-8, and often is
                    try:
                        name = name.encode("cp437").decode("utf-8")
                    except UnicodeError:
                        pass
                if member.is_dir():
                    continue
                if (member.external_attr >> 16) & 0o170000 == 0o120000:
                    flags.append(f"{name} is a link, which is not followed")
                    continue
                _spend(budget, member.file_size)
                if member.file_size > max(100 * member.compress_size, 100_000_000):
                    raise TooMuch("it grows more than a hundredfold when it is opened")
                with archive.open(member) as file:
                    yield _safe(name), file.read(member.file_size + 1)
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.issym() or member.islnk():
                flags.append(f"{member.name} is a link, which is not followed")
            elif member.isfile():
                _spend(budget, member.size)
                yield _safe(member.name), archive.extractfile(member).read()


def _spend(budget, size):
    budget["members"] -= 1
    budget["bytes"] -= size
    if budget["members"] < 0:
        raise TooMuch(f"it holds more than {MEMBERS} files")
    if budget["bytes"] < 0:
        raise TooMuch(f"it holds more than {SIZE // 10**6} MB")


def _safe(name):
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..")]
    return tuple(map(_readable, parts)) or ("unnamed",)


# -- which notebook ----------------------------------------------------------------------------


def same(name: str, wanted: str) -> bool:
    """Whether a folder or file is meant by a name: any capitals, "(1)", "copy", blanks."""
    return _plain(name) == _plain(wanted)


def _plain(name):
    name = re.sub(
        r"[\s_-]*(\(\d+\)|copy\s*\d*|kopie|[-_ ]copy\d*)\s*$", "", name.strip(), flags=re.I
    )
    return re.sub(r"[\W_]+", "", name).casefold()


def _kind_of(name, kinds):
    """The kind of notebook that a file's name says, and whether it says exactly that."""
    if not re.search(r"\.ipynb\b", name, re.IGNORECASE):
        return None, False
    stem = re.split(r"\.ipynb\b", name, flags=re.IGNORECASE)[0]
    rest = re.split(r"\.ipynb\b", name, flags=re.IGNORECASE)[1]
    rest = re.sub(r"\.(json|txt)|\(\d+\)|\s", "", rest, flags=re.IGNORECASE)
    if rest:
        return None, False
    for kind in kinds:
        if same(stem, kind):
            return kind, name == f"{kind}.ipynb"
    words = re.split(r"[\W_]+", stem.casefold())
    for kind in kinds:
        if kind.casefold() in words:
            return kind, False
    return None, False


def _chosen(learner, files, flags, assignment, releases):
    """The one file of each kind that counts, and what is to be said of the others."""
    kinds = list(releases[0].notebooks)
    submission = Submission(learner, dict.fromkeys(kinds), flags=list(flags))
    submission.handed_in = _timestamp(files, assignment, submission)
    files = _of_this_assignment(files, assignment, submission)
    notebooks = [f for f in files if re.search(r"\.ipynb\b", f.parts[-1], re.IGNORECASE)]
    candidates = {kind: [] for kind in kinds}
    holds = cache(lambda file, kind: _holds(file, kind, releases))  # a file is large to read
    for file in notebooks:
        kind, exact = _kind_of(file.parts[-1], kinds)
        if kind and _kind_by_content(file, [kind, *kinds], holds) in (kind, None):
            candidates[kind].append((exact, -len(file.parts), file))
    for kind in kinds:  # named otherwise, or as the other one: known by what is in it
        if not candidates[kind]:
            fitting = [f for f in notebooks if holds(f, kind)[0]]
            candidates[kind] = [(False, -len(f.parts), f) for f in fitting]
    for kind, found in candidates.items():
        if found:
            if len(found) > 1:
                found.sort(key=lambda c: (holds(c[2], kind)[1], *c[:2]), reverse=True)
            exact, _, file = found[0]
            submission.files[kind] = file.read()
            name = "/".join(file.parts)
            if not exact:
                submission.repairs.append(f"{name} was taken for {kind}.ipynb")
            if len(found) > 1:
                rest = ", ".join("/".join(c[2].parts) for c in found[1:])
                submission.flags.append(f"several files for {kind}: {name} counts, not {rest}")
    if not all(candidates.values()) and files:
        used = [found[0][2] for found in candidates.values() if found]
        rest = [f.parts[-1] for f in files if f not in used and f.parts[-1] != "timestamp.txt"]
        if rest:
            submission.repairs.append(f"other files that came: {', '.join(rest)[:300]}")
    return submission


def _of_this_assignment(files, assignment, submission):
    """The files below the assignment's folder; without one, those below no other assignment's."""
    below = [f for f in files if any(same(part, assignment) for part in f.parts[:-1])]
    if below:
        strange = {
            p for f in below for p in f.parts[:-1] if same(p, assignment) and p != assignment
        }
        for name in sorted(strange):
            submission.repairs.append(f"the folder {name} was taken for {assignment}")
        deep = any(f.parts[0] != assignment or assignment in f.parts[1:-1] for f in below)
        if deep and not strange and any(f.parts[-1].endswith(".ipynb") for f in below):
            submission.repairs.append("the notebooks lay in further folders")
        return below
    other = re.compile(r"^\d\d_\w+$")
    left = [f for f in files if not any(other.match(part) for part in f.parts[:-1])]
    if any(f.parts[-1].lower().endswith(".ipynb") for f in left):
        submission.repairs.append(f"there was no folder {assignment}")
    return left


def _kind_by_content(file, kinds, holds):
    """The first of these kinds of which a file holds a third of the cells; None for no such."""
    return next((kind for kind in kinds if holds(file, kind)[0]), None)


def _holds(file, kind, releases):
    """Whether a file holds a third of a released notebook's cells, and any answer to it."""
    try:
        cells, _ = normalise.read(file.read())
        placed = normalise.place(cells, kind, releases)
    except normalise.Unreadable:
        return False, False
    enough = max(3, len(releases[0].notebooks[kind]) // 3)
    return placed.recognised >= enough, bool(placed.answers)


def _timestamp(files, assignment, submission):
    """When it was handed in, from the file that nbgrader's collect writes."""
    for file in files:
        if file.parts[-1] == "timestamp.txt":
            text = file.read()[:100].decode("utf-8", errors="replace").strip()
            for form in ("%Y-%m-%d %H:%M:%S.%f %Z", "%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M:%S"):
                try:
                    return datetime.strptime(text, form).replace(tzinfo=None)
                except ValueError:
                    pass
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                submission.flags.append(f"timestamp.txt holds no time: {text[:40]!r}")
                return None
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return None
