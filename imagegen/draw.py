"""The one place where a recipe becomes a picture: text to image, image to image, inpainting.

    prompt + seed                     noise                                 chapter 8
    + picture + strength              noise on the picture's latents        chapter 10
    + mask                            the same, new where the mask is white chapter 10

Recipes that agree in all but their prompts and seeds are drawn together, each from a generator of
its own. Built in chapters 9 and 10.
"""

from __future__ import annotations

import copy
import functools
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import FrozenDict
from PIL import Image

from imagegen.latent import as_images, as_tensor, decode, encode
from imagegen.masks import fit, paste_back, whole_cells
from imagegen.models import SMALL, quiet, settings, warn_of_unknown_words
from imagegen.pictures import open_file, to_rgb
from imagegen.recipe import (
    SCHEDULERS,
    SETTINGS,
    Recipe,
    SettingError,
    fingerprint,
    read_recipe,
    unknown_setting,
)

# What diffusers adds to the name of a model's pipeline for each task. AutoPipelineForInpainting and
# its like know the same, and import all pipelines there are.
TASKS = {"text-to-image": "", "image-to-image": "Img2Img", "inpaint": "Inpaint"}


def as_task(pipe: diffusers.DiffusionPipeline, task: str) -> diffusers.DiffusionPipeline:
    """The stock pipeline of another task around the same weights; pipe itself stays as it is.

    task: a key of TASKS. Each pipeline has its own scheduler, which counts the steps of a picture.
    ValueError for a task that is not there, or not for this kind of model.
    """
    if task not in TASKS:
        raise ValueError(f"There is no task {task!r}: use one of {', '.join(TASKS)}.")
    family = type(pipe).__name__.removesuffix("Pipeline")
    family = family.removesuffix("Img2Img").removesuffix("Inpaint")
    kind = getattr(diffusers, f"{family}{TASKS[task]}Pipeline", None)
    if kind is None:
        raise ValueError(f"Diffusers has no pipeline for {task} with {family}.")
    parts = {"scheduler": type(pipe.scheduler).from_config(pipe.scheduler.config)}
    unet = getattr(pipe, "unet", None)
    if task == "inpaint" and unet is not None:
        # Diffusers tells an ordinary U-Net (4) from one made for inpainting (9) by this label
        # alone, and knows no latents of 8 channels. The copy shares every weight.
        if unet.config.in_channels == pipe.vae.config.latent_channels != 4:
            parts["unet"] = copy.copy(unet)
            parts["unet"]._internal_dict = FrozenDict({**unet.config, "in_channels": 4})
    with quiet():
        other = kind.from_pipe(pipe, **parts)
    other.register_to_config(_name_or_path=pipe.name_or_path)
    other.set_progress_bar_config(disable=True)
    return warn_of_unknown_words(other) if model_name(pipe) == SMALL else other


def model_name(pipe: diffusers.DiffusionPipeline) -> str:
    """The last part of the folder or hub id that a pipeline was loaded from."""
    return Path(str(pipe.name_or_path)).name


def scheduler_name(pipe: diffusers.DiffusionPipeline) -> str:
    """The name in SCHEDULERS of the scheduler that a pipeline has, or else its class."""
    kind = type(pipe.scheduler).__name__
    return next((name for name, its in SCHEDULERS.items() if its == kind), kind)


def defaults(pipe: diffusers.DiffusionPipeline) -> dict[str, Any]:
    """The settings that a pipeline's model was made for, in a recipe's names."""
    own = settings(pipe)
    usual = {"steps": 20, "guidance": 7.5, "width": 512, "height": 512}
    made_for = {name: own.get(SETTINGS[name].argument, value) for name, value in usual.items()}
    return {
        "negative_prompt": "",
        "seed": 0,
        **made_for,
        "scheduler": scheduler_name(pipe),
        "model": model_name(pipe),
    }


