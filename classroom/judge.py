"""The tests of a task, run by the grader: the learner's functions are called, never trusted.

A test cell runs here, in our process. Where it calls a function of the learner's, the arguments go
to the process in the sandbox, and plain data comes back. So a test cannot be replaced, patched or
read by the code that it tests. A function that a test hands to the learner's is called back here.

Tasks whose tests need more than plain data (gradients, classes) are found out beforehand by
`probe`; their test cells run in the learner's process, with fresh helpers and a canary.
"""

import ast
import contextlib
import io
import pickle
import re
import select
import time
import types
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from IPython.core.inputtransformer2 import TransformerManager

from classroom import plain
from classroom.normalise import defines
from classroom.plain import Broken
from classroom.releases import Task

GRACE = 5  # seconds that an interrupted cell may take to stop
FRAME = 60  # seconds that one message may take
TRANSFORM = TransformerManager().transform_cell


class TimeOver(BaseException):
    """The time of a cell is over; no test may catch it."""


class Ended(BaseException):
    """The learner's process has ended; no test may catch it."""


class CannotSend(Exception):
    """An argument of a test cannot be sent to another process."""


@dataclass
class Verdict:
    """What a test cell gave. checks: [(title, passed, message)], as tally() printed them."""

    points: float
    checks: list[tuple[str, bool, str]]
    outputs: list[dict]
    reason: str = ""


class Session:
    """The learner's process of one submission. cell_time, total: seconds."""

    def __init__(self, warm, cell_time: float = 120, total: float = 900):
        self.control, self.data = warm.session()
        self.cell_time, self.until = cell_time, time.monotonic() + total
        self.deadline = self.until
        self.ended, self.cpu = "", 0.0

    def start_cell(self) -> None:
        """From now on the time of one cell runs."""
        self.deadline = min(time.monotonic() + self.cell_time, self.until)

    def request(self, message: dict, buffers: list[bytes] | None = None, answer=None):
        """Send a request and return the reply; `answer` serves the requests that come between.

        Raises TimeOver when the cell's time is over, and Ended when the process is.
        """
        if self.ended:
            raise Ended(self.ended)
        try:
            self._send(message, buffers)
            while True:
                reply, data = self._reply()
                if "callback" not in reply:
                    break
                self._send(*answer(reply, data))
        except (Broken, OSError):
            self.close(f"ended by itself ({self._how_it_ended()})")
            raise Ended(self.ended) from None
        if reply.get("interrupted"):
            raise TimeOver
        return reply, data

    def _send(self, message, buffers=None):
        self.data.settimeout(FRAME)
        plain.send(self.data, message, buffers)

    def _reply(self):
        left = self.deadline - time.monotonic()
        if left > 0 and select.select([self.data], [], [], left)[0]:
            return plain.receive(self.data, FRAME)
        self.control.send(b"i")
        end = time.monotonic() + GRACE
        while (left := end - time.monotonic()) > 0 and select.select([self.data], [], [], left)[0]:
            reply, _ = plain.receive(self.data, FRAME)
            if "callback" not in reply:
                raise TimeOver
            self.control.send(b"i")
        self.close("did not stop when its time was over, and was ended")
        raise Ended(self.ended)

    def _how_it_ended(self):
        try:
            self.control.settimeout(GRACE)
            how, _ = plain.receive(self.control)
            self.cpu = how.get("cpu", 0.0)
            if how["ended"] == "sandbox":
                return f"the sandbox failed: {how['reason']}"
            code = how["ended"]
            return f"exit status {code}" if code >= 0 else f"signal {-code}"
        except (Broken, OSError):
            return "it vanished"

    def close(self, why: str = "closed") -> None:
        """End the process and all that it started."""
        if not self.ended:
            self.ended = why
            with contextlib.suppress(OSError, Broken):
                self.control.send(b"e")
                self.control.settimeout(GRACE)
                how, _ = plain.receive(self.control)
                self.cpu = how.get("cpu", 0.0)
        self.control.close()
        self.data.close()

    def run(self, source: str) -> list[dict]:
        """Run a cell; return its outputs."""
        reply, _ = self.request({"do": "run", "source": source})
        return tidy(reply.get("outputs"))


