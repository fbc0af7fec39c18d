"""The rules of a notebook: each function yields one sentence for everything that breaks its rule.

`complaints(path)` applies all the rules for the place where the notebook lies.
"""

import ast
import base64
import io
import json
import re
import warnings
from functools import cache
from pathlib import Path
from statistics import median

import nbformat
import numpy as np
from PIL import Image

from classroom.publish import badge, bootstrap

RAW_HTML = r"</?(a|b|br|center|code|details|div|em|figure|font|h\d|hr|i|iframe|img|kbd|li|ol|p|pre"
RAW_HTML += r"|script|span|strong|style|sub|summary|sup|table|td|th|tr|u|ul|video)\b[^>]*>|<!--"
EMOJI = "[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\ufe0f]"
PROGRESS = r"\d+%\||\d+(\.\d+)?(it/s|s/it)|\r|\x1b\["
WIDGET = "application/vnd.jupyter.widget"


def complaints(path, root):
    """Every sentence that the notebook at `path` under `root` earns; an empty list is a pass."""
    path = Path(path)
    name = path.relative_to(root).as_posix()
    with warnings.catch_warnings(action="ignore"):
        notebook = nbformat.read(path, as_version=4)
    rules = [kernel, source, own_words]
    if name.startswith("chapters/"):
        rules += [opening, anatomy, proportions, outputs, order, alt_texts, figures, plots, teaches]
    else:
        rules += [no_outputs]
    found = [f"{name}: {said}" for rule in rules for said in rule(notebook, name)]
    ids = [cell.get("id") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    if None in ids or len(set(ids)) < len(ids):  # asked of the file, because nbformat mends it
        found.append(f"{name}: cells have no ids, or share one")
    if path.stat().st_size > 500_000:
        found.append(f"{name}: the file has {path.stat().st_size // 1000} kB; 500 is the limit")
    return found


def kernel(notebook, name):
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernelspec is not python3"
    if "widgets" in notebook.metadata:
        yield "widget state is stored in the metadata"


def source(notebook, name):
    """Plain text that reads well anywhere: 80 columns, no HTML, no emoji, nothing embedded.

    Prose outside the chapters is built from the item bank, which wraps its own lines.
    """
    for number, cell in enumerate(notebook.cells):
        for line in cell.source.splitlines():
            fixed = cell.cell_type == "markdown" and ("](" in line or line.startswith("|"))
            fixed = fixed or line.strip().startswith("%pip") or line.lstrip("# ").startswith("http")
            fixed = fixed or (cell.cell_type == "markdown" and not name.startswith("chapters/"))
            if len(line) > 80 and not fixed:
                yield f"cell {number} has a line of {len(line)} columns: {line[:40]!r}..."
        if re.search(EMOJI, cell.source):
            yield f"cell {number} has an emoji"
        if "data:image/" in cell.source or "](attachment:" in cell.source:
            yield f"cell {number} embeds a picture in its text"
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.DOTALL)
            if re.search(RAW_HTML, prose, re.IGNORECASE):
                yield f"cell {number} has raw HTML"
        elif re.search(r"\bHTML\(|^%%(html|javascript)", cell.source, re.MULTILINE):
            yield f"cell {number} writes raw HTML"


def own_words(notebook, name):
    """Code that runs anywhere, and says where its names come from."""
    for number, cell in enumerate(code_cells(notebook)):
        if re.search(r"import \*", cell.source):
            yield f"code cell {number} has a star import"
        if re.search(r"""\.to\(["']cuda|device\s*=\s*["']cuda""", cell.source):
            yield f"code cell {number} has a hard-coded cuda"


def opening(notebook, name):
    """The title carries the chapter's number, the badge opens this file, setup comes first."""
    number = int(re.match(r"chapters/(\d\d)_\w+\.ipynb$", name)[1])
    head = "\n".join(cell.source for cell in notebook.cells[:2] if cell.cell_type == "markdown")
    if not re.match(rf"# {number}\. \S", head):
        yield f"the first cell does not begin with '# {number}. Title'"
    if badge(name) not in head:
        yield "the Colab badge is missing or leads elsewhere (run `make stamp`)"
    setups = [
        i for i, cell in enumerate(code_cells(notebook)) if "import imagegen\n" in cell.source
    ]
    if setups != [0] or not code_cells(notebook)[0].source.startswith(bootstrap()):
        yield "the first code cell, and no other, begins with the lines of `publish.bootstrap`"


def anatomy(notebook, name):
    """The parts every chapter has, in their order."""
    text = "\n".join(cell.source for cell in notebook.cells)
    parts = ["You will", "You need", "ask(", "Predict", "Many think"]
    parts += ["What we found", "Names", "In the papers"]
    position = 0
    for part in parts:
        found = text.find(part, position)
        if found < 0:
            yield f"{part!r} is missing, or comes too early"
        else:
            position = found


