"""Every notebook obeys tests/hygiene.py, and every rule there can fail."""

import base64
import copy
import io
import json
import shutil
from pathlib import Path

import hygiene
import matplotlib.pyplot as plt
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from classroom import publish

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = [path for path in publish.stamped_files() if path.suffix == ".ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_notebook_is_clean(path):
    assert not hygiene.complaints(path, ROOT)


def test_there_are_chapters():
    assert [path for path in NOTEBOOKS if path.parent.name == "chapters"]


PLOT = "import matplotlib.pyplot as plt\n\nplt.plot([0, 1, 4])\nplt.show()"
SLIDER = "import ipywidgets\n\nipywidgets.IntSlider()"


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """A small chapter that obeys every rule, run by `publish.execute`; its path and its root."""
    root = tmp_path_factory.mktemp("course")
    path = root / "chapters" / "03_small.ipynb"
    path.parent.mkdir()
    head = f"# 3. A small chapter\n\n{publish.badge('chapters/03_small.ipynb')}\n\nOne promise."
    texts = ["You will see.", "You need: nothing.", "Call `ask()`.", "Predict, then run."]
    texts += ["Many think so.", "What we found.", "Names.", "In the papers."]
    cells = [new_markdown_cell(head), new_code_cell(publish.bootstrap())]
    cells += [new_markdown_cell(text) for text in texts]
    cells += [
        new_code_cell(PLOT, metadata={"alt": "A curve that bends upwards"}),
        new_code_cell(SLIDER),
    ]
    for number in range(16):
        cells += [new_markdown_cell(f"Sentence {number}."), new_code_cell(f"print({number})")]
    nbformat.write(new_notebook(cells=cells, metadata={"jupytext": {}, "widgets": {}}), path)
    publish.execute(path)
    return path, root


def test_executed_notebook_is_clean(executed):
    assert hygiene.complaints(*executed) == []


def test_execute_drops_the_widget_and_keeps_the_rest(executed):
    notebook = nbformat.read(executed[0], as_version=4)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    cells = hygiene.code_cells(notebook)
    assert [cell.source for cell in cells if not cell.outputs] == [publish.bootstrap(), SLIDER]


def test_a_failing_cell_leaves_the_file_as_it_was(executed, tmp_path):
    path = tmp_path / "failing.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0")]), path)
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="was not changed.*(?s:.*)ZeroDivisionError"):
        publish.execute(path)
    assert path.read_bytes() == before


def stream(name, text):
    return new_output("stream", name=name, text=text)


def picture(colour):
    """A stored picture with axes and nothing in them, or of one colour alone."""
    file = io.BytesIO()
    if colour is None:
        plt.figure()
        plt.title("Nothing came")
        plt.gca()
        plt.savefig(file)
        plt.close()
    else:
        Image.new("RGB", (64, 64), colour).save(file, "png")
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    return new_output("display_data", data, metadata={"image/png": {"alt": "a picture of it"}})


def code(text):
    return lambda nb: nb.cells[-1].update(source=text)


def prose(text):
    return lambda nb: nb.cells[-2].update(source=text)


def output(made):
    return lambda nb: nb.cells[-1].update(outputs=[made])