class Judge:
    """Runs the test cells of one notebook. prepared: the names after its first cell."""

    def __init__(self, session: Session, prepared: dict, tasks: list[Task], outside: dict):
        self.session, self.outside = session, outside
        self.names, self.base = dict(prepared), dict(prepared)
        self.before = []  # what ran in this notebook so far, of ours
        self.wanted = {
            n for t in tasks if t.solution for n in (*defines(t.source), *defines(t.trusted))
        }
        self.used = {t.name: _names(t.trusted) for t in tasks if t.kind == "code"}
        self.remote = Calls(session)

    def locked(self, task: Task) -> None:
        """Run a cell of ours that is no test, here and in the learner's process."""
        self.before.append(task.source)
        self.session.start_cell()
        self._bind(task)
        _run(task.trusted, self.names)
        self.session.run(task.source)

    def test(self, task: Task) -> Verdict:
        """Run a test cell. Raises Ended if the learner's process ended in it."""
        self.session.start_cell()
        outside = self.outside.get(task.name, True)
        try:
            inside = outside is False
            verdict = self._from_inside(task) if inside else self._from_outside(task)
        except CannotSend as error:
            if outside is None:  # it is being found out
                verdict = _verdict(task, 0, "", [], str(error))
            else:
                verdict = self._from_inside(task)
        self.before.append(without_tally(task.source))
        return verdict

    def _from_outside(self, task):
        self.remote.outputs = []
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                self._bind(task)
                value, reason = _run(task.trusted, self.names), ""
            except TimeOver:
                value, reason = 0, f"took more than {self.session.cell_time:g} seconds"
            except (Ended, CannotSend):
                raise
            except Exception as error:
                value, reason = 0, f"{type(error).__name__}: {error}"
        return _verdict(task, value, out.getvalue(), self.remote.outputs, reason)

    def _from_inside(self, task):
        request = {"do": "test", "base": True, "before": self.before, "source": task.trusted}
        request["names"] = sorted(self.wanted & self.used[task.name])
        try:
            reply, _ = self.session.request(request)
        except TimeOver:
            return _verdict(task, 0, "", [], f"took more than {self.session.cell_time:g} seconds")
        outputs = tidy(reply.get("outputs"))
        text = "".join(o["text"] for o in outputs if o.get("name") == "stdout")
        points = reply.get("points")
        points = points if isinstance(points, (int, float)) and 0 <= points <= task.points else 0
        verdict = _verdict(task, points, text, [], str(reply.get("failed") or "")[:500])
        if verdict.checks and sum(passed for _, passed, _ in verdict.checks) < points:
            verdict.points, verdict.reason = 0, "the test's result and its report differ"
        verdict.outputs = outputs
        return verdict

    def _bind(self, task):
        """Give a test the learner's functions and values under the names that it uses."""
        names = sorted(self.wanted & self.used[task.name])
        if not names:
            return
        reply, buffers = self.session.request({"do": "bind", "names": names})
        for name in names:
            found = reply["names"].get(name, {"kind": "missing"})
            if found["kind"] == "function":
                self.names[name] = self.remote.function(name)
            elif found["kind"] == "value":
                self.names[name] = plain.decode(found["value"], buffers)
            elif found["kind"] == "type":
                self.names[name] = type(name, (plain.Other,), {})
            else:
                self.names.pop(name, None)


