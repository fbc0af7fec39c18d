"""Serve the built site to this machine alone: `make site-serve`.

The headers let a page share memory, and so draw with several threads.
"""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HTML = Path(__file__).resolve().parent / "build" / "html"


class Handler(SimpleHTTPRequestHandler):
    """Files as they are, with the two headers, and the type that modules need everywhere."""

    isolated = True
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
    }

    def end_headers(self) -> None:
        """Add the headers of a page that may share memory."""
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *said) -> None:
        """Say nothing of what is fetched."""


def serve(folder: Path, port: int = 0, isolated: bool = True) -> ThreadingHTTPServer:
    """A server of a folder on 127.0.0.1, not yet running; port 0 takes a free one."""
    kind = type("Own", (Handler,), {"isolated": isolated})
    return ThreadingHTTPServer(("127.0.0.1", port), partial(kind, directory=str(folder)))


if __name__ == "__main__":
    if not HTML.is_dir():
        sys.exit("There is no site yet: run `make site` first.")
    server = serve(HTML, int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
