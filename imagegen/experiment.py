"""The laboratory: configure -> generate -> visualise -> compare.

    pictures = every combination of the settings given as lists, all others held fixed

An experiment is a folder, results/<time>/: plan.json, a PNG for each picture with its recipe
inside, and, once it is complete, grid.png and table.csv. Nothing in it is ever written over, so
whatever ended a run, resume() goes on from what is there. Built in chapter 9.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from imagegen import pictures
from imagegen.draw import check_recipe, defaults, draw_recipes
from imagegen.measure import features, matches, mean_interval, seed_diversity, wilson
from imagegen.models import SMALL
from imagegen.progress import Progress
from imagegen.recipe import (
    SETTINGS,
    Recipe,
    read_recipe,
    save,
    unknown_setting,
    write_new,
    write_once,
)
from imagegen.storybook.caption import read


@dataclass
class Experiment:
    """An experiment as it lies in its folder."""

    folder: Path
    varied: dict[str, list]  # the settings that vary; the first goes down the grid
    rows: list[dict]  # for each picture its recipe, file and seconds (None if not drawn yet)

    @cached_property
    def images(self) -> list[Image.Image]:
        """The pictures in the order of rows, grey where one is not drawn yet."""
        return [
            Image.open(self.folder / row["file"]).convert("RGB")
            if row["file"]
            else Image.new("RGB", (row["width"], row["height"]), "#cccccc")
            for row in self.rows
        ]


def configure(pipe, **given: Any) -> dict[str, Any]:
    """The complete, checked settings of an experiment; a list is what varies.

    given: settings of a Recipe, or size for width and height alike; at least the prompt. The rest
    is what the model was made for. ValueError, in one sentence, for a setting that cannot be.
    """
    for name in given:
        if name not in (*SETTINGS, "size"):
            raise unknown_setting(name, (*SETTINGS, "size"))
    if "prompt" not in given:
        raise ValueError("The prompt is missing, so nothing can be drawn.")
    plan = {name: _plain(name, values) for name, values in given.items()}
    rest = defaults(pipe)
    if "size" in plan:
        if {"width", "height"} & set(plan):
            raise ValueError("size is width and height alike: give size, or the two, not both.")
        del rest["width"], rest["height"]
    plan |= {name: value for name, value in rest.items() if name not in plan}
    for settings in combinations(plan):
        check_recipe(pipe, Recipe(**settings))
    return plan


def combinations(plan: dict) -> list[dict]:
    """Every combination of a plan's lists; the first list varies slowest."""
    lists = [values if isinstance(values, list) else [values] for values in plan.values()]
    made = [dict(zip(plan, values, strict=True)) for values in itertools.product(*lists)]
    for recipe in made:
        if "size" in recipe:
            recipe["width"] = recipe["height"] = recipe.pop("size")
    return made


def experiment(pipe, folder: str | Path = "results", batch: int = 8, **given) -> Experiment:
    """Draw every combination of the settings given as lists, into a new folder in `folder`.

    given: settings as configure() takes them. batch: pictures drawn at once where only prompts
    and seeds differ. Shows a bar with a stop button; interrupting the kernel stops as well.
    ValueError for a setting that cannot be; OSError, in one sentence, if a file cannot be kept.
    """
    plan = configure(pipe, **given)
    with _keeping(folder, "Nothing is drawn yet."):
        home = write_new(folder, f"{datetime.now():%Y%m%d-%H%M%S}")
        (home / "plan.json").write_text(json.dumps(plan, indent=1), encoding="utf-8")
    return resume(pipe, home, batch)


def resume(pipe, folder: str | Path, batch: int = 8) -> Experiment:
    """Draw what is missing of an experiment; once nothing is, write its grid and its table."""
    lab = load_experiment(folder)
    missing = [row for row in lab.rows if not row["file"]]
    again = f"resume(pipe, {str(lab.folder)!r}) draws the rest."
    recipes = [Recipe.from_dict(row) for row in missing]
    for recipe in recipes:
        check_recipe(pipe, recipe)
    with Progress(len(lab.rows), len(lab.rows) - len(missing)) as bar:
        try:
            for number, image, seconds in draw_recipes(pipe, recipes, batch, on_step=bar.check):
                kept = f"{bar.done} of {bar.total} pictures are kept; make room, then {again}"
                with _keeping(lab.folder, kept):
                    save(image, replace(recipes[number], notes={}), lab.folder, seconds=seconds)
                bar.add()
        except KeyboardInterrupt:
            print(f"Stopped: {bar.done} of {bar.total} pictures are kept. {again}")
            return load_experiment(folder)
    lab = load_experiment(folder)
    with _keeping(lab.folder, f"All {len(lab.rows)} pictures are kept."):
        for name, make in (("grid.png", _grid), ("table.csv", _table)):
            if not (lab.folder / name).exists():
                with suppress(FileExistsError):  # another process was first
                    write_once(lab.folder / name, make(lab))
    return lab


