"""The side of a submission's own code: a warm process that forks a fresh one for each submission.

`python -m classroom.learner FD SETUP ISOLATED` runs inside the sandbox. It imports what the
notebook needs once, then waits for sessions. Each session is two processes: a guard, which is
ours, and its child, in which the learner's cells run. The guard can interrupt and end the child;
when it does, or when the grader goes away, everything that the child started ends too.

The child obeys a few requests (run a cell, call a function, look up names) and answers with plain
data. It holds nothing that is secret: no key, no hidden test, no other submission.
"""

import ast
import contextlib
import ctypes
import io
import json
import os
import pickle
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import torch
from IPython.core.interactiveshell import InteractiveShell

from classroom.plain import encode, receive, send

MEMORY = 3 << 30  # bytes beyond what the warm process has
PROCESSES, FILES, FILE_SIZE = 128, 1024, 200_000_000
TEXT, RICH = 200_000, 4_000_000  # characters of output that are kept of a cell
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x08000000, 0x20000000
MS_PRIVATE_REC = (1 << 18) | (1 << 14)
HOME = "/home/learner"


# -- the warm process --------------------------------------------------------------------------


def main() -> None:
    """Warm up, say so, and start a session for every connection that is handed over."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    setup = Path(sys.argv[2]).read_text(encoding="utf-8") if sys.argv[2] != "-" else ""
    isolated, uid = json.loads(sys.argv[3])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guards are not waited for
    shell = Shell.instance()
    shell.history_manager.enabled = False
    torch.set_num_threads(1)
    shell.run(setup)
    shell.prepared = dict(shell.user_ns)
    send(listening, {"ready": True})
    while True:
        try:
            data, handles, _, _ = socket.recv_fds(listening, 1, 2)
        except OSError:
            return
        if not data or len(handles) != 2:
            return
        if os.fork() == 0:
            listening.close()
            try:
                guard(shell, *(socket.socket(fileno=h) for h in handles), isolated, uid)
            finally:
                os._exit(0)
        for handle in handles:
            os.close(handle)


def guard(shell, control, data, isolated, uid) -> None:
    """Fork the process of the learner, pass interrupts on, report how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    libc = ctypes.CDLL(None, use_errno=True)
    if isolated and libc.unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID):
        send(control, {"ended": "sandbox", "reason": os.strerror(ctypes.get_errno())})
        return
    child = os.fork()
    if child == 0:
        control.close()
        try:
            confine(libc, isolated, uid)
            serve(shell, data)
        except BaseException:  # noqa: B036 - whatever it was, the process is over
            os._exit(70)
        os._exit(0)
    data.close()
    watch = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([control, watch], [], [])
        if watch in ready:
            break
        request = control.recv(1)
        if request == b"i":
            os.kill(child, signal.SIGINT)
        else:  # the request to end, or nobody is there any more
            end(child, isolated)
            break
    _, status, usage = os.wait4(child, 0)
    end(child, isolated)
    cpu = usage.ru_utime + usage.ru_stime
    try:
        send(control, {"ended": os.waitstatus_to_exitcode(status), "cpu": cpu})
    except OSError:
        pass


