"""Build the site: `make site`. The pages go to site/build/html, which git ignores.

npm            -> the runtime of the model, and the formulas
export.py      -> explain/model: the model as a browser runs it
pages.py       -> chapters, quizzes and glossary as Sphinx's sources
sphinx         -> the pages
sw.js          -> what keeps all of it for a visit without a network
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

SITE = Path(__file__).resolve().parent
ROOT = SITE.parent
BUILD = SITE / "build"
HTML = BUILD / "html"
NODE = SITE / "node_modules"


def main() -> None:
    """Build all of it, and say how long each part took."""
    shutil.rmtree(HTML, ignore_errors=True)
    for name, step in (
        ("npm", install),
        ("model", export_model),
        ("pages", sphinx),
        ("explainer", copy_explainer),
        ("offline", write_worker),
    ):
        began = time.monotonic()
        step()
        print(f"{name:10} {time.monotonic() - began:6.1f} s")
    print(f"built {HTML.relative_to(ROOT)}; `make site-serve` shows it")


def install() -> None:
    """Fetch what package.json names, unless it is there."""
    wanted = json.loads((SITE / "package.json").read_text())
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        own = NODE / name / "package.json"
        if not own.exists() or json.loads(own.read_text())["version"] != version:
            command = "npm install --no-package-lock --ignore-scripts --no-audit --no-fund --silent"
            subprocess.run(command.split(), cwd=SITE, check=True)
            return


def export_model() -> None:
    """Export the model into build/model, unless it was exported from the same files."""
    runtime = NODE / "onnxruntime-web" / "dist"
    sources = [SITE / "export.py", *sorted((ROOT / "assets/models").rglob("*.*"))]
    sources += sorted((ROOT / "imagegen").rglob("*.py"))
    now = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = BUILD / "model.sha256"
    folder = BUILD / "model"
    if not stamp.exists() or stamp.read_text() != now:
        from export import export, film

        from imagegen.models import load_pipeline

        pipe = load_pipeline(device="cpu")
        for name, part in export(pipe, folder)["parts"].items():
            print(f"  {name:13} {part['bytes'] / 1e6:6.2f} MB, differs by {part['difference']:.1e}")
        film(pipe, folder / "film.jpg")
        stamp.write_text(now)
    wasm = gzip.compress((runtime / "ort-wasm-simd-threaded.wasm").read_bytes(), 9, mtime=0)
    vendor = HTML / "explain" / "vendor"
    vendor.mkdir(parents=True)
    (vendor / "ort.wasm.bin").write_bytes(wasm)
    shutil.copy(runtime / "ort.wasm.bundle.min.mjs", vendor / "ort.min.mjs")
    shutil.copytree(folder, HTML / "explain" / "model")
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    about["runtime"] = len(wasm)
    text = json.dumps(about, ensure_ascii=False)
    (HTML / "explain" / "model" / "model.json").write_text(text, encoding="utf-8")


def sphinx() -> None:
    """Write the sources and make the pages; a warning of Sphinx ends the build."""
    from pages import write_pages

    source = BUILD / "source"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    write_pages(source)
    mathjax = source / "static" / "mathjax"
    es5 = NODE / "mathjax" / "es5"
    shutil.copytree(es5 / "output/chtml/fonts", mathjax / "output/chtml/fonts")
    shutil.copy(es5 / "tex-mml-chtml.js", mathjax)
    command = [sys.executable, *"-m sphinx -b html -q -W --keep-going -j auto".split()]
    command += ["-c", SITE, "-d", BUILD / "doctrees", source, HTML]
    subprocess.run(list(map(str, command)), check=True)
    for template in (HTML / "_static").glob("*.html"):  # the theme's own, no pages
        template.unlink()


def copy_explainer() -> None:
    """Put the explainer beside the pages, as it is."""
    for path in (SITE / "explain").iterdir():
        shutil.copy(path, HTML / "explain")


def write_worker() -> None:
    """Write sw.js, which loads the explainer and the pages' own files at the first visit."""
    first = [
        "explain/index.html",
        *(p.relative_to(HTML).as_posix() for p in (HTML / "explain").glob("*.*")),
        "explain/model/model.json",
    ]
    every = sorted(path for path in HTML.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in every)).hexdigest()[:12]
    text = (SITE / "sw.js").read_text(encoding="utf-8").replace("{{build}}", f"site-{digest}")
    text = text.replace("{{files}}", json.dumps(sorted(set(first))))
    (HTML / "sw.js").write_text(text, encoding="utf-8")
    (HTML / ".nojekyll").touch()  # or GitHub Pages leaves out the folders that begin with _


if __name__ == "__main__":
    main()
