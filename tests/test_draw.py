"""Recipes become pictures: those of diffusers, whatever the door, and again from the file alone."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_sd import build

from imagegen.draw import TASKS, as_task, draw, draw_recipes, recipe_of, redraw_file
from imagegen.masks import paste_back
from imagegen.models import load_pipeline, settings
from imagegen.recipe import SCHEDULERS, Recipe, fingerprint, read_recipe, save
from imagegen.storybook import Scene
from imagegen.storybook import draw as paint

PROMPT = "a red castle in a meadow at noon"


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return load_pipeline(str(build(tmp_path_factory.mktemp("models") / "tiny")), device="cpu")


@pytest.fixture(scope="module")
def picture():
    return paint(Scene("meadow", "day", "clear", "castle", "red"), seed=1)


@pytest.fixture(scope="module")
def mask():
    white = Image.new("L", (128, 128), 0)
    white.paste(255, (0, 0, 64, 128))
    return white


def gap(a, b):
    return abs(np.asarray(a, int) - np.asarray(b, int)).max()


def test_a_recipe_draws_what_the_library_draws(pipe):
    recipe = recipe_of(pipe, PROMPT, seed=3, negative_prompt="snow", steps=4)
    theirs = pipe(
        PROMPT, negative_prompt="snow", generator=torch.Generator().manual_seed(3),
        **settings(pipe) | {"num_inference_steps": 4},
    ).images[0]  # fmt: skip
    assert gap(draw(pipe, recipe), theirs) == 0


@pytest.mark.parametrize("masked", [False, True])
def test_an_edit_draws_what_the_library_draws(pipe, picture, mask, masked):
    recipe = recipe_of(pipe, PROMPT, seed=3, steps=5, strength=0.6)
    given = {"image": picture, "strength": 0.6, "num_inference_steps": 5, "guidance_scale": 5.0}
    given |= {"mask_image": mask, "width": 128, "height": 128} if masked else {}
    other = as_task(pipe, "inpaint" if masked else "image-to-image")
    theirs = other(PROMPT, generator=torch.Generator().manual_seed(3), **given).images[0]
    ours = draw(pipe, recipe, sources=[picture], mask=mask if masked else None)
    assert gap(ours, paste_back(picture, theirs, mask) if masked else theirs) == 0


@pytest.mark.parametrize("kind", ["text", "image", "mask", "two sources"])
def test_a_batch_draws_what_single_calls_draw(pipe, picture, mask, kind):
    begun = {
        "text": {},
        "image": {"sources": [picture]},
        "mask": {"sources": [picture], "mask": mask},
        "two sources": {"sources": [picture, picture.rotate(180)]},
    }[kind]
    strength = {} if kind == "text" else {"strength": 0.7}
    recipes = [recipe_of(pipe, PROMPT, seed=n, steps=4, **strength) for n in range(3)]
    together = {n: image for n, image, _ in draw_recipes(pipe, recipes, **begun)}
    assert sorted(together) == [0, 1, 2]
    assert gap(together[2], draw(pipe, recipes[2], **begun)) <= 1
    assert gap(together[1], together[2]) > 10


@pytest.mark.parametrize("edit", [False, True])
@pytest.mark.parametrize("scheduler", [*SCHEDULERS])
def test_every_scheduler_draws_and_is_not_left_behind(tiny, edit, scheduler):
    own, step = tiny.scheduler, tiny.scheduler.step
    begun = {"sources": [Image.new("RGB", (32, 32), "red")]} if edit else {}
    recipe = recipe_of(tiny, "a cat", width=32, height=32, steps=6, scheduler=scheduler)
    seen = []
    image = draw(
        tiny, replace(recipe, strength=0.9) if edit else recipe, **begun,
        previews=2, on_preview=lambda n, k, image: seen.append((n, k, image.size)),
    )  # fmt: skip
    assert image.size == (32, 32) and seen == [(0, 0, (32, 32)), (0, 1, (32, 32))]
    assert tiny.scheduler is own and own.step == step


@pytest.mark.parametrize("scheduler", [*SCHEDULERS])
def test_previews_come_closer_to_the_picture(pipe, scheduler):
    """They are x0_hat of the step just done, for every scheduler."""
    seen = {}
    recipe = recipe_of(pipe, PROMPT, seed=3, steps=8, scheduler=scheduler)
    options = {"previews": 3, "on_preview": lambda n, k, image: seen.update({k: image})}
    image = draw(pipe, recipe, **options)
    assert gap(image, draw(pipe, recipe)) == 0  # looking changes nothing
    apart = [abs(np.asarray(seen[k], float) - np.asarray(image)).mean() for k in range(3)]
    assert apart[0] == max(apart) and apart[2] < 0.75 * apart[0]  # the first is a blur


def test_on_step_is_called_for_every_step_and_may_end_the_drawing(tiny):
    recipe, steps = recipe_of(tiny, "a cat", width=16, height=16, steps=5), []
    draw(tiny, recipe, on_step=lambda: steps.append(1))
    assert len(steps) == 5

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(tiny, recipe, on_step=stop)
    assert draw(tiny, recipe).size == (16, 16)


# -- again from the file alone ---------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", [*SCHEDULERS])
def test_a_picture_is_drawn_again_from_its_file(pipe, tmp_path, scheduler):
    recipe = recipe_of(pipe, PROMPT, seed=3, steps=3, scheduler=scheduler, negative_prompt="snow")
    image = draw(pipe, recipe)
    assert gap(redraw_file(pipe, save(image, recipe, tmp_path)), image) == 0


def test_an_enlarged_edit_under_a_mask_is_drawn_again_from_its_file(pipe, picture, tmp_path):
    """The picture and the mask are of other sizes than what is drawn, and the file of a third."""
    large = picture.resize((200, 300))
    mask = Image.new("L", (200, 300), 0)
    mask.paste(255, (40, 50, 120, 200))
    recipe = recipe_of(
        pipe, PROMPT, seed=4, steps=4, strength=0.8, width=128, height=192,
        source=(fingerprint(large),), mask=fingerprint(mask),
    )  # fmt: skip
    image = draw(pipe, recipe, sources=[large], mask=mask, size=(400, 600))
    assert image.size == (400, 600)
    path = save(image, recipe, tmp_path)
    assert gap(redraw_file(pipe, path, large, mask=mask), image) == 0
    outside = np.asarray(large.resize((400, 600), Image.LANCZOS), int)[450:]
    assert abs(np.asarray(image, int)[450:] - outside).max() == 0
    for sources, other, sentence in (
        ([], None, "needs the picture that it began with"),
        ([picture], mask, "not the pictures that the recipe began with"),
        ([large], None, "needs the mask"),
        ([large], mask.transpose(Image.FLIP_LEFT_RIGHT), "needs the mask"),
    ):
        with pytest.raises(ValueError, match=sentence):
            redraw_file(pipe, path, *sources, mask=other)


# -- one clear sentence ----------------------------------------------------------------------------


def test_what_a_pipeline_cannot_draw_is_one_sentence(pipe, tiny, picture):
    recipe = recipe_of(pipe, PROMPT)
    assert (recipe.steps, recipe.guidance, recipe.model) == (20, 5.0, "storybook-sd")
    for other, sentence in (
        (replace(recipe, model="sd-1.5"), "is one of sd-1.5, and the pipeline is storybook-sd"),
        (replace(recipe, scheduler="Eulr"), "There is no scheduler 'Eulr': use one of DPM-Solver"),
    ):
        with pytest.raises(ValueError, match=sentence):
            draw(pipe, other)
    with pytest.raises(ValueError, match="There is no setting guidence: did you mean guidance?"):
        recipe_of(pipe, PROMPT, guidence=3)
    with pytest.raises(ValueError, match="began with no picture"):
        draw(pipe, recipe, sources=[picture])


# -- tasks -----------------------------------------------------------------------------------------


def test_the_tasks_share_weights_and_leave_the_first_as_it_is(pipe):
    channels = pipe.unet.config.in_channels
    for task in TASKS:
        other = as_task(pipe, task)
        assert other.unet.conv_in.weight is pipe.unet.conv_in.weight
        assert other.scheduler is not pipe.scheduler
        assert other.name_or_path == pipe.name_or_path
        again = as_task(other, "text-to-image")  # and back
        assert type(again) is type(pipe)
    assert pipe.unet.config.in_channels == channels
    with pytest.raises(ValueError, match="There is no task 'outpaint'"):
        as_task(pipe, "outpaint")


def test_every_task_warns_of_unknown_words(pipe, picture, capsys):
    recipe = recipe_of(pipe, "a zeppelin", steps=2, strength=0.9)
    draw(pipe, recipe, sources=[picture])
    assert "never learned the word zeppelin" in capsys.readouterr().out


def test_importing_says_nothing_and_brings_no_other_pipeline():
    code = "import sys, imagegen.draw; print('diffusers.pipelines.auto_pipeline' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_recipe_without_its_own_file_still_says_what_it_is(pipe, tmp_path):
    recipe = recipe_of(pipe, PROMPT, seed=3)
    assert (
        read_recipe(save(Image.new("RGB", (8, 8)), recipe, tmp_path))
        == recipe
        == Recipe(PROMPT, seed=3)
    )


def test_guidance_rescale_is_drawn_and_kept(pipe, picture, tmp_path):
    """A setting is one field of Recipe: the pipeline gets it, and the file gives it back."""
    recipe = recipe_of(pipe, PROMPT, seed=3, steps=4, guidance=9, guidance_rescale=0.7)
    theirs = pipe(
        PROMPT, generator=torch.Generator().manual_seed(3), num_inference_steps=4,
        guidance_scale=9.0, guidance_rescale=0.7, width=128, height=128,
    ).images[0]  # fmt: skip
    image = draw(pipe, recipe)
    assert gap(image, theirs) == 0 and gap(image, draw(pipe, replace(recipe, guidance_rescale=0)))
    assert gap(redraw_file(pipe, save(image, recipe, tmp_path)), image) == 0
    with pytest.raises(ValueError, match="Img2ImgPipeline takes no guidance_rescale"):
        draw(pipe, replace(recipe, strength=0.5), sources=[picture])
