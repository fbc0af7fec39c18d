"""load_pipeline() against a hub on localhost, against no hub at all, and with the network cut.

The Hugging Face libraries read their environment when imported, so each hub gets a process of its
own. It runs a copy of the package that carries a small model, as an installed package does.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from tiny_sd import build

COMMIT = "0123456789abcdef0123456789abcdef01234567"

CHILD = """
import hashlib, sys, torch
from imagegen.models import SMALL, load_pipeline, settings
for name in sys.argv[1:]:
    print("##", name)
    pipe = load_pipeline(name, device="cpu")
    seed = torch.Generator().manual_seed(1)
    picture = pipe("a red cat", generator=seed, num_inference_steps=2).images[0]
    origin = str(pipe.name_or_path)
    print("loaded", SMALL if origin.endswith(SMALL) else origin, settings(pipe))
    print("drawn", hashlib.sha256(picture.tobytes()).hexdigest())
"""

# Python tells of each connection before it is made; this hook refuses them all.
CUT = """
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError("the network is cut")
sys.addaudithook(refuse)
"""


class HubHandler(BaseHTTPRequestHandler):
    """The part of the hub's interface that downloads use: model info, file tree, files."""

    protocol_version = "HTTP/1.1"
    repos: dict[str, Path] = {}

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        owner, name, *rest = [*(parts[2:] if api else parts), "", ""]
        folder = self.repos.get(f"{owner}/{name}")
        if not folder:
            return self.answer(404, X_Error_Code="RepoNotFound")
        files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
        names = [p.relative_to(folder).as_posix() for p in files]
        if api and rest[0] == "tree":
            tree = [
                {"type": "file", "path": n, "size": p.stat().st_size, "oid": etag(p)}
                for n, p in zip(names, files, strict=True)
            ]
            return self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
        if api:
            info = {
                "id": f"{owner}/{name}",
                "sha": COMMIT,
                "siblings": [{"rfilename": n} for n in names],
            }
            return self.answer(200, json.dumps(info).encode(), Content_Type="application/json")
        if name == "gated":  # the hub describes a gated model to all, and gives its files to some
            return self.answer(401, X_Error_Code="GatedRepo")
        if name == "down" and rest[2] == "unet":
            return self.answer(500)
        file = folder / "/".join(rest[2:]).strip("/")
        if not file.is_file():
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        self.answer(200, file.read_bytes(), ETag=f'"{etag(file)}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET

    def log_message(self, *args) -> None:
        pass


def etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture(scope="module")
def package(tmp_path_factory, model) -> Path:
    """A folder to import imagegen from, the small model inside."""
    place = tmp_path_factory.mktemp("installed")
    source = Path(__file__).parent.parent / "imagegen"
    shutil.copytree(source, place / "imagegen", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(model, place / "imagegen" / "assets" / "models" / "storybook-sd")
    return place


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The folder that the first of these processes downloads into and the next ones look into."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def served(tmp_path_factory, model, package, home) -> dict[str, str]:
    """What was said, by name, where a hub answers."""
    notes = tmp_path_factory.mktemp("notes")
    (notes / "README.md").write_text("No model here.")
    HubHandler.repos = {f"owner/{name}": model for name in ("tiny", "gated", "down")}
    HubHandler.repos |= {"owner/notes": notes}
    with ThreadingHTTPServer(("127.0.0.1", 0), HubHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_port}"
            return load(package, home, *HubHandler.repos, "owner/none", HF_ENDPOINT=endpoint)
        finally:
            server.shutdown()
            thread.join()


def load(package: Path, home: Path, *names: str, code: str = CHILD, **env: str) -> dict[str, str]:
    """What a process said of each name; it must neither fail nor write to stderr."""
    foreign = re.compile("HF_|.*_proxy", re.IGNORECASE)
    env = {
        **{key: value for key, value in os.environ.items() if not foreign.match(key)},
        "PYTHONPATH": str(package),
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **env,
    }
    run = subprocess.run(
        [sys.executable, "-c", code, *names], env=env, cwd=home, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    sections = run.stdout.split("## ")[1:]
    return {name: text for name, _, text in (section.partition("\n") for section in sections)}


def test_hub_serves_a_model(served):
    loaded, drawn = served["owner/tiny"].splitlines()
    assert loaded == "loaded owner/tiny {}" and drawn.startswith("drawn ")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("owner/none", "no public model on the hub has this name"),
        ("owner/gated", "licence accepted"),
        ("owner/notes", "no diffusers pipeline"),
        ("owner/down", "the hub could not be reached"),
    ],
)
def test_hub_refuses_and_the_small_model_draws(served, name, reason):
    told, loaded, drawn = served[name].splitlines()
    assert told.startswith(f"{name} cannot be used: ") and reason in told
    assert told.endswith(". storybook-sd draws instead.")
    assert loaded.startswith("loaded storybook-sd {'num_inference_steps'")
    assert drawn == served["owner/tiny"].splitlines()[1]  # the same weights, so the same picture


def test_silent_hub_leaves_what_is_on_disk(served, package, home):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, but never answers
        nobody = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = load(package, home, "owner/tiny", "sd-1.5", HF_ENDPOINT=nobody)
    assert said["owner/tiny"] == served["owner/tiny"]
    licence, told, loaded, drawn = said["sd-1.5"].splitlines()
    assert "licence CreativeML OpenRAIL-M, 4 GB" in licence
    assert told.endswith("the hub could not be reached. storybook-sd draws instead.")
    assert loaded.startswith("loaded storybook-sd") and drawn in served["owner/tiny"]


def test_network_cut_changes_nothing_for_the_small_model(served, package, home):
    code = CUT + CHILD
    said = load(package, home, "storybook-sd", "owner/away", code=code, HF_HUB_OFFLINE="1")
    loaded, drawn = said["storybook-sd"].splitlines()
    assert loaded.startswith("loaded storybook-sd")
    assert drawn == served["owner/tiny"].splitlines()[1]
    assert "HF_HUB_OFFLINE forbids to download it. storybook-sd draws" in said["owner/away"]
