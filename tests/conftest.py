"""What several tests share."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

# Tests draw small pictures, where more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
# The files that take minutes: begun first, so that no core waits for one of them at the end.
LONGEST = (
    "test_classroom.py",
    "test_grading.py",
    "test_colab.py",
    "test_quizzes.py",
    "test_browser.py",
)


def pytest_collection_modifyitems(items):
    """The longest files first; all others in their order."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(LONGEST)))


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


@contextmanager
def served(target, program, arguments, folder, home):
    """The address of what a `make` target serves, started in a folder by the target's command.

    program: how that command ends, for us to replace its Python. arguments: further ones, in
    which PORT stands for a free port.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    make = ["make", "-n", "--no-print-directory", target]  # under `make test` it names its folder
    recipe = subprocess.run(make, cwd=ROOT, capture_output=True, text=True).stdout
    command = recipe.splitlines()[-1].split()
    assert command[0].endswith(f"/{program}"), recipe
    command[:1] = [sys.executable, *(["-m", program] if program != "python" else [])]
    command += [argument.replace("PORT", port) for argument in arguments]
    # Settings of its own, and a package that knows only the copy.
    place = {"JUPYTER_CONFIG_DIR": home / "config", "IPYTHONDIR": home / "ipython"}
    place |= {"PYTHONPATH": folder, "HF_HUB_OFFLINE": "1"}
    environment = os.environ | {name: str(value) for name, value in place.items()}
    environment.pop("OPENAI_BASE_URL", None)
    with open(home / "log", "wb") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(600):  # the first start after an installation compiles all of Jupyter
        assert server.poll() is None, (home / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", int(port))).close()
            break
        except OSError:
            time.sleep(0.5)
    yield address
    children = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    server.wait(timeout=120)
    _, left = psutil.wait_procs(children, timeout=120)
    assert not left, "its kernels and servers outlive it"


@pytest.fixture(scope="session")
def lab(snapshot, tmp_path_factory):
    """Address of JupyterLab in a copy of the course, started by the command of `make lab`."""
    arguments = ["--no-browser", "--port=PORT", "--ServerApp.port_retries=0"]
    arguments += ["--IdentityProvider.token="]
    with served("lab", "jupyter", arguments, snapshot, tmp_path_factory.mktemp("lab")) as address:
        yield address


@pytest.fixture(scope="session")
def studio_page(snapshot, tmp_path_factory):
    """Address of the painting studio's own page, started by the command of `make studio`."""
    arguments = ["--no-browser", "--port=PORT"]
    home = tmp_path_factory.mktemp("studio")
    with served("studio", "python", arguments, snapshot, home) as address:
        yield address


@pytest.fixture(scope="session")
def window():
    """An empty page of the one browser of the tests."""
    import browser  # only these tests need Playwright

    browser.SHOTS.mkdir(parents=True, exist_ok=True)
    with browser.page() as page:
        yield page
