"""The pictures of the studio: files in a folder, which outlive the page. Chapter 12."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from imagegen.recipe import Recipe, read_recipe, slug, write_new

SHOWN = 24  # pictures of earlier days that hang in the gallery


@dataclass(frozen=True)
class Picture:
    """A picture: its file, the bytes in it, and the recipe that was asked for."""

    path: Path
    png: bytes
    recipe: Recipe

    @property
    def drawn(self) -> Recipe:
        """What was drawn, by the file itself; of a server that writes no recipe, what was asked."""
        try:
            return read_recipe(self.png)
        except ValueError:
            return self.recipe


def keep(folder: str | Path, png: bytes, recipe: Recipe) -> Picture:
    """Write a picture into the folder as the server sent it, under a new name.

    OSError or ValueError, in one sentence, if it cannot be written.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-seed{recipe.seed}-{slug(recipe.prompt)}"
    return Picture(write_new(folder, stem, ".png", png), png, recipe)


def earlier(folder: str | Path) -> list[Picture]:
    """The newest pictures in the folder that carry a recipe, oldest first."""
    found = []
    for path in sorted(Path(folder).expanduser().glob("*.png"), reverse=True):
        try:
            png = path.read_bytes()
            found.append(Picture(path, png, read_recipe(png)))
        except (OSError, ValueError):
            continue  # a sheet, or somebody else's picture
        if len(found) == SHOWN:
            break
    return found[::-1]


def put_away(picture: Picture) -> Path:
    """Move a picture's file into the folder `deleted` beside it; its new path."""
    new = write_new(picture.path.parent / "deleted", picture.path.stem, ".png", picture.png)
    picture.path.unlink(missing_ok=True)
    return new
