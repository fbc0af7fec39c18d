"""The first chapter in JupyterLab in a real browser, with a reader's hands: run, move, answer.

Screenshots go to results/browser/, to be looked at.
"""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import browser
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "results" / "browser"
RUN_TIME = 300  # seconds for all cells of a chapter


@pytest.fixture(scope="module")
def lab(snapshot, tmp_path_factory):
    """Address of JupyterLab in a copy of the course, started by the command of `make lab`."""
    home = tmp_path_factory.mktemp("home")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    make = ["make", "-n", "--no-print-directory", "lab"]  # under `make test`, make names its folder
    recipe = subprocess.run(make, cwd=ROOT, capture_output=True, text=True).stdout
    command = recipe.splitlines()[-1].split()
    assert command[0].endswith("/jupyter"), recipe
    command[:1] = [sys.executable, "-m", "jupyter"]
    command += ["--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--IdentityProvider.token="]
    # Settings of its own, and a package that knows only the copy.
    place = {"JUPYTER_CONFIG_DIR": home / "config", "IPYTHONDIR": home / "ipython"}
    place |= {"PYTHONPATH": snapshot, "HF_HUB_OFFLINE": "1"}
    environment = os.environ | {name: str(value) for name, value in place.items()}
    with open(home / "lab.log", "wb") as log:
        server = subprocess.Popen(command, cwd=snapshot, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):  # the first start after an installation compiles all of Jupyter
        assert server.poll() is None, (home / "lab.log").read_text()
        try:
            urlopen(f"{address}/api/status").close()
            break
        except OSError:
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def chapter(lab):
    """The page with chapter 1 open, all its cells run, and what went wrong on the way."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    with browser.page() as page:
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(lab, timeout=180_000)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=180_000)
        page.wait_for_selector("text=/Python 3.* Idle/", timeout=180_000)
        page.screenshot(path=SHOTS / "1_opened.png")
        page.as_stored = page.locator(".jp-Notebook").inner_text()
        menu(page, "Edit", "Clear Outputs of All Cells")
        assert pictures(page) == []
        menu(page, "Run", "Run All Cells")
        wait_until_run(page)
        page.screenshot(path=SHOTS / "2_run.png")
        yield page


def menu(page, name, item):
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.get_by_role("menuitem", name=item, exact=True).click()


def pictures(page):
    """Width and height of every picture in the outputs, in order."""
    return page.eval_on_selector_all(
        ".jp-OutputArea-output img", "all => all.map(img => [img.naturalWidth, img.naturalHeight])"
    )


def wait_until_run(page):
    """Wait until every code cell has its number and none waits."""
    deadline = time.monotonic() + RUN_TIME
    while time.monotonic() < deadline:
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        if prompts and all(re.match(r"\[\d+\]:", prompt) for prompt in prompts):
            return
        time.sleep(0.5)
    page.screenshot(path=SHOTS / "not_finished.png")
    pytest.fail(f"the chapter did not finish within {RUN_TIME} seconds: {prompts}")


def wait_for(seen, what):
    """Wait for a minute at most until `seen()` is true, and return what it saw."""
    for _ in range(120):
        if found := seen():
            return found
        time.sleep(0.5)
    pytest.fail(f"{what} within a minute")


def assert_nothing_is_red(page):
    assert page.errors == []
    assert page.locator(".jp-Dialog").count() == 0
    for kind in ("stderr", "error"):
        red = page.locator(f"[data-mime-type='application/vnd.jupyter.{kind}']")
        assert red.all_inner_texts() == []
    assert "Error displaying widget" not in page.locator(".jp-Notebook").inner_text()


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


def test_moving_a_slider_draws_anew(chapter):
    handle = chapter.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    output = chapter.locator(".jp-OutputArea-output", has=handle).last
    before = wait_for(lambda: output.locator("img").count(), "no picture belongs to the slider")
    before = output.locator("img").last.get_attribute("src")
    handle.press("ArrowRight")
    wait_for(
        lambda: (
            output.locator("img").count()
            and output.locator("img").last.get_attribute("src") != before
        ),
        "the picture under the slider did not change",
    )
    chapter.screenshot(path=SHOTS / "3_moved.png")
    assert_nothing_is_red(chapter)


def test_every_answer_is_answered(chapter):
    """Each option of the first question gets a reply of its own, and one of them is right."""
    box = chapter.locator(".widget-vbox", has=chapter.locator("button", has_text=re.compile("^A$")))
    box = box.first
    box.scroll_into_view_if_needed()  # what is out of sight has no inner text
    letters = box.locator("button").all_text_contents()
    replies = []
    for letter in letters:
        box.locator("button", has_text=re.compile(f"^{letter}$")).click()
        reply = box.locator(".widget-html-content")
        wait_for(lambda: reply.inner_text().startswith(f"{letter} is"), f"no reply to {letter}")  # noqa: B023
        replies.append(reply.inner_text())
        box.scroll_into_view_if_needed()
        chapter.screenshot(path=SHOTS / f"4_answer_{letter}.png")
    assert len(set(replies)) == len(letters) >= 2
    assert sum("is right." in reply.splitlines()[0] for reply in replies) == 1
    assert_nothing_is_red(chapter)
