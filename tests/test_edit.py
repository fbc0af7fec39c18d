"""Editing by hand equals the library's; masks, canvases and refusals are exact."""

import numpy as np
import pytest
import torch
from PIL import Image

from imagegen.draw import as_task
from imagegen.edit import mask_tensor, redraw
from imagegen.masks import fit, from_transparent, paste_back, to_transparent, whole_cells, widen
from imagegen.models import load_pipeline
from imagegen.recipe import steps_run
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


def test_a_mask_of_another_size_is_one_sentence(pipe, picture, mask):
    with pytest.raises(ValueError, match=r"The mask is \(64, 64\) and the picture \(128, 128\)"):
        redraw(pipe, PROMPT, picture, 0.5, 4, mask=mask.resize((64, 64)))
    with pytest.raises(ValueError, match="The sizes differ"):
        paste_back(picture, picture, mask.resize((64, 64)))


@pytest.mark.parametrize("mode", ["RGBA", "L", "P"])
def test_a_picture_of_another_mode_is_edited_like_its_colours(pipe, picture, mode):
    other = picture.convert(mode)
    ours = redraw(pipe, PROMPT, other, 0.5, 4, generator=seed())
    plain = redraw(pipe, PROMPT, other.convert("RGB"), 0.5, 4, generator=seed())
    assert ours.tobytes() == plain.tobytes()


def test_a_mask_of_16_bits_is_black_where_it_is_dark():
    deep = np.full((8, 8), 300, np.uint16)
    deep[:, 4:] = 65535
    deep = Image.fromarray(deep)
    assert mask_tensor(deep)[0, 0].tolist() == [[0] * 4 + [1] * 4] * 8
    picture = Image.new("RGB", (8, 8), "red")
    pasted = paste_back(picture, Image.new("RGB", (8, 8), "blue"), deep)
    assert pasted.getpixel((0, 0)) == (255, 0, 0) and pasted.getpixel((7, 0)) == (0, 0, 255)


def test_transparency_of_a_palette_is_a_mask(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((3, 3), 0)
    image.save(tmp_path / "palette.png", transparency=0)
    mask = from_transparent(Image.open(tmp_path / "palette.png"))
    assert mask.getpixel((3, 3)) == 255 and mask.getpixel((0, 0)) == 0


def test_a_thin_mask_takes_whole_places_of_the_latents():
    thin = Image.new("L", (256, 256), 0)
    thin.putpixel((20, 40), 255)
    cells = np.asarray(whole_cells(thin, (128, 128)))
    assert (cells > 0).sum() == 64 and cells[16:24, 8:16].all()
    assert fit(thin, (256, 256)) is thin and fit(thin, (128, 64)).size == (128, 64)


def test_a_strength_that_leaves_no_step_is_one_sentence(pipe, picture):
    for strength in (0, 1.2, -1):
        with pytest.raises(ValueError, match="strength lies above 0"):
            steps_run(20, strength)
    with pytest.raises(ValueError, match="leaves none of 4 steps"):
        redraw(pipe, PROMPT, picture, 0.2, 4)