def end(child: int, isolated: bool) -> None:
    """End the learner's process and, through its namespace or its group, what it started."""
    for kill in (os.kill, *([] if isolated else [os.killpg])):
        try:
            kill(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def confine(libc, isolated: bool, uid: int | None) -> None:
    """Give this process folders of its own, limits, and no rights. Raises OSError if it cannot."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if isolated:
        mount(libc, b"none", b"/", None, MS_PRIVATE_REC, None)
        for folder, size in (("/tmp", "512m"), (HOME, "256m"), ("/dev/shm", "256m")):
            mount(libc, b"tmpfs", folder.encode(), b"tmpfs", 6, f"size={size},mode=1777".encode())
        libc.mount(b"proc", b"/proc", b"proc", 14, None)  # where it cannot be, the old one stays
    else:
        os.setsid()
        os.environ["HOME"] = os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="submission-")
        tempfile.tempdir = os.environ["TMPDIR"]
    home = Path(os.environ["HOME"])
    (home / "work").mkdir(parents=True)
    if uid is not None:
        os.chown(home / "work", uid, uid)
    os.chdir(home / "work")
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 0
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_FSIZE: FILE_SIZE,
    }
    if pages:
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + MEMORY
    if isolated:
        limits[resource.RLIMIT_NPROC] = PROCESSES
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    for limit, value in limits.items():
        _, most = resource.getrlimit(limit)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))
    if isolated:
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        libc.capset(header, none)
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        if os.path.exists("/proc/self/status"):
            held = [line for line in open("/proc/self/status") if line.startswith("CapEff")]
            if held and int(held[0].split()[1], 16):
                raise OSError("the process keeps rights")


def mount(libc, source, target, kind, flags, data) -> None:
    if libc.mount(source, target, kind, flags, data):
        raise OSError(ctypes.get_errno(), f"cannot mount {target.decode()}")


# -- the process of one submission -------------------------------------------------------------


def serve(shell: "Shell", connection: socket.socket) -> None:
    """Answer the grader's requests until it goes away."""
    me = os.getpid()
    files = [os.open(os.devnull, os.O_RDWR)] * 3
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(os.devnull)
    while True:
        try:
            request, buffers = receive(connection)
        except KeyboardInterrupt:
            continue  # too late: the cell had ended
        reply, data = {}, []
        try:
            match request["do"]:
                case "run":
                    reply = {"outputs": shell.run(request["source"])}
                case "bind":
                    reply = {"names": {n: found(shell, n, data) for n in request["names"]}}
                case "call":
                    reply, data = called(shell, connection, request, buffers)
                case "test":
                    reply = tested(shell, request)
        except KeyboardInterrupt:
            reply, data = {"interrupted": True}, []
        if os.getpid() != me:  # a fork of the learner's that came back here
            os._exit(0)
        try:
            send(connection, reply, data)
        except KeyboardInterrupt:
            os._exit(71)


def found(shell, name, buffers):
    """What a name of the learner's is: a function, plain data, or nothing."""
    if name not in shell.user_ns:
        return {"kind": "missing"}
    value = shell.user_ns[name]
    if callable(value):
        return {"kind": "type" if isinstance(value, type) else "function"}
    return {"kind": "value", "value": encode(value, buffers)}


def called(shell, connection, request, buffers):
    """Call a function of the learner's with what the grader sent, and say what came of it."""
    with shell.recording() as outputs:
        arguments = Arguments(io.BytesIO(buffers[0]), connection, shell).load()
        words, named = arguments
        torch.set_rng_state(torch.frombuffer(bytearray(buffers[1]), dtype=torch.uint8))
        before = [digest(value) for value in (*words, *named.values())]
        data, reply = [], {}
        try:
            value = shell.user_ns[request["name"]](*words, **named)
            reply["returned"] = encode(value, data)
        except BaseException as error:  # noqa: B036 - SystemExit too is an answer
            data.clear()
            reply["raised"] = described(error)
        reply["changed"] = {
            str(place): encode(value, data)
            for place, value in enumerate((*words, *named.values()))
            if before[place] is not None and digest(value) != before[place]
        }
        data.append(bytes(torch.get_rng_state().numpy()))
    return reply | {"outputs": outputs}, data


def digest(value):
    """Something that is different once a tensor, array, list or dictionary has been changed."""
    if isinstance(value, torch.Tensor):
        return value._version
    if isinstance(value, np.ndarray):
        return hash(value.tobytes())
    if isinstance(value, (list, dict, set)):
        return repr(value)
    return None


def described(error):
    names = [kind.__name__ for kind in type(error).__mro__]
    return {
        "types": names,
        "text": str(error)[:2000],
        "known": getattr(error, "_from_grader", None),
    }


class Arguments(pickle.Unpickler):
    """Arguments as the grader sent them; its functions and streams become `Remote` ones."""

    def __init__(self, file, connection, shell):
        super().__init__(file)
        self.connection, self.shell = connection, shell

    def persistent_load(self, handle):
        kind, what = handle
        if kind == "yours":
            return self.shell.user_ns[what]
        return Remote(self.connection, self.shell, what, kind)


class Remote:
    """A function or a stream of the grader's test: calling it asks the grader."""

    def __init__(self, connection, shell, number, kind):
        self._ask = (connection, shell, number)
        if kind == "stream":
            self.__class__ = RemoteStream

    def __call__(self, *words, **named):
        return self._request("call", words, named)

    def _request(self, do, words=(), named=None):
        connection, shell, number = self._ask
        data = []
        send(connection, {"callback": number, "do": do, "words": encode(list(words), data),
                          "named": encode(named or {}, data)}, data)  # fmt: skip
        reply, buffers = receive(connection)
        if "stop" in reply:
            raise StopIteration
        value = Arguments(io.BytesIO(buffers[0]), connection, shell).load()
        if "raised" in reply:
            value._from_grader = reply["raised"]
            raise value
        return value


class RemoteStream(Remote):
    def __iter__(self):
        return self

    def __next__(self):
        return self._request("next")


def tested(shell, request):
    """Run a test cell here, for tasks that cannot be judged from outside: its last value.

    It sees fresh helpers and only the answer's own names of the learner's. A check that must fail
    is run with it: who has patched the counting of points is found out.
    """
    names, failed, value = dict(shell.prepared), "", None
    with shell.recording() as outputs:
        try:
            for source in request["before"]:
                evaluate(source, names, shell)
            names |= {n: shell.user_ns[n] for n in request["names"] if n in shell.user_ns}
            with contextlib.redirect_stdout(io.StringIO()):
                canary = evaluate(CANARY, dict(names), shell)
            value = evaluate(request["source"], names, shell)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            failed = f"{type(error).__name__}: {error}"
    points = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
    if not failed and canary != 0:
        points, failed = 0, "a check that must fail was counted as passed"
    return {"points": points, "failed": failed, "outputs": outputs}


CANARY = """from imagegen.quiz import tally
def this_must_fail():
    assert 1 == 2
tally(this_must_fail)"""


def evaluate(source, names, shell):
    """Execute a cell in a namespace and return the value of its last line."""
    tree = ast.parse(shell.transform_cell(source))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "test", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "test", "eval"), names)