class Calls:
    """Calls from a test to functions of the learner's, and back."""

    def __init__(self, session: Session):
        self.session, self.handles, self.errors = session, [], []
        self.outputs = []

    def function(self, name: str):
        """A function that calls the learner's function of this name."""

        def call(*words, **named):
            return self.call(name, words, named)

        call.__name__ = call.__qualname__ = name
        call._learners = name
        return call

    def call(self, name, words, named):
        state = torch.get_rng_state()
        buffers = [self._pickled((words, named)), bytes(state.numpy())]
        reply, data = self.session.request({"do": "call", "name": name}, buffers, self._answer)
        self.outputs += tidy(reply.get("outputs"))
        if data and len(data[-1]) == len(state):
            torch.set_rng_state(torch.frombuffer(bytearray(data[-1]), dtype=torch.uint8))
        everything = (*words, *named.values())
        for place, value in (reply.get("changed") or {}).items():
            _change(everything[int(place)], plain.decode(value, data))
        if "raised" in reply:
            raise self._error(reply["raised"])
        return plain.decode(reply["returned"], data)

    def _answer(self, request, buffers):
        """Serve a request of the learner's process: to call a function of the test's."""
        number = request["callback"]
        if type(number) is not int or not 0 <= number < len(self.handles):
            raise Broken("there is no such function")
        target = self.handles[number]
        words = plain.decode(request.get("words"), buffers)
        named = plain.decode(request.get("named"), buffers)
        try:
            if request.get("do") == "next":
                value = next(target)
            else:
                value = target(*words, **named)
        except StopIteration:
            return {"stop": True}, []
        except Exception as error:
            self.errors.append(error)
            return {"raised": len(self.errors)}, [self._pickled(error)]
        return {"value": True}, [self._pickled(value)]

    def _pickled(self, value):
        """A value of ours for the learner's process, which is the only one to unpickle it."""
        file = io.BytesIO()
        pickler = pickle.Pickler(file, protocol=5)
        pickler.persistent_id = self._handle
        try:
            pickler.dump(value)
        except Exception as error:
            raise CannotSend(f"{type(value).__name__}: {error}") from None
        return file.getvalue()

    def _handle(self, value):
        if hasattr(value, "_learners"):
            return "yours", value._learners
        is_function = isinstance(value, (types.FunctionType, types.MethodType))
        if is_function and not _importable(value):
            kind = "function"
        elif isinstance(value, types.GeneratorType):
            kind = "stream"
        else:
            return None
        self.handles.append(value)
        return kind, len(self.handles) - 1

    def _error(self, raised):
        """The exception that a learner's function raised, as far as we know its kind."""
        known = raised.get("known")
        if type(known) is int and 0 < known <= len(self.errors):
            return self.errors[known - 1]
        names, text = raised["types"], str(raised["text"])
        for name in names:
            kind = getattr(__import__("builtins"), str(name), None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                made = kind if name == names[0] else type(str(names[0])[:80], (kind,), {})
                try:
                    return made(text)
                except Exception:
                    break
        return RuntimeError(f"{names[0]}: {text}")


def tidy(outputs: object) -> list[dict]:
    """The outputs of a cell as a notebook may hold them; what is odd in them is left out."""
    tidied = []
    for output in outputs if isinstance(outputs, list) else []:
        if not isinstance(output, dict):
            continue
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            text = str(output.get("text", ""))
            tidied.append({"output_type": kind, "name": name, "text": text})
        elif kind in ("display_data", "execute_result"):
            data = output.get("data")
            data = {str(k): v for k, v in data.items()} if isinstance(data, dict) else {}
            made = {"output_type": kind, "data": data, "metadata": {}}
            tidied.append(made | ({"execution_count": None} if kind == "execute_result" else {}))
        elif kind == "error":
            lines = output.get("traceback")
            lines = [str(line) for line in lines] if isinstance(lines, list) else []
            names = {n: str(output.get(n, "")) for n in ("ename", "evalue")}
            tidied.append({"output_type": kind, **names, "traceback": lines})
    return tidied


def checks_of(text: str) -> list[tuple[str, bool, str]]:
    """The lines of tally() as (title, passed, message)."""
    text = re.sub(r"\n {5}(?=\S)", " ", text)
    found = []
    for line in text.splitlines():
        if match := re.fullmatch(r"(yes|no ) {1,2}([^:]+?)(?:: (.*))?", line):
            found.append((match[2].strip(), match[1] == "yes", match[3] or ""))
    return found


@cache
def without_tally(source: str) -> str:
    """A test cell without its last line, which runs the checks: its definitions are left."""
    tree = ast.parse(TRANSFORM(source))
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        tree.body.pop()
    return ast.unparse(tree)


def prepare(tasks: list[Task]) -> tuple[str, dict]:
    """The first code cell of a notebook, if it is ours, and the names after it was run here."""
    for task in tasks:
        if task.kind == "code":
            if task.solution or task.is_test:
                break
            names = {"__name__": "__main__"}
            _run(task.trusted, names)
            return task.source, names
    return "", {"__name__": "__main__"}


def _verdict(task, value, text, outputs, reason):
    checks = checks_of(text)
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    points = float(value) if number else 0.0
    if not 0 <= points <= task.points:
        points, reason = 0.0, reason or f"the test gave {points:g} points"
    shown = text or (f"{reason}\n" if reason else "")
    stream = {"output_type": "stream", "name": "stdout", "text": shown}
    return Verdict(points, checks, [*outputs, *([stream] if shown else [])], reason)


def _run(source, names):
    """Execute a cell of ours and return the value of its last line."""
    body, last = _compiled(source)
    exec(body, names)
    return last and eval(last, names)


@cache
def _compiled(source):
    tree = ast.parse(TRANSFORM(source))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    body = compile(tree, "test", "exec")
    return body, last and compile(ast.Expression(last.value), "test", "eval")


@cache
def _names(source):
    """All names that a cell reads."""
    tree = ast.parse(TRANSFORM(source))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _importable(function):
    """Whether the learner's process can import a function by its name."""
    module = getattr(function, "__module__", None)
    return module not in (None, "__main__") and "<locals>" not in function.__qualname__


def _change(old, new):
    """Write into an argument what the learner's function wrote into it."""
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor) and old.shape == new.shape:
        with torch.no_grad():
            old.copy_(new)
    elif isinstance(old, np.ndarray) and isinstance(new, np.ndarray) and old.shape == new.shape:
        old[...] = new
    elif isinstance(old, list) and isinstance(new, list):
        old[:] = new
    elif isinstance(old, (dict, set)) and type(old) is type(new):
        old.clear()
        old.update(new)
