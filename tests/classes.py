"""A small class for the tests of classroom/: submissions of chapter 3, with the right points.

SUBMISSIONS is {learner: (quiz points, exercise points, what must be said, files)}. What must be
said is a part of the learner's lines, or "" where nothing is odd.
"""

import io
import json
import zipfile
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_output

from imagegen.quiz import LETTERS

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = "03_forward_process"
ITEMS = yaml.safe_load((ROOT / f"solutions/items/{CHAPTER}.yaml").read_text("utf-8"))["items"]
KEY = [LETTERS[[bool(o.get("correct")) for o in i["options"]].index(True)] for i in ITEMS]
WRONG = ["ABCD"[("ABCD".index(key) + 1) % 4] for key in KEY]

STEP = """def noise_step(x, beta):
    eps = torch.randn_like(x)
    return (1 - beta) ** 0.5 * x + beta**0.5 * eps"""
JUMP = """def jump(x0, eps, t, beta):
    bar = torch.cumprod(1 - beta, dim=0)[t].reshape(-1, *[1] * (x0.ndim - 1))
    return bar.sqrt() * x0 + (1 - bar).sqrt() * eps"""
BETAS = """def betas(alpha_bar):
    return 1 - alpha_bar / torch.cat([torch.ones(1), alpha_bar[:-1]])"""
WRITTEN = "My curve is a straight line.\n\n<script>document.title = 'RAN'</script>"
SOLVED = {"noise_step": STEP, "jump": JUMP, "betas": BETAS, "own_schedule_findings": WRITTEN}
LIES = """class Any(str):
    def __eq__(self, other): return True
normal = tally = lambda *checks: 4
import imagegen.quiz as quiz, sys
quiz.tally.__code__ = (lambda *checks: len(checks)).__code__
def noise_step(x, beta):
    sys.displayhook(4)
    return x"""
FLOAT64 = "torch.set_default_dtype(torch.float64)"
DIES = "def jump(*a):\n    import os\n    os._exit(0)"
FORKS = """import os, time
for _ in range(40):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)"""
HALVES = "print('\\ud83d', '\\0', '\\x1b[31m')\n'\\udfff'"
PATCHES = """import builtins, torch, numpy as np
torch.allclose = torch.equal = np.allclose = lambda *a, **k: True
torch.Tensor.__lt__ = torch.Tensor.__eq__ = lambda *a: torch.tensor(True)
builtins.abs = lambda x: 0
builtins.isinstance = builtins.all = lambda *a: True
def noise_step(x, beta): return x"""
NO_NUMBER = "def noise_step(x, beta):\n    return x * float('nan')"
STREAM = "def jump(*a):\n    yield a"
ODD_KEYS = """class Key(list):
    __hash__ = lambda self: 1
    __reduce__ = lambda self: (print, ("run by unpickling",))
def betas(a):
    ring = {Key([1]): 2, (1, 2): 3, None: a, 1.5: Key()}
    ring["itself"] = ring
    return ring"""
FORGED = """def jump(x0, eps, t, beta):
    import json, os, struct
    number = {"tensor": ["float32", [10**6, 10**6], 0, False]}
    text = json.dumps({"returned": number, "outputs": [], "sizes": [0]}).encode()
    for file in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{file}").startswith("socket"):
                for _ in range(9):
                    os.write(int(file), struct.pack(">I", len(text)) + text)
        except OSError:
            pass
    return x0"""
THIEF = """import glob, os, subprocess
found = []
for place in ("/", "/tmp", os.path.expanduser("~"), "../..", "../../..", "/root", "/work", "/home"):
    for path, _, names in os.walk(place):
        found += [os.path.join(path, n) for n in names if "planted" in n][:9]
        if path.count("/") > 7: _.clear()
print("ENVIRONMENT", [k for k, v in os.environ.items() if "planted" in v])
print("FOUND", found)
import socket
try:
    socket.create_connection(("1.1.1.1", 53), 2)
    print("NETWORK")
except OSError as error:
    print("no net", error)
print("CAN WRITE", [p for p in ("/", "/usr", "/opt", "/etc") if os.access(p, os.W_OK)], os.getuid())
open(os.path.expanduser("~/left_behind"), "w").write("x")
open("/tmp/left_behind", "w").write("x")
subprocess.Popen(["sleep", "3600"], start_new_session=True)"""


