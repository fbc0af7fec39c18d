"""What the two command lines share: a client of some server, and files that are never replaced."""

import argparse
import base64
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import openai

from imagegen.api import start
from imagegen.api.models import IMAGES


def parser(program: str, text: str) -> argparse.ArgumentParser:
    """The options that both command lines have."""
    made = argparse.ArgumentParser(f"python -m {program}", description=text)
    made.add_argument("--out", type=Path, default=Path("results"), help="the folder to save in")
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
            yield openai.OpenAI(base_url=base_url, api_key=key)
        else:
            with start() as server:
                yield openai.OpenAI(base_url=server.url, api_key="not-needed")
    except openai.APIStatusError as error:
        body = error.body if isinstance(error.body, dict) else {}
        sys.exit(f"The server refused: {body.get('message', error)}")
    except openai.APIConnectionError:
        sys.exit(f"No server answers at {base_url}.")
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(str(error))


def keep(response, folder: Path, stem: str) -> list[Path]:
    """Save the pictures of a response in a folder, each under a new name, and say where."""
    folder.mkdir(parents=True, exist_ok=True)
    now, kind, paths = datetime.now(), response.output_format or "png", []
    for picture in response.data:
        for number in itertools.count(1):
            path = folder / f"{now:%Y%m%d-%H%M%S}-{stem}-{number}.{kind}"
            try:
                with path.open("xb") as file:  # x fails rather than overwrite
                    file.write(base64.b64decode(picture.b64_json))
            except FileExistsError:
                continue
            break
        paths.append(path)
        print(path)
    return paths
