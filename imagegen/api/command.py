"""What the two command lines share: a client of some server, and files that are never replaced."""

import argparse
import base64
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import openai
from openai.types import ImagesResponse

from imagegen.api import go_direct, start
from imagegen.api.catalogue import IMAGES
from imagegen.recipe import write_new


def parser(program: str, text: str) -> argparse.ArgumentParser:
    """The options that both command lines have."""
    made = argparse.ArgumentParser(f"python -m {program}", description=text)
    made.add_argument("--out", type=folder, default="results", help="the folder to save in")
    made.add_argument("--n", type=int, default=1, help="how many pictures")
    made.add_argument("--size", default="auto", help="such as 1024x1024")
    made.add_argument("--model", default=IMAGES)
    made.add_argument("--seed", type=int, help="the same seed draws the same picture (local only)")
    made.add_argument(
        "--base-url",
        default=os.environ.get("OPENAI_BASE_URL"),
        help="a server that runs, with its key in OPENAI_API_KEY; else a local one is started",
    )
    return made


@contextmanager
def connected(base_url: str | None) -> Iterator[openai.OpenAI]:
    """A client of the server at base_url, or of a local one that ends with the block.

    What goes wrong inside ends the program with one sentence.
    """
    key = os.environ.get("OPENAI_API_KEY") or "not-needed"
    try:
        if base_url:
            go_direct()
            yield openai.OpenAI(base_url=base_url, api_key=key)
        else:
            with start() as server:
                yield openai.OpenAI(base_url=server.url, api_key="not-needed")
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        sys.exit(f"The server refused: {body.get('message', error)}")
    except openai.APIConnectionError:
        sys.exit(f"No server answers at {base_url or 'the local address'}.")
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))


def folder(name: str) -> Path:
    """A folder in which files can be written, made if it is not there; ~ is the home folder.

    Tried at once, so that nothing is drawn that cannot be saved.
    """
    path = Path(name).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except (OSError, ValueError) as error:
        reason = f"no picture can be saved in {name!r}: {getattr(error, 'strerror', error)}"
        raise argparse.ArgumentTypeError(reason) from None
    return path


def save_all(response: ImagesResponse, folder: Path, stem: str) -> list[Path]:
    """Save the pictures of a response in a folder, each under a new name, and print where."""
    now, paths = datetime.now(), []
    for number, picture in enumerate(response.data, 1):
        data = base64.b64decode(picture.b64_json)
        suffix = f".{response.output_format or 'png'}"
        paths.append(write_new(folder, f"{now:%Y%m%d-%H%M%S}-{stem}-{number}", suffix, data))
        print_path(paths[-1])
    return paths


def print_path(path: Path) -> None:
    """Print a path, with signs that the terminal lacks written as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    print(str(path).encode(encoding, "backslashreplace").decode(encoding), flush=True)
