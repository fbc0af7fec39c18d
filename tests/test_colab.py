"""A chapter opened alone, as on Colab: an empty folder, Colab's older packages, no imagegen.

The first cell must fetch the package with its models, change nothing that is installed, and be
safe to run twice. The repository is a local one; the other packages come from PyPI.
"""

import ast
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hygiene
import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from packaging.requirements import Requirement
from PIL import Image

from classroom import publish

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = [path for path in publish.stamped_files() if path.parent.name == "chapters"]

# What Colab has installed, from its published list of August 2026 (googlecolab/backend-info).
COLAB = """
diffusers==0.39.0 transformers==5.15.0 huggingface_hub==1.27.0 accelerate==1.14.0
safetensors==0.8.0 tokenizers==0.22.2 numpy==2.1.3 pillow==11.3.0 matplotlib==3.10.0
ipywidgets==7.7.1 ipykernel==6.17.1 ipython==7.34.0
fastapi==0.141.1 uvicorn==0.52.3 python-multipart==0.0.20 openai==2.54.0 anywidget==0.9.18
""".split()


def closure(name, seen):
    """`seen` and the names of a package and of all that it needs here."""
    name = name.lower().replace("_", "-")
    if name in seen:
        return seen
    seen = seen | {name}
    for line in importlib.metadata.requires(name) or []:
        need = Requirement(line)
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            seen = closure(need.name, seen)
    return seen


@pytest.fixture(scope="session")
def colab():
    """Python of an environment with COLAB installed; torch, scikit-learn and Jupyter are lent.

    Lent packages lie outside of the environment, so that pip uses them but never touches them. It
    is made once and kept inside of this environment, until one of the versions changes.
    """
    name = hashlib.sha256(f"{COLAB} {installed(sys.executable)}".encode()).hexdigest()[:12]
    folder = Path(sys.prefix, f"colab-{name}")
    python = folder / "env" / "bin" / "python"
    if (folder / "ready").exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    lent = folder / "lent"
    lent.mkdir()
    own = {Requirement(line).name.replace("_", "-") for line in COLAB}
    rest = closure("torch", closure("scikit-learn", closure("notebook", set())))
    for name in rest - own:
        for file in importlib.metadata.files(name):
            top = file.parts[0]
            if top != ".." and not (lent / top).exists():
                (lent / top).symlink_to(importlib.metadata.distribution(name).locate_file(top))
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(site, "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-compile", *COLAB], check=True)
    (folder / "ready").touch()
    return python


@pytest.fixture
def kernel(colab, tmp_path, monkeypatch):
    """The name under which nbclient starts that Python, with the model hub out of reach."""
    spec = tmp_path / "jupyter" / "kernels" / "colab" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [str(colab), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return "colab"


def installed(python):
    freeze = [python, "-m", "pip", "freeze", "--exclude", "imagegen"]
    return subprocess.run(freeze, check=True, capture_output=True, text=True).stdout


def opened_alone(chapter, folder, address):
    """The chapter as a copy in an empty folder, which fetches the package from `address`."""
    folder.mkdir()
    path = folder / chapter.name
    path.write_text(publish.stamp(chapter.read_text(encoding="utf-8"), address), encoding="utf-8")
    notebook = nbformat.read(path, as_version=4)
    assert f"git+{address}@main" in hygiene.code_cells(notebook)[0].source
    return notebook


def run(notebook, kernel, folder):
    """Run all cells in that folder; what is said beside results must be fine."""
    NotebookClient(
        notebook, timeout=600, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}
    ).execute()
    # Live, a chapter has its widgets, and pip speaks in the first cell.
    fine = re.compile("code cell 0 |.* stores a widget")
    assert [said for said in hygiene.outputs(notebook, folder.name) if not fine.match(said)] == []


def test_the_first_chapter_alone_finds_package_and_models(colab, kernel, snapshot, tmp_path):
    before = installed(colab)
    subprocess.run([colab, "-m", "pip", "uninstall", "-qy", "imagegen"], check=True)
    folder, address = tmp_path / "alone", f"file://{snapshot}"
    notebook = opened_alone(CHAPTERS[0], folder, address)
    first = hygiene.code_cells(notebook)[0]
    notebook.cells += [new_code_cell(first.source), new_code_cell("print(imagegen.__file__)")]
    run(notebook, kernel, folder)
    assert notebook.cells[-1].outputs[0].text.startswith(str(colab.parents[1]))
    assert not re.search("Collecting|Cloning", json.dumps(notebook.cells[-2].outputs))
    assert installed(colab) == before, "the first cell changed what was installed"
    assert {file.name for file in folder.iterdir()} <= {CHAPTERS[0].name, "results"}


DRAW = """
import sys, torch
from imagegen.models import load_pipeline, settings
torch.set_num_threads(1)
pipe = load_pipeline(device="cpu")
for seed in range(3):
    noise = torch.Generator().manual_seed(seed)
    picture = pipe("a cat on a beach at sunset", generator=noise, **settings(pipe)).images[0]
    picture.save(f"{sys.argv[1]}-{seed}.png")
"""


def test_the_oldest_versions_draw_the_same_pictures(colab, tmp_path):
    """The folder of the model, loaded by the oldest diffusers and transformers and by these."""
    for name, python in (("old", colab), ("new", sys.executable)):
        command = [python, "-c", DRAW, str(tmp_path / name)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(publish.ROOT)})
    for seed in range(3):
        old, new = (Image.open(tmp_path / f"{name}-{seed}.png") for name in ("old", "new"))
        assert old.tobytes() == new.tobytes()


def imports_of(chapter):
    """The import statements of a chapter, in order, each once."""
    cells = hygiene.code_cells(nbformat.read(chapter, as_version=4))
    trees = [ast.parse(TransformerManager().transform_cell(cell.source)) for cell in cells]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    lines = [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return list(dict.fromkeys(lines))


def test_all_that_the_chapters_import_is_there_too(colab, snapshot):
    """Names that the oldest versions lack would stop a chapter at its first cells."""
    lines = {chapter.stem: imports_of(chapter) for chapter in CHAPTERS}
    assert all(any("imagegen" in line for line in some) for some in lines.values())
    code = "\n".join(dict.fromkeys(line for some in lines.values() for line in some))
    environment = {**os.environ, "PYTHONPATH": str(snapshot), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([colab, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