BREAKS = {
    "the kernelspec": lambda nb: nb.metadata.kernelspec.update(name="conda-env"),
    "widget state": lambda nb: nb.metadata.update(widgets={}),
    "share one": lambda nb: nb.cells[-1].update(id=nb.cells[-3].id),
    "line of 81 columns": code("#" * 81),
    "line of 82 columns": prose("a" * 82),
    "an emoji": prose("Done \N{ROCKET}"),
    "embeds a picture": prose("![a b c](data:image/png;base64,AAAA)"),
    "has raw HTML": prose("<div>wide</div>"),
    "writes raw HTML": code("HTML('<b>')"),
    "star import": code("from math import *"),
    "hard-coded cuda": code('pipe.to("cuda")'),
    "does not begin with": lambda nb: nb.cells[0].update(
        source=nb.cells[0].source.replace("3.", "4.")
    ),
    "badge": lambda nb: nb.cells[0].update(source=nb.cells[0].source.replace("03_", "04_")),
    "bootstrap": lambda nb: nb.cells[1].update(source=publish.bootstrap(revision="v1")),
    "'What we found' is missing": lambda nb: nb.cells[7].update(source="Names."),
    "'You need' is missing": lambda nb: nb.cells[3].update(source="Well."),
    "it has 34 cells": lambda nb: nb.update(cells=nb.cells[:-10]),
    "the median code cell": lambda nb: [
        cell.update(source="x = 1\n" * 9 + "x") for cell in hygiene.code_cells(nb)[3:]
    ],
    "26 lines; 25": code("x = 1\n" * 25 + "x"),
    "41 lines; 40": code("class Net(nn.Module):\n" + "    x = 1\n" * 39 + "    y = 1"),
    "code without a sentence": lambda nb: (
        nb.cells.append(nb.cells.pop(-2)) or nb.cells.insert(-2, nb.cells.pop(11))
    ),
    "121 words": prose("word\n" * 121),
    "not run once": lambda nb: nb.cells[-1].update(execution_count=99),
    "ends in ValueError": output(new_output("error", ename="ValueError", evalue="x", traceback=[])),
    "stderr": output(stream("stderr", "FutureWarning")),
    "progress bar": output(stream("stdout", " 45%|####      | 9/20")),
    "stores a widget": output(new_output("display_data", {publish.WIDGET: {"model_id": "x"}})),
    "has no alt text": lambda nb: nb.cells[10].metadata.pop("alt"),
    "text has no alt text": prose("![](https://example.org/a.png)"),
    "is blank": output(picture(None)),
    "1 is blank|18 is blank": output(picture("brown")),
    "plt.show()": lambda nb: nb.cells[10].update(source=PLOT.removesuffix("\nplt.show()")),
    "wilson differs": code("def wilson(successes, n):\n    return n"),
}


@pytest.mark.parametrize("words", BREAKS)
def test_each_rule_can_fail(executed, tmp_path, words):
    notebook = copy.deepcopy(nbformat.read(executed[0], as_version=4))
    BREAKS[words](notebook)
    path = tmp_path / "chapters" / "03_small.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps(notebook), encoding="utf-8")  # nbformat would mend equal ids
    found = hygiene.complaints(path, tmp_path)
    assert any(part in said for said in found for part in words.split("|")), found


def test_a_large_file_is_refused(executed, tmp_path):
    path = tmp_path / "chapters" / "03_small.ipynb"
    path.parent.mkdir()
    shutil.copy(executed[0], path)
    path.write_bytes(path.read_bytes() + b" " * 500_000)
    assert any("500 is the limit" in said for said in hygiene.complaints(path, tmp_path))


def test_stored_outputs_are_refused_outside_the_chapters(executed, tmp_path):
    path = tmp_path / "solutions" / "03_small" / "quiz.ipynb"
    path.parent.mkdir(parents=True)
    shutil.copy(executed[0], path)
    assert any("kept without" in said for said in hygiene.complaints(path, tmp_path))


def test_a_function_may_differ_in_words_alone():
    shown = hygiene.parse("def double(x):\n    # why\n    return 2 * x").body[0]
    kept = hygiene.parse('def double(x):\n    """Twice `x`."""\n    return 2 * x').body[0]
    other = hygiene.parse("def double(x):\n    return 2 + x").body[0]
    assert hygiene.without_words(shown) == hygiene.without_words(kept)
    assert hygiene.without_words(shown) != hygiene.without_words(other)


@pytest.mark.parametrize("address", ["https://github.com/someone/course", "file:///srv/course"])
def test_stamp_changes_every_address_and_nothing_else(address):
    name = "chapters/03_small.ipynb"
    text = f"{publish.badge(name)} (see [it]) \n{publish.bootstrap()}\nafter"
    stamped = publish.stamp(text, address, "v2", name)
    assert publish.badge(name, address, "v2") in stamped
    assert publish.bootstrap(address, "v2") in stamped
    assert stamped.endswith("\nafter")
    assert publish.stamp(stamped, path=name) == text
