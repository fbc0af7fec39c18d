"""Start the server: python -m imagegen.api, on this machine alone (127.0.0.1)."""

import argparse
import contextlib
import os
import socket
import sys
import threading
from datetime import date

import uvicorn

from imagegen.api.app import create_app

HOST = "127.0.0.1"
PATIENCE = 8  # seconds that a server which is told to end waits for the answers it has begun


def main(arguments: list[str] | None = None) -> None:
    """Bind, print the address in one line, and answer until interrupted or ended."""
    parser = argparse.ArgumentParser("python -m imagegen.api", description=__doc__)
    parser.add_argument("--port", type=int, default=8765, help="0 takes any that is free")
    parser.add_argument("--queue", type=int, default=16, help="requests that may wait or be drawn")
    parser.add_argument(
        "--emulate-retired", action="store_true", help="let dall-e-2, dall-e-3 and others answer"
    )
    parser.add_argument("--today", type=date.fromisoformat, help="the day, to see shutdowns come")
    parser.add_argument(
        "--with-parent", action="store_true", help="end when standard input does, as start() needs"
    )
    given = parser.parse_args(arguments)
    if given.queue < 1:
        parser.error("--queue must be 1 or more, or nothing could be drawn")
    bound = socket.socket()
    if os.name == "posix":  # a port that was used a moment ago; on Windows it would mean sharing
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, given.port))
    except (OSError, OverflowError) as error:
        sys.exit(f"Port {given.port} cannot be used ({error}): give another with --port.")
    if given.with_parent:
        threading.Thread(target=end_with_parent, daemon=True).start()
    app = create_app(given.emulate_retired, given.queue, given.today)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=PATIENCE)
    server = uvicorn.Server(config)
    bound.listen(128)  # from here on a client may come; it is answered as soon as the loop runs
    with contextlib.suppress(KeyboardInterrupt):
        print(f"http://{HOST}:{bound.getsockname()[1]}/v1", flush=True)
        server.run(sockets=[bound])


def end_with_parent() -> None:
    """Wait until whoever started this program is gone, however it ended."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
