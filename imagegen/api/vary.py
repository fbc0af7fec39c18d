"""Make variations of a picture through the API: one of chapter 11's two scripts.

DALL-E 2 had a call for it. Today a variation is an edit without a mask: picture and prompt.

python -m imagegen.api.vary picture.png --n 3 --strength 0.6
"""

import sys
from pathlib import Path

from imagegen.api.command import connected, parser, save_all
from imagegen.recipe import read_recipe, slug


def main(arguments: list[str] | None = None) -> None:
    """Ask for the variations and save each under a new name; the picture stays as it is."""
    options = parser("imagegen.api.vary", "Make variations of a picture, through the API.")
    options.add_argument("picture", type=lambda name: Path(name).expanduser())
    options.add_argument("--prompt", help="what it shows; if it carries its recipe, that is known")
    options.add_argument("--strength", type=float, help="from 0 to 1: how new (local only)")
    given = options.parse_args(arguments)
    if not given.picture.is_file():
        sys.exit(f"There is no file {given.picture}.")
    local = {"seed": given.seed, "strength": given.strength}
    with connected(given.base_url) as client:
        response = client.images.edit(
            model=given.model,
            image=given.picture,
            prompt=given.prompt or known_prompt(given.picture),
            n=given.n,
            size=given.size,
            extra_body={name: value for name, value in local.items() if value is not None},
        )
        save_all(response, given.out, f"{slug(given.picture.stem)}-variation")


def known_prompt(picture: Path) -> str:
    """The prompt in a picture's recipe; ValueError, in a sentence, if it carries none."""
    try:
        return read_recipe(picture).prompt
    except ValueError as error:
        raise ValueError(f"{error} Say what it shows with --prompt.") from None


if __name__ == "__main__":
    main()