def load_experiment(folder: str | Path) -> Experiment:
    """An experiment as it lies in its folder. A damaged picture counts as one not drawn yet.

    ValueError, in one sentence, for a folder without a plan that can be read.
    """
    folder, found = Path(folder).expanduser(), {}
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8-sig"))
        recipes = [Recipe.from_dict(settings) for settings in combinations(plan)]
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} holds no experiment: there is no plan.json in it.") from None
    except (AttributeError, OSError, TypeError, ValueError):
        raise ValueError(f"{folder / 'plan.json'} cannot be read: start anew.") from None
    for path in sorted(folder.glob("*.png")):
        try:
            recipe = read_recipe(path)
        except ValueError:
            continue  # half a picture, or the grid, which has no recipe
        found.setdefault(recipe, {"file": path.name, "seconds": recipe.notes.get("seconds")})
    nothing = {"file": None, "seconds": None}
    rows = [recipe.to_dict() | found.get(recipe, nothing) for recipe in recipes]
    return Experiment(folder, {k: v for k, v in plan.items() if isinstance(v, list)}, rows)


def sheet(lab: Experiment, **options) -> Image.Image:
    """The labelled grid: the first setting that varies goes down, all the others across.

    options: as pictures.grid() takes them.
    """
    names = list(lab.varied)
    down = names[: len(names) > 1]
    across = names[len(down) :]
    labels = [
        ", ".join(_label(name, value) for name, value in zip(across, values, strict=True))
        for values in itertools.product(*(lab.varied[name] for name in across))
    ]
    rows = [_label(name, value) for name in down for value in lab.varied[name]]
    return pictures.grid(lab.images, row_labels=rows or None, col_labels=labels or None, **options)


def effects(lab: Experiment, setting: str, reference=None) -> list[dict]:
    """What a setting does: a row for each of its values, with 95 % intervals (mean, low, high).

    fidelity: share of right pictures. diversity: see seed_diversity(), of the oracle's features.
    distance: between their features and those of the same recipe at the reference, the first
    value unless given. seconds: a picture took. None where something cannot be measured.
    """
    if setting not in lab.varied:
        raise ValueError(f"{setting} does not vary here; these do: {', '.join(lab.varied)}.")
    values, names = lab.varied[setting], list(lab.varied)
    reference = values[0] if reference is None else reference
    if reference not in values:
        raise ValueError(f"{reference!r} is none of the values of {setting}.")
    if any(row["file"] is None for row in lab.rows):
        raise ValueError(f"Pictures are missing: resume(pipe, {str(lab.folder)!r}) draws them.")
    images = lab.images
    right, clouds = _right(lab, images), features(images)
    # The numbers of the rows, as a table with one axis for each setting: this one first, seed last.
    where = torch.arange(len(images)).reshape([len(lab.varied[name]) for name in names])
    order = sorted(names, key=lambda name: (name != setting, name == "seed"))
    where = where.permute([names.index(name) for name in order])
    table = []
    for value, some in zip(values, where, strict=True):
        known = [right[i] for i in some.flatten() if right[i] is not None]
        seconds = [lab.rows[i]["seconds"] for i in some.flatten()]
        cloud, other = clouds[some], clouds[where[values.index(reference)]]
        seeds = order[-1] == "seed" != setting and len(lab.varied["seed"]) > 2
        row = {setting: value, "n": some.numel()}
        share = (sum(known) / len(known), *wilson(sum(known), len(known))) if known else None
        row |= {"fidelity": share, "diversity": seed_diversity(cloud) if seeds else None}
        gaps = (cloud - other).norm(dim=-1).flatten()
        if len(gaps) > 1:
            mean, low, high = mean_interval(gaps)
            gaps = (mean, max(low, 0.0), high)  # no distance lies below 0
        row["distance"] = gaps if len(gaps) > 1 else None
        row["seconds"] = sum(seconds) / len(seconds) if None not in seconds else None
        table.append(row)
    return table


def _right(lab: Experiment, images: list[Image.Image]) -> list[bool | None]:
    """Whether each picture shows what its prompt names; None where that cannot be read."""
    rows = lab.rows
    can = [i for i, row in enumerate(rows) if row["model"] == SMALL and read(row["prompt"])]
    seen = matches([images[i] for i in can], [rows[i]["prompt"] for i in can])
    right = dict(zip(can, seen, strict=True))
    return [right.get(i) for i in range(len(rows))]


def _table(lab: Experiment) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, [*lab.rows[0], "right"])
    table.writeheader()
    right = _right(lab, lab.images)
    table.writerows(row | {"right": r} for row, r in zip(lab.rows, right, strict=True))
    return text.getvalue().encode()


def _grid(lab: Experiment) -> bytes:
    png = io.BytesIO()
    sheet(lab, width=None).save(png, "PNG")
    return png.getvalue()


def _label(name: str, value) -> str:
    return (
        value if name == "prompt" and value else f"{name.replace('_', ' ')} {value or repr(value)}"
    )


@contextmanager
def _keeping(folder: str | Path, kept: str) -> Iterator[None]:
    """Say in one sentence that a file could not be written, and what is safe all the same."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise OSError(f"{folder} takes no file ({reason}). {kept}") from None


def _plain(name: str, values: Any) -> Any:
    """A setting as JSON keeps it: tuples, ranges and arrays as lists, NumPy's numbers as plain."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list | tuple | range):
        values = [v.item() if hasattr(v, "item") else v for v in values]
        if not values:
            raise ValueError(f"{name} varies over nothing: give it one value or more.")
    return values
