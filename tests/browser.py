"""A Chromium for the browser tests and a reader's hands in it; as a script, print its path."""

import os
import re
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

SHOTS = Path(__file__).resolve().parents[1] / "results" / "browser"
RUN_TIME = 300  # seconds for all cells of a notebook
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find():
    """Path of a browser that starts, or None: the one installed, else Playwright's own."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        for path in [*filter(None, map(shutil.which, NAMES)), own]:
            if os.path.exists(path) and _starts(playwright, path):
                return path


@contextmanager
def page(width=1280, height=900):
    """A fresh page of the browser found; without one, a failure that says what to install."""
    path = find()
    if path is None:
        raise RuntimeError(
            "The browser tests need Chromium: run `bash .ci/browser`, or install chromium or "
            "google-chrome with your system's packages."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": height})
        yield context.new_page()
        browser.close()


def _starts(playwright, path):
    try:
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).close()
    except Error:  # a stub that only advertises a package, or a browser without its libraries
        return False
    return True


def visit(page, address):
    """Open the notebook at this address, and begin a list of the page's errors."""
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address, timeout=180_000)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=180_000)
    page.wait_for_selector("text=/Python 3.* Idle/", timeout=180_000)


def menu(page, *names):
    """Click one menu item after the other."""
    for name in names:
        page.get_by_role("menuitem", name=name, exact=True).click()


def wait_until_run(page):
    """Wait until every code cell has its number and none waits."""
    deadline = time.monotonic() + RUN_TIME
    while time.monotonic() < deadline:
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
        if prompts and all(re.match(r"\[\d+\]:", prompt) for prompt in prompts):
            return
        time.sleep(0.5)
    page.screenshot(path=SHOTS / "not_finished.png")
    raise AssertionError(f"the chapter did not finish within {RUN_TIME} seconds: {prompts}")


def wait_for(seen, what):
    """Wait for three minutes at most until `seen()` is true, and return what it saw."""
    for _ in range(360):
        if found := seen():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} within three minutes")


def assert_nothing_is_red(page):
    assert page.errors == []
    assert page.locator(".jp-Dialog").count() == 0
    for kind in ("stderr", "error"):
        red = page.locator(f"[data-mime-type='application/vnd.jupyter.{kind}']")
        assert red.all_inner_texts() == []
    assert "Error displaying widget" not in page.locator(".jp-Notebook").inner_text()


if __name__ == "__main__":
    found = find()
    print(found or "no browser found")
    sys.exit(found is None)