def proportions(notebook, name):
    """Small cells, few words at a time, never a wall of code."""
    cells = notebook.cells
    if not 40 <= len(cells) <= 90:
        yield f"it has {len(cells)} cells; 40 to 90 is the measure"
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    if lengths and median(lengths) > 8:
        yield f"the median code cell has {median(lengths):g} lines; 8 is the limit"
    for number, cell in enumerate(code_cells(notebook)):
        limit = 40 if re.search(r"^class \w+\(.*Module\)", cell.source, re.MULTILINE) else 25
        if len(cell.source.splitlines()) > limit:
            yield f"code cell {number} has {len(cell.source.splitlines())} lines; {limit} at most"
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in cells)
    if "ccc" in kinds:
        yield f"cells {kinds.index('ccc')} to {kinds.index('ccc') + 2} are code without a sentence"
    for number, cell in enumerate(cells):
        words = len(re.findall(r"[^\W_][\w'-]*", re.sub(r"\]\(.*?\)", "]", cell.source)))
        if cell.cell_type == "markdown" and words > 120:
            yield f"cell {number} has {words} words; 120 at most"


def order(notebook, name):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield "it was not run once from top to bottom (run `make chapters`)"


def outputs(notebook, name):
    """No error, no warning, no leftovers of something that moved."""
    for number, output in all_outputs(notebook):
        if output.output_type == "error":
            yield f"code cell {number} ends in {output.ename}"
        elif output.output_type == "stream" and output.name == "stderr":
            yield f"code cell {number} writes to stderr: {output.text[:60]!r}"
        elif output.output_type == "stream" and re.search(PROGRESS, output.text):
            yield f"code cell {number} stores the residue of a progress bar"
        elif any(kind.startswith(WIDGET) for kind in output.get("data", {})):
            yield f"code cell {number} stores a widget, which dies with its kernel"


def no_outputs(notebook, name):
    if any(cell.outputs or cell.execution_count for cell in code_cells(notebook)):
        yield "it stores outputs; solutions and quizzes are kept without"


def alt_texts(notebook, name):
    """A picture's words: `show(..., alt=...)`, or `alt` in the metadata of the cell drawing it."""
    cells = code_cells(notebook)
    for prose in [cell for cell in notebook.cells if cell.cell_type == "markdown"]:
        for words in re.findall(r"!\[(.*?)\]\(", prose.source):
            if len(words.split()) < 3:
                yield f"a picture in the text has no alt text: {prose.source[:40]!r}..."
    for number, output in all_outputs(notebook):
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
            alt = output.metadata.get(kind, {}).get("alt") or cells[number].metadata.get("alt", "")
            if len(alt.split()) < 3:
                yield f"a picture of code cell {number} has no alt text"


def figures(notebook, name):
    """Every stored picture shows something."""
    for number, output in all_outputs(notebook):
        for kind in ("image/png", "image/jpeg", "image/gif"):
            picture = output.get("data", {}).get(kind)
            if picture and is_blank(base64.b64decode(picture)):
                yield f"a picture of code cell {number} is blank"


def plots(notebook, name):
    """A cell that draws with pyplot shows its figure and nothing else."""
    for number, cell in enumerate(code_cells(notebook)):
        statements = [s for s in parse(cell.source).body if not isinstance(s, DEFINITIONS)]
        drawn = [s for s in statements if re.search(r"\bplt\.(?!rc)", ast.unparse(s))]
        if drawn and ast.unparse(statements[-1]) != "plt.show()":
            yield f"code cell {number} draws, but does not end with plt.show()"


def teaches(notebook, name):
    """Shown once, kept once: a function of the same name in the package is the same function."""
    package = package_definitions()
    for cell in code_cells(notebook):
        for shown in parse(cell.source).body:
            kept = package.get(getattr(shown, "name", None), [])
            if kept and without_words(shown) not in kept:
                yield f"{shown.name} differs from the function of that name in imagegen"


DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def all_outputs(notebook):
    cells = enumerate(code_cells(notebook))
    return [(number, output) for number, cell in cells for output in cell.outputs]


def parse(code):
    """The syntax tree of a cell; lines for IPython (`%pip ...`) count as `pass`."""
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", code, flags=re.MULTILINE))


def without_words(definition):
    """The tree of a function or class as text, without its docstrings; comments are not in it."""
    tree = ast.parse(ast.unparse(definition))
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS[:2]) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@cache
def package_definitions(folder=Path(__file__).parents[1] / "imagegen"):
    """Name of every public function and class at the top of a module -> their trees."""
    found = {}
    for module in folder.rglob("*.py"):
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, DEFINITIONS[:2]) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(without_words(node))
    return found


def is_blank(picture):
    """True for one colour alone, and for empty axes or panels: two greys and a little lettering."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).reshape(-1, 3).astype(int)
    counts = np.unique(pixels @ (1, 256, 65536), return_counts=True)[1]
    share = np.sort(counts)[::-1] / len(pixels)
    is_grey = np.ptp(pixels, axis=1).max() < 10
    return share[0] > 0.995 or (is_grey and share[:2].sum() > 0.9)