def recipe_of(pipe: diffusers.DiffusionPipeline, prompt: str, **given: Any) -> Recipe:
    """The recipe of a picture that pipe draws: what is given, else what its model was made for.

    given: settings of Recipe. SettingError, in one sentence, for one that cannot be.
    """
    for name in given:
        if name not in (*SETTINGS, "source", "mask"):
            raise unknown_setting(name, SETTINGS)
    recipe = Recipe(**defaults(pipe) | {"prompt": prompt} | given)
    check_recipe(pipe, recipe)
    return recipe


def check_recipe(pipe: diffusers.DiffusionPipeline, recipe: Recipe) -> None:
    """SettingError, in one sentence, for a recipe that this pipeline cannot draw."""
    if recipe.model != model_name(pipe):
        model = recipe.model or "a model that it does not name"
        raise SettingError(
            "model", f"The recipe is one of {model}, and the pipeline is {model_name(pipe)}."
        )
    if recipe.scheduler not in {*SCHEDULERS, scheduler_name(pipe)}:
        raise SettingError(
            "scheduler",
            f"There is no scheduler {recipe.scheduler!r}: use one of {', '.join(SCHEDULERS)}.",
        )
    factor = getattr(pipe, "vae_scale_factor", 8)
    for name in ("width", "height"):
        replace(SETTINGS[name], multiple=factor).check(name, getattr(recipe, name))


def draw(pipe: diffusers.DiffusionPipeline, recipe: Recipe, **options: Any) -> Image.Image:
    """The picture of one recipe. options: as of draw_recipes()."""
    return next(draw_recipes(pipe, [recipe], **options))[1]


def draw_recipes(
    pipe: diffusers.DiffusionPipeline,
    recipes: Sequence[Recipe],
    batch: int = 8,
    sources: Sequence[Image.Image] = (),
    mask: Image.Image | None = None,
    size: tuple[int, int] | None = None,
    on_step: Callable[[], None] | None = None,
    previews: int = 0,
    on_preview: Callable[[int, int, Image.Image], None] | None = None,
) -> Iterator[tuple[int, Image.Image, float]]:
    """Draw recipes in batches; give (number of the recipe, picture, seconds) as they get ready.

    A picture is, up to rounding, what a call of its own would draw; the pipeline is left as it was.
    sources, mask: pictures of an edit, of any size; several sources begin at the mean of their
    latents, and outside of the white of the mask the first one stays. size: (width, height) of the
    pictures given, to which they are enlarged; the drawn size, or that of the source under a mask,
    if None. on_step: called after each step; what it raises ends the drawing. on_preview: gets
    (number of the recipe, k, picture) for k below previews, the guesses x0_hat on the way.
    ValueError for an edit without its sources, or with others than the recipe names.
    """
    for recipe in recipes:
        check_recipe(pipe, recipe)
        _check_sources(recipe, sources, mask)
    groups: dict[Recipe, list[int]] = {}
    for number, recipe in enumerate(recipes):
        alike = replace(recipe, prompt="", negative_prompt="", seed=0)
        groups.setdefault(alike, []).append(number)
    for alike, members in groups.items():
        for start in range(0, len(members), batch):
            numbers = members[start : start + batch]
            began = time.perf_counter()
            images = _draw_batch(
                pipe, alike, [recipes[n] for n in numbers], sources, mask, on_step, previews,
                lambda i, k, image, numbers=numbers: on_preview(
                    numbers[i], k, _finish(image, sources, mask, size)
                ),
            )  # fmt: skip
            seconds = round((time.perf_counter() - began) / len(numbers), 3)
            for number, image in zip(numbers, images, strict=True):
                yield number, _finish(image, sources, mask, size), seconds


def redraw_file(
    pipe: diffusers.DiffusionPipeline,
    path: str | Path,
    *sources: Image.Image,
    mask: Image.Image | None = None,
) -> Image.Image:
    """Draw the picture of a saved PNG again, from nothing but the recipe inside it.

    sources, mask: for an edit, the pictures that it began with.
    """
    recipe = read_recipe(path)
    with open_file(path) as image:
        size = image.size
    return draw(pipe, recipe, sources=sources, mask=mask, size=size)


