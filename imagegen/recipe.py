"""A recipe is everything a picture depends on; draw_recipes() turns recipes into pictures.

    prompt, negative_prompt, seed, steps, guidance, width, height, scheduler, model

Recipes that agree in all but their prompts and seeds are drawn together, each from a generator of
its own. Built in chapter 9.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import diffusers
import torch
from PIL import Image

from imagegen.models import settings
from imagegen.pictures import read_recipe

SCHEDULERS = {
    "DPM-Solver++": "DPMSolverMultistepScheduler",
    "UniPC": "UniPCMultistepScheduler",
    "Heun": "HeunDiscreteScheduler",
    "Euler": "EulerDiscreteScheduler",
    "Euler a": "EulerAncestralDiscreteScheduler",
    "DDIM": "DDIMScheduler",
    "DDPM": "DDPMScheduler",
}
SHARED = ("steps", "guidance", "width", "height", "scheduler")  # what a batch has in common
SETTINGS = ("prompt", "negative_prompt", "seed", *SHARED)


def configure(pipe, **given) -> dict:
    """The complete, checked settings of an experiment; a list is what varies.

    given: any of SETTINGS, or size for width and height alike; at least the prompt. The rest is
    what the model was made for. ValueError, in one sentence, for a setting that cannot be.
    """
    own = settings(pipe)
    plan = {name: _plain(name, values) for name, values in given.items()}
    rest = {
        "negative_prompt": "",
        "seed": 0,
        "steps": own.get("num_inference_steps", 20),
        "guidance": own.get("guidance_scale", 7.5),
        "width": own.get("width", 512),
        "height": own.get("height", 512),
        "scheduler": scheduler_name(pipe),
        "model": model_name(pipe),
    }
    if "size" in plan:
        if {"width", "height"} & set(plan):
            raise ValueError("size is width and height alike: give size, or the two, not both.")
        del rest["width"], rest["height"]
    plan |= {name: value for name, value in rest.items() if name not in plan}
    for recipe in combinations(plan):
        check_recipe(pipe, recipe)
    return plan


def combinations(plan: dict) -> list[dict]:
    """Every combination of a plan's lists as a recipe; the first list varies slowest."""
    lists = [values if isinstance(values, list) else [values] for values in plan.values()]
    made = [dict(zip(plan, values, strict=True)) for values in itertools.product(*lists)]
    for recipe in made:
        if "size" in recipe:
            recipe["width"] = recipe["height"] = recipe.pop("size")
    return made


def check_recipe(pipe, recipe: dict) -> None:
    """ValueError, in one sentence, for a recipe that is not complete or cannot be drawn."""
    for name in set(recipe) - {*SETTINGS, "model"}:
        near = get_close_matches(name, SETTINGS, 1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(SETTINGS)}, or size."
        raise ValueError(f"There is no setting {name}: {hint}")
    for name in (*SETTINGS, "model"):
        if name not in recipe:
            raise ValueError(f"The {name} is missing, so nothing can be drawn.")
    if recipe["model"] != model_name(pipe):
        raise ValueError(
            f"The recipe is one of {recipe['model']}, and the pipeline is {model_name(pipe)}."
        )
    for name in ("prompt", "negative_prompt"):
        if not isinstance(recipe[name], str):
            raise ValueError(f"{name} must be a text in quotes, not {recipe[name]!r}.")
    for name, least in (("seed", 0), ("steps", 1), ("width", 8), ("height", 8)):
        if type(recipe[name]) is not int or recipe[name] < least:
            raise ValueError(
                f"{name} must be a whole number from {least} up, not {recipe[name]!r}."
            )
    factor = getattr(pipe, "vae_scale_factor", 8)
    for name in ("width", "height"):
        if recipe[name] % factor:
            low = max(recipe[name] // factor, 1) * factor
            raise ValueError(
                f"{name} must be a multiple of {factor}, such as {low} or {low + factor}, "
                f"not {recipe[name]}."
            )
    if type(recipe["guidance"]) not in (int, float) or not 0 <= recipe["guidance"] < math.inf:
        raise ValueError(f"guidance must be a number from 0 up, not {recipe['guidance']!r}.")
    if recipe["scheduler"] not in {*SCHEDULERS, scheduler_name(pipe)}:
        raise ValueError(
            f"There is no scheduler {recipe['scheduler']!r}: use one of {', '.join(SCHEDULERS)}."
        )


def draw_recipes(
    pipe, recipes: list[dict], batch: int = 8, on_step: Callable[[], None] | None = None
) -> Iterator[tuple[int, Image.Image, float]]:
    """Draw recipes in batches; give (number of the recipe, picture, seconds) as they get ready.

    A picture is, up to rounding, what a call of its own would draw. on_step is called after each
    step; what it raises ends the drawing. The pipeline is left as it was.
    """
    groups: dict[tuple, list[int]] = {}
    for number, recipe in enumerate(recipes):
        groups.setdefault(tuple(recipe[name] for name in SHARED), []).append(number)
    batches = [
        members[start : start + batch]
        for members in groups.values()
        for start in range(0, len(members), batch)
    ]

    def after_step(pipe, step, t, now):
        if on_step:
            on_step()
        return now

    for numbers in batches:
        some = [recipes[number] for number in numbers]
        negative = [recipe["negative_prompt"] for recipe in some]
        began = time.perf_counter()
        with _scheduler(pipe, some[0]["scheduler"]):
            images = pipe(
                [recipe["prompt"] for recipe in some],
                num_inference_steps=some[0]["steps"],
                guidance_scale=some[0]["guidance"],
                width=some[0]["width"],
                height=some[0]["height"],
                generator=[torch.Generator().manual_seed(recipe["seed"]) for recipe in some],
                callback_on_step_end=after_step,
                **({"negative_prompt": negative} if any(negative) else {}),
            ).images
        seconds = round((time.perf_counter() - began) / len(some), 3)
        for number, image in zip(numbers, images, strict=True):
            yield number, image, seconds


def redraw_file(pipe, path: str | Path) -> Image.Image:
    """Draw the picture of a saved PNG again, from nothing but the recipe inside it."""
    recipe = read_recipe(path)
    recipe.pop("seconds", None)  # what drawing it took
    check_recipe(pipe, recipe)
    return next(draw_recipes(pipe, [recipe]))[1]


def model_name(pipe) -> str:
    """The last part of the folder or hub id that a pipeline was loaded from."""
    return Path(str(pipe.name_or_path)).name


def scheduler_name(pipe) -> str:
    """The name in SCHEDULERS of the scheduler that a pipeline has, or else its class."""
    kind = type(pipe.scheduler).__name__
    return next((name for name, its in SCHEDULERS.items() if its == kind), kind)


@contextmanager
def _scheduler(pipe, name: str) -> Iterator[None]:
    """Lend a pipeline another scheduler for the same noise schedule; then give back its own."""
    own = pipe.scheduler
    if name != scheduler_name(pipe):
        # DDIM and DDPM cut off guesses beyond -1..1 unless told; latents go beyond.
        config = {"clip_sample": False} | dict(own.config)
        pipe.scheduler = getattr(diffusers, SCHEDULERS[name]).from_config(config)
    try:
        yield
    finally:
        pipe.scheduler = own


def _plain(name: str, values):
    """A setting as JSON keeps it: tuples, ranges and arrays as lists, NumPy's numbers as plain."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list | tuple | range):
        values = [v.item() if hasattr(v, "item") else v for v in values]
        if not values:
            raise ValueError(f"{name} varies over nothing: give it one value or more.")
    return values
