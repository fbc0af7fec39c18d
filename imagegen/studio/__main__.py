"""Serve the studio as a page of its own: python -m imagegen.studio, on this machine alone."""

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

# The page takes nothing from another host: Voila's own would have a font from one.
HERE = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "connect-src 'self' ws: data: blob:"
)
PATIENCE = 30  # seconds that the kernel of a page lives on whose browser is gone


def main(arguments=None):
    """Write a notebook of one cell and let Voila show it, until it is interrupted."""
    parser = argparse.ArgumentParser("python -m imagegen.studio", description=__doc__)
    parser.add_argument("--port", type=int, default=8866)
    parser.add_argument("--no-browser", action="store_true", help="only say the address")
    parser.add_argument("--base-url", help="a server that speaks OpenAI's API, if not our own")
    parser.add_argument("--image-model", default="storybook-sd")
    parser.add_argument("--text-model", default="storybook-grammar")
    given = parser.parse_args(arguments)
    if not find_spec("voila"):
        sys.exit("The studio's own page needs Voila: pip install voila")
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder) / "painting-studio.ipynb"
        write_notebook(notebook, given)
        from voila.app import Voila

        settings = {"headers": {"Content-Security-Policy": HERE}}
        arguments = [str(notebook), f"--port={given.port}", "--Voila.ip=127.0.0.1"]
        arguments += [f"--Voila.tornado_settings={settings!r}"]
        arguments += [f"--MappingKernelManager.cull_idle_timeout={PATIENCE}"]
        arguments += [f"--MappingKernelManager.cull_interval={PATIENCE // 3}"]
        Voila.launch_instance(arguments + ["--no-browser"] * given.no_browser)


def write_notebook(path, given):
    """The notebook that Voila shows: one cell, the studio."""
    import nbformat.v4 as v4

    settings = {
        "base_url": given.base_url,
        "image_model": given.image_model,
        "text_model": given.text_model,
        "folder": str(Path("results").resolve()),
    }
    source = f"from imagegen.studio import Studio\n\nStudio(**{settings!r})"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source)], metadata={"kernelspec": kernel})
    path.write_text(v4.writes(notebook), encoding="utf-8")


if __name__ == "__main__":
    main()
