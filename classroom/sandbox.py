"""Where the code of a submission runs: a process that can reach nothing of the course or the class.

With bubblewrap it sees the programs of the system, this Python, and the package, all read-only; a
home and a /tmp of its own, which vanish; no network but its own loopback; no other process. Without
bubblewrap there is only a time limit, so a class is graded that way only with --trust.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import imagegen
from classroom import learner
from classroom.plain import Broken, receive

INSIDE = Path("/opt/inside")
# With root's rights, the learners of each warm process get an account that owns nothing.
ACCOUNTS = range(61_000, 65_000)
START = 180  # seconds to import torch, the package and what the notebook imports


@cache
def why_not() -> str:
    """Why there is no sandbox here; empty if there is one."""
    if not sys.platform.startswith("linux"):
        return "bubblewrap needs Linux"
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (apt-get install bubblewrap)"
    run = subprocess.run([*_walls(), "true"], capture_output=True, text=True)
    if run.returncode:
        return f"bubblewrap cannot start here: {run.stderr.strip()}"
    return ""


class Warm:
    """A warm process, in the sandbox or not, that forks a fresh one for each submission.

    setup: the source of the cell that it runs first, before anything of a learner's.
    Raises Broken, with what the process said, if it does not start.
    """

    def __init__(self, setup: str = "", isolated: bool = True):
        uid, self.claim = _account() if isolated and os.getuid() == 0 else (None, None)
        self.listening, theirs = socket.socketpair()
        self.file = tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8")
        self.file.write(setup)
        self.file.flush()
        os.chmod(self.file.name, 0o644)
        self.log = tempfile.TemporaryFile()
        program = [sys.executable, "-m", "classroom.learner", str(theirs.fileno())]
        if isolated:
            words = [*_walls(), *_inside(self.file.name), *program, str(INSIDE / "setup.py")]
            env = None
        else:
            words = [*program, self.file.name]
            env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        self.process = subprocess.Popen(
            [*words, json.dumps([isolated, uid])],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=env,
            cwd="/",
        )
        theirs.close()
        self.listening.settimeout(START)
        try:
            receive(self.listening)
        except (Broken, TimeoutError):
            self.close()
            self.log.seek(0)
            said = self.log.read().decode(errors="replace").strip()[-2000:]
            raise Broken(f"the process for submissions did not start: {said}") from None

    def session(self) -> tuple[socket.socket, socket.socket]:
        """Fork a process for one submission; return the connections to its guard and to itself."""
        (control, theirs), (data, also_theirs) = socket.socketpair(), socket.socketpair()
        handles = [theirs.fileno(), also_theirs.fileno()]
        try:
            socket.send_fds(self.listening, [b"s"], handles)
        except OSError as error:
            raise Broken(f"the process for submissions is gone ({error})") from None
        finally:
            theirs.close()
            also_theirs.close()
        return control, data

    def close(self) -> None:
        """End the process, and with it every session."""
        self.listening.close()
        self.process.kill()
        self.process.wait()
        self.file.close()
        if self.claim:
            self.claim.close()


def _account() -> tuple[int, socket.socket]:
    """An account that no other warm process of this machine has, and the socket that claims it.

    The kernel limits the processes of an account: two gradings at once must not share one. The
    claim ends with the process that made it.
    """
    for uid in ACCOUNTS:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0image-generation-learner-{uid}")
            return uid, claim
        except OSError:
            claim.close()
    raise Broken(f"all {len(ACCOUNTS)} accounts for learners are in use")


def _walls() -> list[str]:
    """bubblewrap's arguments: what is shared, and what is not."""
    words = ["bwrap", "--die-with-parent", "--new-session", "--cap-add", "ALL"]
    words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    if os.getuid():
        words += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    words += ["--ro-bind", "/usr", "/usr"]
    for folder in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(folder):
            words += ["--symlink", os.readlink(folder), folder]
        else:
            words += ["--ro-bind-try", folder, folder]
    for place in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"):
        words += ["--ro-bind-try", place, place]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", learner.HOME]
    return [*words, "--chdir", learner.HOME]


def _inside(setup: str) -> list[str]:
    """bubblewrap's further arguments: this Python, the package, its models, our two modules."""
    package = Path(imagegen.__file__).parent
    places = dict.fromkeys([Path(sys.prefix), Path(sys.base_prefix), package])
    for place in (package / "assets", package.parent / "assets"):
        if place.is_dir():
            places[place] = None
    words = []
    for folder in dict.fromkeys(
        parent
        for place in [*places, INSIDE / "classroom" / "x"]
        for parent in [*place.parents][::-1]
    ):  # otherwise nobody but root may pass through them
        words += ["--perms", "0755", "--dir", str(folder)] if folder != Path("/") else []
    for place in places:
        if not place.is_relative_to("/usr"):
            words += ["--ro-bind", str(place.resolve()), str(place)]
    ours = Path(__file__).parent
    for name in ("__init__.py", "plain.py", "learner.py"):
        words += ["--ro-bind", str(ours / name), str(INSIDE / "classroom" / name)]
    words += ["--ro-bind", setup, str(INSIDE / "setup.py"), "--clearenv"]
    settings = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "PYTHONPATH": os.pathsep.join([str(INSIDE), str(package.parent)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": learner.HOME,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    for name, value in settings.items():
        words += ["--setenv", name, value]
    return words
