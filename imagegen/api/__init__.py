"""A local server that speaks the wire format of OpenAI's API, over the course's own models.

    server = start()
    client = OpenAI(base_url=server.url, api_key="not-needed")

It is a program of its own, python -m imagegen.api, on this machine alone. Built on in chapters 11
and 12. Importing this starts nothing and needs no torch.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import deque


def start(
    port: int = 0, emulate_retired: bool = False, queue: int = 16, today: str | None = None
) -> "Server":
    """Start the server as a child process, wait until it answers, and return it.

    port: 0 takes any that is free. emulate_retired: let the retired models (dall-e-2, dall-e-3)
    answer. queue: requests for pictures that may wait or be drawn; more are answered 429. today:
    the day "2026-12-01" by which models are shut down, today unless given. RuntimeError if it does
    not start. The first picture waits until the model is loaded, some seconds.
    """
    return Server(port, emulate_retired, queue, today)


def go_direct() -> None:
    """Let every client in this Python ask servers on this machine directly, past any proxy."""
    proxies = urllib.request.getproxies_environment()
    if proxies.keys() - {"no"}:
        hosts = ",".join(filter(None, [proxies.get("no"), "127.0.0.1", "localhost"]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = hosts


class Server:
    """A running server: url for the client, fail() for faults, stop() at the end.

    Also a context manager, which stops it. It stops by itself when this Python ends.
    """

    def __init__(self, port: int, emulate_retired: bool, queue: int, today: str | None):
        go_direct()
        # -P: a learner's own random.py beside the notebook is not Python's.
        command = [sys.executable, "-P", "-m", "imagegen.api", "--with-parent"]
        command += ["--port", str(port), "--queue", str(queue)]
        command += ["--emulate-retired"] if emulate_retired else []
        command += ["--today", today] if today else []
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(command, text=True, encoding="utf-8", **pipes)
        self.lines = deque(maxlen=50)  # the last that it printed
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith("http://"):
                break
        else:
            self.process.wait()
            raise RuntimeError(f"The server did not start: {''.join(self.lines).strip()}")
        self.url = line.strip()
        # A thread must read on, or the server would wait once the pipe is full.
        threading.Thread(target=self.lines.extend, args=[self.process.stdout], daemon=True).start()
        atexit.register(self.stop)

    def stop(self) -> None:
        """End the server, whatever it draws; again does nothing."""
        atexit.unregister(self.stop)
        self.process.kill()
        self.process.wait()

    def fail(self, kind: str, times: int = 1) -> None:
        """Let the next `times` requests for pictures meet a fault.

        kind: "rate_limit" (429), "moderation" (400), "server_error" (500), or "timeout", an answer
        that does not come. The client asks again by itself after some of them, unless it is made
        with max_retries=0. ValueError for another kind.
        """
        address = self.url.removesuffix("/v1") + "/control/fail"
        body = json.dumps({"kind": kind, "times": times}).encode()
        call = urllib.request.Request(address, body, {"content-type": "application/json"})
        try:
            urllib.request.urlopen(call, timeout=10).close()
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]["message"]) from None

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error) -> None:
        self.stop()
