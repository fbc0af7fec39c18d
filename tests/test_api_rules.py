"""The rules of the local server by themselves: what a request may say, what is drawn, who waits."""

import asyncio
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pytest
from PIL import Image

from imagegen.api import generate, images, vary
from imagegen.api.catalogue import MODELS, find, served
from imagegen.api.errors import ApiError
from imagegen.api.families import (
    FAMILIES,
    drawn_size,
    read_picture_request,
    readable,
    wrong_size,
)
from imagegen.api.uploads import white_mask
from imagegen.api.worker import Drawing, Worker
from imagegen.masks import to_transparent, whole_cells
from imagegen.recipe import SETTINGS, Recipe

NOVEMBER = date(2026, 11, 24)


def read(call="generations", emulate=False, form=False, **body):
    body = {"model": "storybook-sd", "prompt": "a cat"} | body
    return read_picture_request(body, call, NOVEMBER, emulate, form)


def test_a_model_is_served_until_its_last_day():
    mini = MODELS["gpt-image-1-mini"]
    assert find(mini.id, date(2026, 11, 30), False) is mini
    with pytest.raises(ApiError, match="was shut down on 2026-12-01") as caught:
        find(mini.id, date(2026, 12, 1), False)
    assert caught.value.status == 404
    assert find(mini.id, date(2026, 12, 1), True) is mini
    assert mini in served(date(2026, 11, 30), False)
    assert mini not in served(date(2026, 12, 1), False)


def test_each_family_takes_its_own_sizes():
    assert read(model="gpt-image-1.5", size="1536x1024").answer_size() == (1536, 1024)
    with pytest.raises(ApiError, match="'1024x1536' and 'auto'"):
        read(model="gpt-image-1.5", size="1536x864")
    with pytest.raises(ApiError, match="'1024x1024'.$"):
        read(model="dall-e-2", size="auto", emulate=True)
    assert read(model="dall-e-2", emulate=True).answer_size() == (1024, 1024)
    assert read(model="dall-e-3", emulate=True).answer_size() == (1024, 1024)


@pytest.mark.parametrize(
    "size, why",
    [
        ((1536, 864), None),
        ((3840, 2160), None),
        ((2160, 3840), None),
        ((1024, 640), None),
        ((1000, 1024), "divisible by 16"),
        ((3072, 1008), "1:3 and 3:1"),
        ((3856, 2000), "longer than 3840"),
        ((2560, 2560), None),
        ((3840, 2304), "655,360"),
        ((800, 800), "655,360"),
    ],
    ids=str,
)
def test_sizes_of_the_newer_models(size, why):
    reason = wrong_size(*size, FAMILIES["gpt-image-2"].least_pixels)
    assert (why or "") in (reason or "") and bool(why) == bool(reason)


@pytest.mark.parametrize(
    "size, drawn",
    [
        ((128, 128), (128, 128)),
        ((192, 128), (192, 128)),
        ((1024, 1024), (128, 128)),
        ((1024, 1536), (128, 192)),
        ((256, 256), (128, 128)),
        ((1536, 864), (192, 112)),
        ((3840, 2160), (480, 272)),
    ],
    ids=str,
)
def test_a_picture_is_drawn_at_an_eighth(size, drawn):
    assert drawn_size(size) == drawn


def test_auto_is_the_pictures_own_size_or_the_nearest_in_shape():
    ours, theirs, first = (
        FAMILIES[family].auto_size for family in ("storybook", "gpt-image-2", "gpt-image-1")
    )
    assert ours((192, 128)) == (192, 128)
    assert ours((300, 200)) == (192, 128)
    assert ours((2000, 3100)) == (1024, 1536)
    assert theirs((1536, 864)) == (1536, 864)
    assert theirs((300, 200)) == (1536, 1024)
    assert first((1536, 864)) == (1536, 1024)
    assert (ours(None), theirs(None), first(None)) == ((128, 128), (1024, 1024), (1024, 1024))


def test_a_form_brings_numbers_as_texts_and_json_does_not():
    form = read("edits", form=True, n="2", strength="0.5")
    assert (form.n, form.strength, form.size) == (2, 0.5, "auto")
    assert read("edits", form=True, stream="true").stream
    for name, value in (("n", "2"), ("stream", "true"), ("n", 2.0), ("n", True), ("stream", 1)):
        with pytest.raises(ApiError, match=f"Invalid type for '{name}'"):
            read(**{name: value})


def test_the_last_picture_of_several_still_has_a_seed():
    last = read(n=2, seed=2**32 - 2).recipes((128, 128))
    assert [recipe.seed for recipe in last] == [2**32 - 2, 2**32 - 1]
    with pytest.raises(ApiError, match="Invalid 'seed'"):
        read(n=2, seed=2**32 - 1)
    assert len({read().recipes((128, 128))[0].seed for _ in range(9)}) == 9