# -- a kernel without the protocol -------------------------------------------------------------


class Shell(InteractiveShell):
    """IPython, with its outputs collected as a notebook stores them."""

    def __init__(self, **settings):
        self.outputs = []
        super().__init__(**settings)
        self.display_pub.publish = self._publish
        self.displayhook.__class__ = type("Hook", (type(self.displayhook),), HOOK)
        self.displayhook.shell_outputs = self
        self.prepared = {}
        from matplotlib_inline.backend_inline import flush_figures

        self.run_line_magic("matplotlib", "inline")
        self.flush_figures = flush_figures

    def enable_gui(self, gui=None):
        """Windows are not shown here; the inline pictures are."""

    def system(self, command):
        """Run a shell line (`!echo hello`) and print what it prints."""
        run = subprocess.run(command, shell=True, capture_output=True, text=True, errors="replace")
        print(run.stdout + run.stderr, end="")
        self.user_ns["_exit_code"] = run.returncode

    def ask_exit(self):
        """exit() in a cell ends nothing."""

    def run(self, source: str) -> list[dict]:
        """Run a cell; return its outputs as a notebook stores them, cut to a sensible length."""
        with self.recording() as outputs:
            self.run_cell(source, store_history=True)
        return outputs

    def recording(self):
        return Recording(self)

    def add(self, output: dict) -> None:
        """Keep an output, as long as there is room for it."""
        if output["output_type"] == "stream":
            size = len(output["text"])
            room = self.outputs.room
            output["text"] = output["text"][: max(room, 0)]
            self.outputs.room -= size
            last = self.outputs[-1] if self.outputs else {}
            if room <= 0:
                self.outputs.cut = True
            elif last.get("output_type") == "stream" and last["name"] == output["name"]:
                last["parts"].append(output["text"])
            else:
                self.outputs.append(output | {"parts": [output["text"]]})
            return
        size = sum(len(str(value)) for value in output.get("data", {}).values())
        self.outputs.rich -= size
        if self.outputs.rich < 0:
            self.outputs.cut = True
        else:
            self.outputs.append(output)

    def _publish(self, data, metadata=None, **_):
        self.add({"output_type": "display_data", "data": jsonable(data), "metadata": {}})

    def _showtraceback(self, etype, evalue, stb):
        self.add({"output_type": "error", "ename": etype.__name__, "evalue": str(evalue)[:5000],
                  "traceback": [str(line)[:5000] for line in stb][:100]})  # fmt: skip


def write_format_data(self, format_dict, md_dict=None):
    self.shell_outputs.add(
        {
            "output_type": "execute_result",
            "data": jsonable(format_dict),
            "metadata": {},
            "execution_count": self.prompt_count,
        }  # fmt: skip
    )


HOOK = {
    "write_output_prompt": lambda self: None,
    "write_format_data": write_format_data,
    "finish_displayhook": lambda self: None,
}


def jsonable(data):
    """Displayed data as JSON: pictures become base64."""
    out = {}
    for kind, value in data.items():
        if isinstance(value, (bytes, bytearray)):
            value = b64encode(value).decode()
        elif not isinstance(value, str):
            try:
                value = json.loads(json.dumps(value))
            except (TypeError, ValueError):
                continue
        out[str(kind)] = value
    return out


class Outputs(list):
    def __init__(self):
        super().__init__()
        self.room, self.rich, self.cut = TEXT, RICH, False


class Stream(io.TextIOBase):
    """What a cell writes to stdout or stderr."""

    encoding = "utf-8"

    def __init__(self, shell, name):
        self.shell, self.name = shell, name

    def write(self, text):
        text = str(text)
        self.shell.add({"output_type": "stream", "name": self.name, "text": text})
        return len(text)

    def writable(self):
        return True


class Recording:
    """While it is open, everything that is shown or printed goes into one list."""

    def __init__(self, shell):
        self.shell = shell

    def __enter__(self):
        self.before = self.shell.outputs, sys.stdout, sys.stderr
        self.shell.outputs = Outputs()
        sys.stdout, sys.stderr = Stream(self.shell, "stdout"), Stream(self.shell, "stderr")
        return self.shell.outputs

    def __exit__(self, *_):
        try:
            self.shell.flush_figures()
        except Exception:  # a figure that cannot be drawn is no figure
            pass
        outputs = self.shell.outputs
        self.shell.outputs, sys.stdout, sys.stderr = self.before
        for output in outputs:
            if "parts" in output:
                output["text"] = "".join(output.pop("parts"))
        if outputs.cut:
            text = "\n[The rest of this output was cut.]\n"
            outputs.append({"output_type": "stream", "name": "stdout", "text": text})


if __name__ == "__main__":
    main()