def _draw_batch(pipe, alike, recipes, sources, mask, on_step, previews, on_preview):
    """Pictures, in the drawn size, of recipes that are `alike` but for their prompts and seeds."""
    given = alike.arguments() | {"prompt": [recipe.prompt for recipe in recipes]}
    given["generator"] = [torch.Generator().manual_seed(recipe.seed) for recipe in recipes]
    negative = [recipe.negative_prompt for recipe in recipes]
    if any(negative):
        given["negative_prompt"] = negative
    if alike.strength is not None:
        drawn = (alike.width, alike.height)
        given["image"] = [_begin(pipe, sources, drawn)] * len(recipes)
        if mask:
            given["mask_image"] = whole_cells(mask, drawn)
        else:  # the picture says its size
            del given["width"], given["height"]
        pipe = as_task(pipe, "inpaint" if mask else "image-to-image")
    accepted = inspect.signature(type(pipe).__call__).parameters
    for name, setting in SETTINGS.items():
        if setting.argument in set(given) - set(accepted):
            raise SettingError(name, f"{type(pipe).__name__} takes no {name}.")

    with _scheduler(pipe, alike.scheduler), _predictions(pipe.scheduler) as x0_hat:

        def after_step(pipe, i, t, now):
            if on_step:
                on_step()
            total = pipe.num_timesteps
            # The first of P previews comes before half of the time, whatever P.
            shows = [total * (k + 1) // (previews + 2) for k in range(previews)]
            if i + 1 in shows:
                for n, image in enumerate(as_images(decode(pipe.vae, x0_hat()))):
                    on_preview(n, shows.index(i + 1), image)
            return {}

        return pipe(**given, callback_on_step_end=after_step).images


def _check_sources(recipe: Recipe, sources: Sequence[Image.Image], mask: Image.Image | None):
    """ValueError, in one sentence, unless the pictures of an edit are those that it names."""
    edits = recipe.strength is not None
    if edits != bool(sources):
        need = "needs the picture that it began with" if edits else "began with no picture"
        raise ValueError(f"This recipe {need}.")
    if recipe.source and recipe.source != tuple(map(fingerprint, sources)):
        raise ValueError("These are not the pictures that the recipe began with.")
    if recipe.mask and (mask is None or recipe.mask != fingerprint(mask)):
        raise ValueError("This recipe needs the mask that it was drawn with.")


def _begin(pipe, sources: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    """One picture to begin with: of several, the picture of the mean of their latents."""
    pictures = [fit(to_rgb(source), size) for source in sources]
    if len(pictures) == 1:
        return pictures[0]
    latents = encode(pipe.vae, as_tensor(pictures)).mean(0, keepdim=True)
    return as_images(decode(pipe.vae, latents))[0]


def _finish(image, sources, mask, size):
    """The drawn picture in the size asked for; outside of the mask it is the source."""
    size = size or (sources[0].size if mask else image.size)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    if not mask:
        return image
    nearest = Image.Resampling.NEAREST
    return paste_back(fit(to_rgb(sources[0]), size), image, fit(mask, size, nearest))


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


@contextmanager
def _predictions(scheduler) -> Iterator[Callable[[], torch.Tensor]]:
    """While it is open, a function that gives the scheduler's last guess of x0.

    DPM-Solver++ and UniPC keep it; the others answer it beside the next xt.
    """
    step, last = scheduler.step, []

    @functools.wraps(step)
    def watched(*args, **kwargs):
        last[:] = step(*args, **kwargs)
        return tuple(last)

    scheduler.step = watched
    try:
        yield lambda: getattr(scheduler, "model_outputs", last)[-1]
    finally:
        del scheduler.step