def test_every_setting_of_a_recipe_that_the_server_does_not_set_is_a_parameter():
    """A new setting needs no change in the server: its schema is made from the recipe's table."""
    given = {"negative_prompt": "birds", "seed": 7, "steps": 9, "guidance": 2.5}
    given |= {"scheduler": "Euler a"}
    (recipe,) = read(**given).recipes((192, 128))
    assert recipe == Recipe("a cat", **given, width=192, height=128)
    (edit,) = read("edits", strength=0.5, **given).recipes((128, 128), source=("a",), strength=0.9)
    assert edit == Recipe("a cat", **given, strength=0.5, source=("a",))
    ours = {"prompt", "width", "height", "model"} | set(given) | {"strength"}
    for name in SETTINGS.keys() - ours:
        assert name in FAMILIES["storybook"].model_fields
    for name, value in (("scheduler", "Karras"), ("steps", 0), ("guidance", 31), ("seed", -1)):
        with pytest.raises(ApiError, match=f"{name}|Supported values are: 'DPM-Solver"):
            read(**{name: value})


def test_readable_is_the_first_sentences_in_known_words():
    assert readable("A cat on a beach.") == "A cat on a beach"
    assert readable("A red castle. A dragon at night! The mood is calm.") == (
        "A red castle, A dragon at night"
    )
    assert readable("A helicopter at night. A cat.") == "A helicopter at night. A cat."
    assert readable("...") == "..."


def test_transparent_becomes_white():
    white = Image.new("L", (8, 8))
    white.paste(255, (2, 3, 5, 8))
    there_and_back = white_mask(to_transparent(Image.new("RGB", (8, 8)), white))
    assert there_and_back.tobytes() == white.tobytes()
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    palette.info["transparency"] = 1
    assert list(white_mask(palette).tobytes()) == [0, 255]


def test_a_mask_grows_to_whole_places_and_never_vanishes():
    rng = random.Random(0)
    for _ in range(50):
        size = (rng.randrange(64, 400), rng.randrange(64, 400))
        spot = (rng.randrange(size[0]), rng.randrange(size[1]))
        mask = Image.new("L", size)
        mask.putpixel(spot, 255)
        cells = np.asarray(whole_cells(mask, (128, 64)))
        assert (cells > 0).sum() == 64
        x, y = spot[0] * 128 // size[0], spot[1] * 64 // size[1]
        assert cells[y, x] == 255


def failing():
    """A function that draws, and fails at its first call."""
    calls = []

    def draw(recipes, **given):
        calls.append(recipes)
        if len(calls) == 1:
            raise MemoryError("no room for a picture")
        yield 0, Image.new("RGB", (128, 128)), 0.1

    return draw


def drawing():
    return Drawing((Recipe("a cat", seed=1, steps=4),), (128, 128))


def begun(worker):
    job = worker.admit()
    job.begin(drawing())
    return job


def finished(work):
    """What a coroutine gives, in a thread: Playwright, once started, keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, asyncio.wait_for(work, 60)).result()


def test_a_failed_drawing_is_an_error_and_the_next_one_is_drawn():
    async def go():
        worker = Worker(2, failing)
        first, second = begun(worker), begun(worker)
        with pytest.raises(ApiError, match="no room for a picture"):
            [event async for event in first.events()]
        assert [kind async for kind, *_ in second.events()] == ["picture"]
        with pytest.raises(ApiError, match="all 2 places"):
            worker.admit()
        first.leave()
        first.leave()
        worker.admit()

    finished(go())


def cannot_load():
    raise OSError("no weights here")


@pytest.mark.parametrize(
    "load, reason", [(failing, "no room for a picture"), (cannot_load, "no weights here")]
)
def test_a_failure_in_a_stream_is_an_event(load, reason):
    order = images.order_of(read())

    async def go():
        job = begun(Worker(2, load))
        return [event async for event in images.stream(job, order)]

    (event,) = finished(go())
    assert event.startswith("event: error\n") and '"code": "server_error"' in event
    assert reason in event


def test_a_server_that_is_only_imported_needs_no_torch():
    code = "import sys, imagegen.api, imagegen.api.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code]).returncode == 0


def test_the_two_scripts_save_and_never_overwrite(server, tmp_path, capsys):
    options = ["--base-url", server.url, "--out", str(tmp_path), "--seed", "1"]
    for _ in range(2):
        generate.main(["A cat: on a beach", "--quality", "low", *options])
    drawn = sorted(tmp_path.iterdir())
    assert len(drawn) == 2 and drawn[0].read_bytes() == drawn[1].read_bytes()
    assert "a-cat-on-a-beach" in drawn[0].name
    before = drawn[0].read_bytes()
    vary.main([str(drawn[0]), "--n", "2", "--strength", "0.3", *options])
    made = sorted(set(tmp_path.iterdir()) - set(drawn))
    assert len(made) == 2 and drawn[0].read_bytes() == before
    assert all(Image.open(path).size == (128, 128) for path in made)
    assert made[0].read_bytes() != made[1].read_bytes()
    assert capsys.readouterr().out.splitlines()[-2:] == [str(path) for path in made]
    Image.new("RGB", (128, 128)).save(tmp_path / "plain.png")
    for script, words, reason in (
        (vary, ["nothing.png"], "There is no file nothing.png"),
        (vary, [str(tmp_path / "plain.png")], "Say what it shows with --prompt"),
        (generate, ["a cat", "--size", "1x1"], "divisible by 16"),
        (generate, ["a cat", "--base-url", "http://127.0.0.1:9/v1"], "No server answers"),
    ):
        with pytest.raises(SystemExit, match=reason):
            script.main([*options, *words])
