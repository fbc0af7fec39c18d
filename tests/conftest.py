"""What several tests share."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# Tests draw small pictures, where more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    """A git repository of its own with the course as it is now, committed on branch main."""
    folder = tmp_path_factory.mktemp("snapshot")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.strip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "snapshot"]):
        subprocess.run([*git, *words], check=True)
    return folder


@pytest.fixture(scope="session")
def server():
    """The local server, for every test that only asks it, on a day that does not pass."""
    from imagegen.api import start

    with start(today="2026-11-24") as running:
        yield running
