"""The chapters in JupyterLab in a real browser, with a reader's hands: run, move, answer.

Screenshots go to results/browser/, to be looked at.
"""

import ast
import re
import symtable
from pathlib import Path

import hygiene
import nbformat
import pytest
from browser import SHOTS, assert_nothing_is_red, menu, visit, wait_for, wait_until_run

ROOT = Path(__file__).resolve().parents[1]
SLIDERS = [  # later chapters with sliders
    path
    for path in sorted((ROOT / "chapters").glob("*.ipynb"))[1:]
    if "Slider(" in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="module")
def chapter(lab, window):
    """The page with chapter 1 open, all its cells run, and what went wrong on the way."""
    page = window
    visit(page, lab)
    page.screenshot(path=SHOTS / "1_opened.png")
    page.as_stored = page.locator(".jp-Notebook").inner_text()
    menu(page, "Edit", "Clear Outputs of All Cells")
    assert pictures(page) == []
    menu(page, "Run", "Run All Cells")
    wait_until_run(page)
    page.screenshot(path=SHOTS / "2_run.png")
    return page


def pictures(page):
    """Width and height of every picture in the outputs, in order."""
    return page.eval_on_selector_all(
        ".jp-OutputArea-output img", "all => all.map(img => [img.naturalWidth, img.naturalHeight])"
    )


def test_the_first_chapter_is_what_opens(chapter):
    assert chapter.url.endswith("/tree/chapters/01_first_image.ipynb")


def test_the_stored_chapter_opens_without_an_error(chapter):
    assert "rror displaying widget" not in chapter.as_stored
    assert "Traceback" not in chapter.as_stored


def test_all_cells_run_and_pictures_appear(chapter):
    assert_nothing_is_red(chapter)
    sizes = pictures(chapter)
    assert sizes
    assert all(width >= 64 and height >= 64 for width, height in sizes)


def move_a_slider(page):
    """Move the first slider by one and wait until the picture under it is another."""
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    output = page.locator(".jp-OutputArea-output", has=handle).last
    wait_for(lambda: output.locator("img").count(), "no picture belongs to the slider")
    before = output.locator("img").last.get_attribute("src")
    handle.press("ArrowRight")
    wait_for(
        lambda: (
            output.locator("img").count()
            and output.locator("img").last.get_attribute("src") != before
        ),
        "the picture under the slider did not change",
    )


def question(page):
    """The box of the first question, in sight: what is out of sight has no inner text."""
    box = page.locator(".widget-vbox", has=page.locator("button", has_text=re.compile("^A$")))
    box.first.scroll_into_view_if_needed()
    return box.first


def answer(box, letter):
    """Choose a letter and return what is said to it."""
    box.locator("button", has_text=re.compile(f"^{letter}$")).click()
    reply = box.locator(".widget-html-content")
    wait_for(lambda: reply.inner_text().startswith(f"{letter} is"), f"no reply to {letter}")
    return reply.inner_text()


def test_moving_a_slider_draws_anew(chapter):
    move_a_slider(chapter)
    chapter.screenshot(path=SHOTS / "3_moved.png")
    assert_nothing_is_red(chapter)


def test_every_answer_is_answered(chapter):
    """Each option of the first question gets a reply of its own, and one of them is right."""
    box = question(chapter)
    letters, replies = box.locator("button").all_text_contents(), []
    for letter in letters:
        replies.append(answer(box, letter))
        box.scroll_into_view_if_needed()
        chapter.screenshot(path=SHOTS / f"4_answer_{letter}.png")
    assert len(set(replies)) == len(letters) >= 2
    assert sum("is right." in reply.splitlines()[0] for reply in replies) == 1
    assert_nothing_is_red(chapter)


def names(code):
    """What a cell gives names to, and which names it reads before it has given them itself."""
    given, used = set(), set()
    for statement in hygiene.parse(code).body:
        table = symtable.symtable(ast.unparse(statement), "cell", "exec")
        symbols, inner = table.get_symbols(), list(table.get_children())
        reads = {s.get_name() for s in symbols if s.is_referenced()}
        while inner:
            inner += (table := inner.pop()).get_children()
            reads |= {s.get_name() for s in table.get_symbols() if s.is_global()}
        loops = [node.target for node in ast.walk(statement) if isinstance(node, ast.For)]
        reads -= {node.id for loop in loops for node in ast.walk(loop) if hasattr(node, "id")}
        used |= reads - given
        given |= {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    return given, used


def shortened(path):
    """The chapter's widgets, its first question, and the cells without which they do not run.

    A cell that only changes what another one made, as training does, is not among them.
    """
    notebook, kept, wanted = nbformat.read(path, as_version=4), [], set()
    cells = hygiene.code_cells(notebook)
    first = next(cell for cell in cells if cell.source.startswith("ask("))
    for cell in reversed(cells):
        given, used = names(cell.source)
        if cell is first or "widgets." in cell.source or given & wanted:
            kept.insert(0, cell)
            wanted = wanted - given | used
    notebook.cells = kept
    return notebook


@pytest.mark.parametrize("path", SLIDERS, ids=lambda path: path.stem)
def test_the_widgets_of_other_chapters_work(window, lab, snapshot, path):
    nbformat.write(shortened(path), snapshot / "chapters" / f"short_{path.name}")
    page = window.context.new_page()
    visit(page, f"{lab}/lab/workspaces/{path.stem}/tree/chapters/short_{path.name}")
    menu(page, "Edit", "Clear Outputs of All Cells")
    assert pictures(page) == []
    menu(page, "Run", "Run All Cells")
    wait_until_run(page)
    move_a_slider(page)
    page.screenshot(path=SHOTS / f"{path.stem}_moved.png")
    assert answer(question(page), "B")
    page.screenshot(path=SHOTS / f"{path.stem}_answer.png")
    assert_nothing_is_red(page)
    page.close()
