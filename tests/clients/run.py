"""Try the local server with clients that others wrote, and print what works: make clients.

The clients are installed in .venv/clients and node's in .venv/clients/node, by the exact versions
in requirements.txt and package.json. The exit status is 1 if a row fails.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from imagegen.api import start

HERE = Path(__file__).parent
PLACE = HERE.parents[1] / ".venv" / "clients"
EXAMPLES = {
    "curl": "curl.sh",
    "openai for node": "openai_node.mjs",
    "Open WebUI": "open_webui.py",
    "Vercel AI SDK": "ai_sdk.mjs",
    "LiteLLM": "litellm_client.py",
    "LangChain": "langchain_client.py",
    "LlamaIndex": "llama_index_client.py",
    "instructor": "instructor_client.py",
    "Pydantic AI": "pydantic_ai_client.py",
}


def install(place: Path) -> Path:
    """Install the clients, once for each state of the two lists; the environment's Python."""
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    lists = [HERE / "requirements.txt", HERE / "package.json"]
    wanted = "".join(path.read_text(encoding="utf-8") for path in lists)
    done = place / "installed"
    if done.is_file() and done.read_text(encoding="utf-8") == wanted:
        return python
    venv.create(place, with_pip=True)
    pip = [python, "-m", "pip", "install", "-q", "-r", lists[0]]
    subprocess.run(pip, check=True)
    node = place / "node"
    node.mkdir(exist_ok=True)
    shutil.copy(lists[1], node)
    npm = [shutil.which("npm"), "install", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(npm, cwd=node, check=True)
    done.write_text(wanted, encoding="utf-8")
    return python


def command(name: str, python: Path, node: Path) -> list[str]:
    """How an example is run. Node finds packages beside its file alone, so it is copied there."""
    path = HERE / name
    if path.suffix == ".mjs":
        return [shutil.which("node"), str(shutil.copy(path, node))]
    return [str(python) if path.suffix == ".py" else shutil.which("bash"), str(path)]


def main(place: Path = PLACE) -> int:
    """Run the examples against a server of their own; print the table."""
    python, failed = install(place), False
    print("| client | tried | result |\n|---|---|---|")
    with start(today="2026-11-24") as server:
        environment = os.environ | {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "not-needed"}
        for client, name in EXAMPLES.items():
            words = command(name, python, place / "node")
            done = subprocess.run(
                words, env=environment, capture_output=True, text=True, timeout=900
            )
            rows = [line for line in done.stdout.splitlines() if " | " in line]
            for row in rows or [f"- | FAILS: {done.stderr.strip()[-300:]}"]:
                print(f"| {client} | {row} |", flush=True)
            failed |= not rows or any("FAILS" in row for row in rows)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else PLACE))
