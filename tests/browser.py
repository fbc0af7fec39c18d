"""Find a Chromium for the browser tests; run as a script, print its path."""

import os
import shutil
import sys
from contextlib import contextmanager

from playwright.sync_api import Error, sync_playwright

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


if __name__ == "__main__":
    found = find()
    print(found or "no browser found")
    sys.exit(found is None)