def read(kind, root=ROOT):
    return nbformat.read(root / "quizzes" / CHAPTER / f"{kind}.ipynb", 4)


def meta(cell):
    return cell.metadata.get("nbgrader", {})


def at(notebook, grade_id):
    return next(c for c in notebook.cells if meta(c).get("grade_id") == grade_id)


def quiz(letters=KEY, **code):
    """A quiz with these letters; quiz(q2="...") puts other code into an answer."""
    notebook = read("quiz")
    for number, (item, letter) in enumerate(zip(ITEMS, letters, strict=True), 1):
        name = f"q{number}"
        at(notebook, item["id"]).source = code.get(name, f'{name} = "{letter}"')
    return notebook


def exercise(**sources):
    """The exercise solved, except for these cells; None leaves one as it was."""
    notebook = read("exercise")
    for grade_id, source in (SOLVED | sources).items():
        if source is not None:
            at(notebook, grade_id).source = source
    return notebook


def blank(**sources):
    return exercise(**(dict.fromkeys(SOLVED) | sources))


def own(notebook, source, after=None):
    """A cell of the learner's own, after a cell or at the end."""
    place = notebook.cells.index(at(notebook, after)) + 1 if after else len(notebook.cells)
    notebook.cells.insert(place, new_code_cell(source))
    return notebook


def changed(notebook, change):
    return change(notebook) or notebook


def stripped(notebook):
    notebook.nbformat_minor = 0
    for cell in notebook.cells:
        cell.metadata.clear()
        cell.pop("id")


def doubled(notebook):
    notebook.cells = [nbformat.from_dict(c) for c in notebook.cells for _ in range(2)]


def split(notebook):
    cell = at(notebook, "jump")
    other = nbformat.from_dict(dict(cell) | {"id": "other-half"})
    cell.source = "def shaped(a, x):\n    return a.reshape(-1, *[1] * (x.ndim - 1))"
    other.source = JUMP.replace(".reshape(-1, *[1] * (x0.ndim - 1))", "").replace(
        "[t]\n", "[t]\n    bar = shaped(bar, x0)\n"
    )
    notebook.cells.insert(notebook.cells.index(cell) + 1, other)


def merged(notebook):
    for above, below in list(zip(notebook.cells, notebook.cells[1:], strict=False)):
        if meta(below).get("grade") and not meta(below).get("solution"):
            above.source += "\n\n" + below.source
            notebook.cells.remove(below)


def as_markdown(notebook):
    for cell in notebook.cells:
        if meta(cell).get("solution") and cell.cell_type == "code":
            cell.cell_type = "markdown"
            cell.source = f"```python\n{cell.source}\n```"
            cell.pop("outputs"), cell.pop("execution_count")


def forged(notebook):
    for cell in notebook.cells:
        if meta(cell).get("grade") and cell.cell_type == "code":
            points = {"text/plain": str(meta(cell)["points"])}
            cell.outputs = [new_output("execute_result", points, execution_count=1)]


def edited(notebook):
    for cell in notebook.cells:
        if meta(cell).get("grade") and cell.cell_type == "code":
            cell.source, cell.metadata.nbgrader["points"] = "100", 100


def raw(notebook):
    for cell in notebook.cells:
        if meta(cell).get("solution") and cell.cell_type == "code":
            cell.cell_type = "raw"
            cell.pop("outputs"), cell.pop("execution_count")


def timed(notebook):
    for cell in notebook.cells:
        if meta(cell).get("solution") and cell.cell_type == "code":
            cell.source = "%%time\n" + cell.source


def below(notebook):
    """Each answer typed into the cell of its test."""
    untouched = {meta(c).get("grade_id"): c.source for k in ("quiz", "exercise")
                 for c in read(k).cells}  # fmt: skip
    for above, test in zip(notebook.cells, notebook.cells[1:], strict=False):
        if meta(test).get("grade") and not meta(test).get("solution"):
            test.source = f"{above.source}\n\n{test.source}"
            above.source = untouched[meta(above)["grade_id"]]


def of_another_chapter(kind):
    """The quiz of another chapter with the letters that are right in this one."""
    notebook = nbformat.read(ROOT / "quizzes" / "02_generative_models" / f"{kind}.ipynb", 4)
    for number, letter in enumerate(KEY, 1):
        for cell in notebook.cells:
            cell.source = cell.source.replace(f"q{number} = ...", f'q{number} = "{letter}"')
    return notebook


