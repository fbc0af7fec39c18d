"""Editing by hand equals the library's; masks, canvases and refusals are exact."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagegen.edit import (
    from_transparent,
    open_picture,
    paste_back,
    redraw,
    steps_run,
    to_transparent,
    widen,
)
from imagegen.models import as_task, load_pipeline
from imagegen.storybook import Scene, draw

PROMPT = "a red castle in a meadow at sunset"


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


@pytest.fixture(scope="module")
def picture():
    return draw(Scene("meadow", "day", "clear", "castle", "red"), seed=1)


@pytest.fixture(scope="module")
def mask():
    white = np.zeros((128, 128), np.uint8)
    white[32:96, 48:112] = 255
    return Image.fromarray(white)


def apart(a, b):
    return np.abs(np.asarray(a, int) - np.asarray(b, int))


def seed(n=0):
    return torch.Generator().manual_seed(n)


@pytest.mark.parametrize("strength", [0.3, 0.75, 1.0])
def test_image_to_image_by_hand_equals_diffusers(pipe, picture, strength):
    given = {"strength": strength, "num_inference_steps": 8, "guidance_scale": 5.0}
    theirs = as_task(pipe, "image-to-image")(PROMPT, picture, generator=seed(), **given).images[0]
    mine = redraw(pipe, PROMPT, picture, strength, 8, 5.0, seed())
    assert apart(mine, theirs).max() <= 1
    assert apart(mine, picture).max() > 10


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_inpainting_by_hand_equals_diffusers(pipe, picture, mask, strength):
    theirs = as_task(pipe, "inpaint")(
        PROMPT, picture, mask, strength=strength, num_inference_steps=8, guidance_scale=5.0,
        height=128, width=128, generator=seed(),
    ).images[0]  # fmt: skip
    mine = redraw(pipe, PROMPT, picture, strength, 8, 5.0, seed(), mask)
    assert apart(mine, theirs).max() <= 1


def test_the_tasks_share_weights_and_leave_the_first_as_it_is(pipe):
    other = as_task(pipe, "inpaint")
    assert other.unet.config.in_channels == 4 and pipe.unet.config.in_channels == 8
    assert other.unet.conv_in.weight is pipe.unet.conv_in.weight
    assert other.scheduler is not pipe.scheduler
    with pytest.raises(ValueError, match="There is no task 'outpaint'"):
        as_task(pipe, "outpaint")


@pytest.mark.parametrize("strength", [0.05, 0.3, 0.5, 1.0])
def test_steps_run_are_those_that_the_library_runs(pipe, picture, strength):
    seen = []

    def count(pipe, step, t, now):
        seen.append(t)
        return now

    as_task(pipe, "image-to-image")(
        PROMPT, picture, strength=strength, num_inference_steps=20, guidance_scale=1,
        callback_on_step_end=count,
    )  # fmt: skip
    assert len(seen) == steps_run(20, strength)


def test_outside_the_mask_changes_until_it_is_pasted_back(pipe, picture, mask):
    edited = redraw(pipe, PROMPT, picture, 1.0, 4, 5.0, seed(), mask)
    outside = np.asarray(mask) == 0
    assert apart(edited, picture)[outside].max() > 0
    pasted = paste_back(picture, edited, mask)
    assert apart(pasted, picture)[outside].max() == 0
    assert apart(pasted, edited)[~outside].max() == 0


def test_the_two_kinds_of_mask_turn_into_each_other(picture, mask):
    openai = to_transparent(picture, mask)
    assert openai.getpixel((64, 64))[3] == 0 and openai.getpixel((0, 0))[3] == 255
    assert (np.asarray(from_transparent(openai)) == np.asarray(mask)).all()
    with pytest.raises(ValueError, match="no transparency"):
        from_transparent(picture)


def test_a_wider_canvas_keeps_the_picture(picture):
    canvas, mask = widen(picture, right=64)
    assert canvas.size == mask.size == (192, 128)
    assert apart(canvas.crop((0, 0, 128, 128)), picture).max() == 0
    assert mask.getpixel((127, 5)) == 0 and mask.getpixel((128, 5)) == 255
    with pytest.raises(ValueError, match="multiples of 8"):
        widen(picture, left=3)


def test_a_bad_picture_is_one_sentence(tmp_path, picture):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    for source, said in (
        (bomb, "bomb.png is no picture, or a damaged one"),
        (tmp_path / "none.png", "There is no file"),
        (broken, "broken.png is no picture, or a damaged one"),
        (None, "NoneType is no picture"),
        (Image.new("RGB", (60, 128)), "60 x 128 pixels; both must be multiples of 8.*56 x 128"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            open_picture(source)
        assert "\n" not in str(error.value)
    picture.save(tmp_path / "good.png")
    assert apart(open_picture(tmp_path / "good.png"), picture).max() == 0


def test_a_strength_that_leaves_no_step_is_one_sentence(pipe, picture):
    for strength in (0, 1.2, -1):
        with pytest.raises(ValueError, match="strength lies above 0"):
            steps_run(20, strength)
    with pytest.raises(ValueError, match="leaves none of 4 steps"):
        redraw(pipe, PROMPT, picture, 0.2, 4)
