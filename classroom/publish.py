"""Make the notebooks ready to publish: stamp the repository's address, run them afresh.

For authors: `make chapters` runs both, `make stamp` only the first. Readers need neither.
"""

import argparse
import base64
import io
import re
from pathlib import Path

import nbformat
from PIL import Image

from imagegen import REPOSITORY, REVISION

ROOT = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/"
LARGEST = 490_000  # bytes of a stored notebook; a test allows 500 kB
WIDGET = "application/vnd.jupyter.widget-view+json"


def badge(path: str, repository: str = REPOSITORY, revision: str = REVISION) -> str:
    """The line of Markdown that opens the notebook at `path`, seen from the top, in Colab."""
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({_colab(path, repository, revision)})"


def bootstrap(repository: str = REPOSITORY, revision: str = REVISION) -> str:
    """The first lines of a notebook's setup cell; running them again changes nothing."""
    return (
        "try:\n"
        "    import imagegen\n"
        "except ModuleNotFoundError:  # opened alone, as on Colab\n"
        f"    %pip install -q git+{repository}@{revision}"
    )


def stamp(
    text: str, repository: str = REPOSITORY, revision: str = REVISION, path: str | None = None
) -> str:
    """Return `text` with every address of the repository replaced by the one given.

    Covers Colab links, `git+` addresses, `git clone` and raw files. `path` is the notebook that
    the text is, when it is one: its Colab links then lead to itself.
    """
    slug = repository.removeprefix(GITHUB)
    raw = f"https://raw.githubusercontent.com/{slug}/{revision}/"
    text = re.sub(
        r"https://colab\.research\.google\.com/github/[^\s()\"]+?/blob/[^\s()\"]+?/"
        r"((?:chapters|solutions|quizzes)/[\w./-]+\.ipynb)",
        lambda link: _colab(path or link[1], repository, revision),
        text,
    )
    text = re.sub(r"git\+\w+://[^\s\"\\@]+@[^\s\"\\]+", f"git+{repository}@{revision}", text)
    text = re.sub(r"git clone https://[^\s\"\\`]+", f"git clone {repository}", text)
    text = re.sub(r"repository-code: https://\S+", f"repository-code: {repository}", text)
    return re.sub(
        r"https://raw\.githubusercontent\.com/[^\s()\"]+?/(?=assets/)", lambda _: raw, text
    )


def stamped_files(root: Path = ROOT) -> list[Path]:
    """The pages at the top and every notebook of the course, sorted."""
    notebooks = [
        *root.glob("chapters/*.ipynb"),
        *root.glob("solutions/*/*.ipynb"),
        *root.glob("quizzes/*/*.ipynb"),
    ]
    pages = [root / name for name in ("README.md", "CONTRIBUTING.md", "CITATION.cff")]
    return [*pages, *sorted(notebooks)]


def execute(path: Path) -> None:
    """Run the notebook at `path` from a fresh kernel and store its outputs, in order from 1.

    A cell that fails raises SystemExit with one sentence, and the file stays as it was.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=True,  # or a widget that captures output has nowhere to put it
        resources={"metadata": {"path": str(Path(path).parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise SystemExit(f"{path} was not changed: a cell failed.\n{error}") from None
    for cell in notebook.cells:
        if cell.cell_type == "code":
            outputs = map(_without_widget, cell.outputs)
            cell.outputs = [output for output in outputs if output]
    # An author's tools, Python version and widget ids would only make the next diff noisy.
    for name in ("widgets", "jupytext"):
        notebook.metadata.pop(name, None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.kernelspec = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    shrink(notebook)
    nbformat.write(notebook, path)


def shrink(notebook):
    """Store the pictures of a notebook in fewer bytes, so that it opens quickly everywhere.

    A plot becomes a PNG of 96 colours, which looks the same. If that is not enough for LARGEST,
    photographs are compressed more, and no more than needed.
    """
    data = [o.get("data", {}) for cell in notebook.cells for o in cell.get("outputs", [])]
    for some in (some for some in data if "image/png" in some):
        image = _stored(some["image/png"]).convert("RGB")
        plain = image.quantize(96, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        some["image/png"] = min(some["image/png"], _encoded(plain, "PNG"), key=len)
    photographs = [(some, _stored(some["image/jpeg"])) for some in data if "image/jpeg" in some]
    for quality in range(75, 30, -5):
        if len(nbformat.writes(notebook)) <= LARGEST:
            break
        for some, image in photographs:
            smaller = _encoded(image, "JPEG", quality=quality)
            some["image/jpeg"] = min(some["image/jpeg"], smaller, key=len)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="the notebooks to run")
    notebooks = parser.parse_args().notebooks
    for path in stamped_files():
        old = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        new = stamp(old, path=name if path.suffix == ".ipynb" else None)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"stamped {name}")
    for path in notebooks:
        execute(path)
        print(f"ran {path}")


def _colab(path, repository, revision):
    slug = repository.removeprefix(GITHUB)
    return f"https://colab.research.google.com/github/{slug}/blob/{revision}/{path}"


def _stored(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def _encoded(image, kind, **how):
    file = io.BytesIO()
    image.save(file, kind, optimize=True, **how)
    return base64.b64encode(file.getvalue()).decode()


def _without_widget(output):
    """A widget lives only as long as its kernel: store what is left without it, or nothing."""
    data = output.get("data", {})
    if WIDGET not in data:
        return output
    del data[WIDGET]
    is_repr = re.match(r"\w+\(", data.get("text/plain", ""))  # IPython cuts long ones
    if is_repr and set(data) == {"text/plain"}:
        return None
    return output


if __name__ == "__main__":
    main()