def zipped(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            text = content if isinstance(content, bytes | str) else nbformat.writes(content)
            archive.writestr(name, text)
    return data.getvalue()


def both(q=None, e=None):
    return {"quiz.ipynb": q or quiz(), "exercise.ipynb": e or exercise()}


def in_one():
    notebook = quiz()
    notebook.cells += exercise().cells
    return notebook


LOOSE = {
    "q1": f"q1 = '{KEY[0].lower()}.'  # a comment",
    "q2": f'q2 = "{KEY[1]}. About step 260"',
    "q3": f"q3: str = ' ({KEY[2]}) '",
    "q4": f'q4 = "ABCD"[{"ABCD".index(KEY[3])}]',
    "q5": f"q5 = '{chr(ord(KEY[4]) + 0xFEE0)}'",  # full width
    "q6": f'import sys\nprint("hm", file=sys.stderr)\nq6 = "{KEY[5]}"',
    "q7": f'q7 = "X"\nq7 = "{KEY[6]}"',
    "q8": f'q8 = "{KEY[7]}"\nexit()',
}

SUBMISSIONS = {
    "full": (8, 11, "", both()),
    "untouched": (0, 0, "", both(read("quiz"), read("exercise"))),
    "half": (4, 8, "", both(quiz(KEY[:4] + WRONG[4:]), exercise(betas=None))),
    "loose": (8, 11, "", both(quiz(**LOOSE))),
    "computed": (6, 11, "FLAG quiz: the answer to q2 is computed",
                 both(quiz(q1="while True: pass", q2="q2 = input('?')"))),
    "helper": (8, 11, "", both(e=own(own(exercise(jump=JUMP.replace("torch.cumprod", "product")),
                                         "product = torch.cumprod", "setup"),
                                     "!echo hello\nimport asyncio\nawait asyncio.sleep(0)"))),
    "float64": (8, 11, "", both(e=own(exercise(), FLOAT64, "setup"))),
    "near": (8, 11, "", both(e=own(exercise(), "near, a_tensor = 0.1, None", "same"))),
    "loud": (8, 11, "", both(e=exercise(noise_step="import warnings\n" + STEP.replace(
        "eps =", "warnings.warn('slow'); [print(i) for i in range(9000)]; eps =")))),
    "in_place": (8, 9, "", both(e=exercise(noise_step=STEP.replace("eps =", "x.mul_(1); eps =")
                                            .replace("return (1 - beta) ** 0.5 * x +",
                                                     "return x.mul_((1 - beta) ** 0.5) +")))),
    "syntax": (8, 8, "", both(e=exercise(betas="def betas(alpha_bar)\n    return 1"))),
    "only_quiz": (8, 0, "not found: no exercise.ipynb", {"quiz.ipynb": quiz()}),
    "nothing": (0, 0, "not found: no quiz.ipynb", {"notes.txt": "sorry"}),
    "late": (8, 11, "FLAG late by 1.0 days", both() | {"timestamp.txt": "2026-03-02 12:00:00 UTC"}),
    "stripped": (8, 11, "known by text", {n: changed(nb, stripped) for n, nb in both().items()}),
    "doubled": (8, 11, "", {n: changed(nb, doubled) for n, nb in both().items()}),
    "reversed": (8, 11, "", {n: changed(nb, lambda nb: nb.cells.reverse())
                             for n, nb in both().items()}),
    "split": (8, 11, "in several cells, joined", both(e=changed(exercise(), split))),
    "merged": (8, 11, "", {n: changed(nb, merged) for n, nb in both().items()}),
    "markdown": (8, 11, "stood in a markdown cell",
                 {n: changed(nb, as_markdown) for n, nb in both().items()}),
    "renamed": (8, 11, "was taken for quiz.ipynb",
                {"quiz (1).ipynb": quiz(), "zoe_final.ipynb": exercise()}),
    "zipped": (8, 11, "", {"in.zip": zipped({"a/b.zip": zipped({f"{CHAPTER.upper()}/{n}": nb
                                             for n, nb in both().items()}),
                                             "__MACOSX/._quiz.ipynb": "x"})}),
    "bom": (8, 11, "byte order mark",
            {n: b"\xef\xbb\xbf" + nbformat.writes(nb).replace("\n", "\r\n").encode()
             for n, nb in both().items()}),
    "format3": (8, 11, "old notebook format",
                {n: json.dumps(nbformat.convert(nb, 3)) for n, nb in both().items()}),
    "cut": (8, 0, "cut off", both() | {"exercise.ipynb": nbformat.writes(exercise())[:9000]}),
    "page": (0, 11, "a web page", both() | {"quiz.ipynb": "<!DOCTYPE html><html>Sign in"}),
    "Zoë O'Neil, 李雷": (8, 11, "", both() | {"torch.py": "1 / 0", "noise.bin": b"\0" * 9}),
    "linked": (0, 11, "is a link", {"quiz.ipynb": Path("../../full/03_forward_process/quiz.ipynb"),
                                    "exercise.ipynb": exercise()}),
    "endless": (8, 7, "timed out", both(e=exercise(
        jump="def jump(*a):\n    import time\n    while True: time.sleep(0.01)"))),
    "dies": (8, 4, "the kernel died", both(e=exercise(jump=DIES))),
    "forks": (8, 11, "FLAG exercise: the code starts", both(e=own(exercise(), FORKS))),
    "hog": (8, 11, "", both(e=own(exercise(), "hog = bytearray(8 << 30)"))),
    "thief": (8, 11, "FLAG exercise: the code uses the network",
              both(e=own(exercise(), THIEF, "setup"))),
    "liar": (0, 0, "FLAG exercise: the code changes functions from inside",
             both(quiz(WRONG, q1=LIES + "\nq1 = Any('A')"), blank(noise_step=LIES))),
    "forged": (0, 0, "points as handed in", {n: changed(nb, forged) for n, nb in
                                             both(quiz(WRONG), blank()).items()}),
    "edited": (0, 0, "FLAG quiz: the test", {n: changed(nb, edited) for n, nb in
                                             both(quiz(WRONG), blank()).items()}),
    "magics": (8, 11, "", {n: changed(nb, timed) for n, nb in both().items()}),
    "raw": (8, 11, "stood in a markdown cell", {n: changed(nb, raw) for n, nb in both().items()}),
    "below": (8, 11, "stood in the cell", {n: changed(nb, below) for n, nb in both().items()}),
    "exchanged": (8, 11, "was taken for", {"quiz.ipynb": exercise(), "exercise.ipynb": quiz()}),
    "in_one": (8, 11, "quiz.ipynb was taken for exercise.ipynb", {"quiz.ipynb": in_one()}),
    "other_chapter": (0, 0, "FLAG quiz: it answers other questions",
                      {f"{kind}.ipynb": of_another_chapter(kind) for kind in ("quiz", "exercise")}),
    "halves": (8, 11, "", both(
        quiz(q1=f'# \ud83d\nq1 = "{KEY[0]}"'),
        own(exercise(own_schedule_findings="half \udfff \0", jump="# \ud83d\n" + JUMP), HALVES))),
    "stops": (8, 11, "", both(e=exercise(noise_step=STEP + "\nraise SystemExit(3)",
                                          jump=JUMP + "\nraise KeyboardInterrupt"))),
    "patches": (0, 0, "FLAG exercise: the code replaces functions of Python",
                both(quiz(WRONG), blank(noise_step=PATCHES))),
    "no_number": (8, 0, "", both(e=blank(noise_step=NO_NUMBER, jump=STREAM, betas=ODD_KEYS))),
    "messages": (8, 4, "FLAG exercise: the code reads outside", both(e=exercise(jump=FORGED))),
    "Li (1)__ <b onclick=x()>": (8, 0, "", {"quiz.ipynb": quiz()}),
    "exports": (0, 0, "other files that came: all.rar, quiz.html",
                {"quiz.html": "<html>", "all.rar": b"Rar!"}),
    "script": (8, 11, "FLAG exercise: the code shows active HTML", both(e=own(exercise(),
               "from IPython.display import HTML, display\n"
               "display(HTML('<script>document.title=1</script><b onclick=\"x()\">bold</b>'))"))),
}  # fmt: skip


FOLDERS = {"Li (1)__ <b onclick=x()>": "Li [1]*? <b onclick=x()>"}  # of those named otherwise


def hand_in(root, name, files, assignment=CHAPTER):
    """Write a submission as it came: what is damaged stays damaged."""
    folder = root / "submitted" / FOLDERS.get(name, name) / assignment
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        path = folder / file
        if isinstance(content, Path):
            path.symlink_to(content)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, "utf-8")
        else:
            path.write_text(json.dumps(content, ensure_ascii=name == "halves"), "utf-8")
