"""Recipes: bounds in one sentence, and files that give back exactly what went in."""

import inspect
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import ParserManager

from imagegen import recipe as module
from imagegen.recipe import (
    LAST_SEED,
    SETTINGS,
    Recipe,
    SettingError,
    fingerprint,
    png_bytes,
    read_infotext,
    read_recipe,
    save,
    slug,
    steps_run,
    write_infotext,
    write_new,
    write_once,
)

RED = Image.new("RGB", (128, 128), "red")
FULL = Recipe(
    'a "red" cat, on: a beach\nat sunset, é猫',
    negative_prompt="snow, rain",
    seed=7,
    steps=20,
    guidance=5.0,
    scheduler="DDIM",
)

# What a prompt line may hold without being taken for the next part of the text.
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0")).map(str.strip)
PROMPT = (
    st.lists(LINE.filter(lambda line: not line.startswith("Negative prompt:")), min_size=1)
    .map("\n".join)
    .filter(lambda text: text == text.strip())
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)  # fmt: skip
NOTES = st.dictionaries(
    st.text().filter(lambda name: name not in ("recipe", "imagegen", "saved", "image", "folder")),
    PLAIN,
)
RECIPES = st.builds(
    Recipe,
    prompt=st.text(),
    negative_prompt=st.text(),
    seed=st.integers(0, LAST_SEED),
    steps=st.integers(10, 1000),
    guidance=st.floats(0, 30),
    width=st.integers(1, 512).map(lambda n: 8 * n),
    scheduler=st.text(),
    model=st.text(),
    strength=st.none() | st.floats(0.1, 1),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


# -- files -----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(recipe=RECIPES, notes=NOTES)
def test_a_recipe_comes_back_as_it_was_saved(recipe, notes):
    back = read_recipe(png_bytes(RED, recipe, **notes))
    assert back == recipe
    assert back.notes == notes


@settings(max_examples=100, deadline=None)
@given(recipe=RECIPES)
def test_a_recipe_comes_back_from_its_dict(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@settings(max_examples=200, deadline=None)
@given(
    prompt=PROMPT,
    negative=LINE.filter(bool),
    scheduler=st.text(st.characters(codec="utf-8")).map(str.strip).filter(bool),
    seed=st.integers(0, LAST_SEED),
    guidance=st.floats(0, 30),
)
def test_the_parameters_text_reads_back(prompt, negative, scheduler, seed, guidance):
    recipe = Recipe(prompt, negative, seed, 20, guidance, 128, 96, scheduler)
    assert read_infotext(write_infotext(recipe)) == recipe


@settings(max_examples=30, deadline=None)
@given(prompt=st.lists(st.sampled_from(["a cat", "b, c", '"x"', "d: e", "é猫"]), min_size=1))
def test_another_program_reads_the_same(folder, prompt):
    recipe = Recipe(", ".join(prompt), "snow, rain", seed=7, scheduler="DDIM")
    found = ParserManager().parse(save(RED, recipe, folder))
    (sampler,) = found.samplers
    assert (found.full_prompt, found.full_negative_prompt) == (recipe.prompt, "snow, rain")
    assert (sampler.name, sampler.model.name) == ("DDIM", "storybook-sd")
    assert sampler.parameters == {"seed": "7", "steps": "20", "cfg_scale": "5.0"}
    assert found.metadata["Size"] == "128x128"


def test_an_enlarged_picture_has_one_size_in_both_texts(tmp_path):
    path = save(RED.resize((1024, 1024)), Recipe("a cat"), tmp_path)
    assert "Size: 128x128" in Image.open(path).text["parameters"]
    assert (read_recipe(path).width, Image.open(path).width) == (128, 1024)


def parameters(text, **chunks):
    """The bytes of a PNG with this `parameters` text."""
    info = PngInfo()
    for name, value in {"parameters": text, **chunks}.items():
        info.add_text(name, value)
    file = io.BytesIO()
    RED.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_the_text_of_other_programs_is_read():
    text = (
        "a castle, (dawn:1.2)\nsecond line\nNegative prompt: fog\nrain\n"
        "Steps: 28, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x768, "
        'Model hash: 45dee52b, Model: dream, Lora hashes: "a: 1, b: 2", Version: v1.10.1, '
        "Denoising strength: 0.4"
    )
    back = read_recipe(parameters(text))
    assert back == Recipe(
        "a castle, (dawn:1.2)\nsecond line", "fog\nrain", 965400086, 28, 7.0, 512, 768, "Euler a",
        "dream",
    )  # fmt: skip
    assert back.notes == {
        "Model hash": "45dee52b", "Lora hashes": "a: 1, b: 2", "Version": "v1.10.1",
        "Denoising strength": "0.4",  # there also of an enlarged picture
    }  # fmt: skip
    words = read_infotext("just words, no: settings")
    assert (words.prompt, words.model, words.notes) == ("just words, no: settings", "", {})


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("Steps: 25.0, Seed: 7.0, Size: 128x128", "steps", 25),
        ("Steps: 25.0, Seed: 7.0, Size: 128x128", "seed", 7),
        ("steps: 50, seed: 7, width: 512, height: 768", "steps", 50),
        ("steps: 50, seed: 7, width: 512, height: 768", "height", 768),
        ("Steps: 5, Seed: 7, prompt: evil", "prompt", "a boat"),
        ("Steps: 5, Seed: 7, notes: evil, source: evil", "source", ()),
        ("STEPS: 5, CFG Scale: 3, sampler: DDIM", "guidance", 3.0),
    ],
)
def test_settings_of_other_programs_are_read_and_theirs_kept_apart(line, name, value):
    assert getattr(read_recipe(parameters(f"a boat\n{line}")), name) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"sui_image_params": {"prompt": "a boat"}}', "recipe of another program"),
        ("a boat\nSteps: 1001, Seed: 7, Size: 128x128", "steps must be a whole number from 1 to"),
        ("a boat\nSteps: many, Seed: 7, Size: 128x128", "steps must be .* not 'many'"),
        (
            f"a boat\nSteps: 5, Seed: {2**64}, Size: 8x8",
            "seed must be .* not a number of 16 digits",
        ),
        ("a boat\nSteps: 5, Seed: 7, Size: 100x128", "width must be a multiple of 8"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        read_recipe(parameters(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("note", "right"),
    [
        # what chapter 1, chapter 9, the API and the studio wrote before recipes had a type
        (
            {"prompt": "a cat", "seed": 7, "model": "storybook-sd", "steps": 20, "guidance": 5.0},
            Recipe("a cat", seed=7),
        ),
        (
            {"prompt": "a cat", "seed": 7, "size": "1536x1024", "steps": 8, "guidance": 5},
            Recipe("a cat", seed=7, steps=8, width=192),
        ),
        ({"prompt": "a cat", "seed": 7, "seconds": 0.7, "strength": 0.6},
         Recipe("a cat", seed=7, strength=0.6)),
        ({"prompt": "a cat", "mood": "happy"}, Recipe("a cat")),
    ],
)  # fmt: skip
def test_files_of_earlier_versions_are_read(note, right):
    data = parameters("a cat", imagegen=json.dumps({"recipe": note, "saved": "x", "imagegen": "0"}))
    back = read_recipe(data)
    assert back == right and back.notes["saved"] == "x"
    assert back.notes.get("seconds") == note.get("seconds")


def test_a_recipe_survives_the_loss_of_our_note(tmp_path):
    with Image.open(save(RED, FULL, tmp_path)) as image:
        chunks = PngInfo()
        chunks.add_text("parameters", image.text["parameters"])
        chunks.add_text("imagegen", "not json")
        image.save(tmp_path / "again.png", pnginfo=chunks)
    assert read_recipe(tmp_path / "again.png") == FULL


def test_picture_and_name(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    path = save(noise, FULL, tmp_path / "new" / "folder")
    assert Image.open(path).tobytes() == noise.tobytes()
    assert re.fullmatch(r"\d{8}-\d{6}-\d{3}-seed7-a-red-cat-on-a-beach\.png", path.name)
    hostile = save(noise, Recipe("../../etc/passwd\0 \ud800"), tmp_path)
    assert hostile.parent == tmp_path and hostile.name.endswith("-etc-passwd.png")
    assert read_recipe(hostile).prompt == "../../etc/passwd\0 \ud800"
    assert save(noise, Recipe("猫"), tmp_path).name.endswith("-picture.png")
    assert slug("A red cat!") == "a-red-cat"


@pytest.mark.parametrize("mode", ["CMYK", "PA", "F", "I", "HSV", "YCbCr", "LA", "RGBA", "P", "1"])
def test_a_picture_of_any_mode_is_saved(tmp_path, mode):
    image = RED.convert("LA").convert("PA") if mode == "PA" else RED.convert(mode)
    saved = Image.open(save(image, FULL, tmp_path))
    assert saved.size == RED.size
    if mode in ("CMYK", "HSV", "YCbCr", "RGBA", "P"):
        assert abs(np.asarray(saved.convert("RGB"), int) - np.asarray(RED)).max() <= 3


def test_a_picture_is_saved_upright(tmp_path):
    wide = Image.new("RGB", (16, 8))
    wide.getexif()[0x0112] = 6
    assert Image.open(save(wide, FULL, tmp_path)).size == (8, 16)


def test_the_home_folder_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert save(RED, FULL, "~/labs").parent == tmp_path / "labs"


def test_saving_at_the_same_moment_overwrites_nothing(tmp_path, monkeypatch):
    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2030, 1, 2, 3, 4, 5, 6000)

    monkeypatch.setattr(module, "datetime", Stopped)
    with ThreadPoolExecutor(8) as pool:
        recipes = [Recipe("cat", seed=1, steps=number + 1) for number in range(40)]
        paths = list(pool.map(lambda recipe: save(RED, recipe, tmp_path), recipes))
    assert len(set(paths)) == 40
    assert [read_recipe(path) for path in paths] == recipes
    assert (tmp_path / "20300102-030405-006-seed1-cat-40.png").exists()


def test_new_names_for_files_and_folders(tmp_path):
    (tmp_path / "a.txt").write_text("mine")
    assert write_new(tmp_path, "a", ".txt", b"2").name == "a-2.txt"
    assert [write_new(tmp_path, "lab").name for _ in range(3)] == ["lab", "lab-2", "lab-3"]
    with pytest.raises(FileExistsError):
        write_once(tmp_path / "a.txt", b"other")
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_bad_pictures_recipes_notes_and_folders_are_one_sentence_and_no_file(tmp_path):
    (tmp_path / "taken").write_text("mine")
    for image, recipe, folder, notes, sentence in (
        ([RED], FULL, tmp_path, {}, "One PIL picture can be saved, not list"),
        (RED, {"prompt": "a cat"}, tmp_path, {}, "saved with its Recipe, such as"),
        (RED, FULL, tmp_path, {"generator": object()}, "cannot be written down"),
        (RED, FULL, tmp_path, {"loss": float("nan")}, "cannot be written down"),
        (RED, FULL, tmp_path, {"latents": np.zeros(4)}, "cannot be written down"),
        (RED, FULL, tmp_path / "taken", {}, "taken is a file"),
    ):
        with pytest.raises(ValueError, match=sentence):
            save(image, recipe, folder, **notes)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_damaged_and_foreign_files_are_one_sentence(tmp_path):
    good = save(RED, FULL, tmp_path).read_bytes()
    RED.save(tmp_path / "bare.png")
    RED.save(tmp_path / "bare.jpg")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name in ("bare.png", "bare.jpg"):
        with pytest.raises(ValueError, match="carries no recipe"):
            read_recipe(tmp_path / name)
    for name in ("text.png", "empty.png"):
        with pytest.raises(ValueError, match="no picture, or a damaged one"):
            read_recipe(tmp_path / name)
    for missing in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ValueError, match="no file"):
            read_recipe(missing)
    # Cut or changed anywhere, a file gives its recipe or one sentence.
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(good[: rng.integers(1, len(good) + 1)])
        data[rng.integers(len(data))] ^= 255
        try:
            assert isinstance(read_recipe(bytes(data)).prompt, str)
        except ValueError as error:
            assert "\n" not in str(error)


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, not 0."),
        ({"steps": 1001}, "steps must be a whole number from 1 to 1000, not 1001."),
        ({"steps": True}, "steps must be a whole number from 1 to 1000, not True."),
        ({"steps": 2.5}, "steps must be a whole number from 1 to 1000, not 2.5."),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, not -1."),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, not 4294967296."),
        ({"seed": 10**400}, "seed must be .* not a number of 16 digits or more."),
        ({"seed": None}, "seed must be a whole number"),
        ({"guidance": "high"}, "guidance must be a number from 0 to 30, not 'high'."),
        ({"guidance": float("nan")}, "guidance must be a number from 0 to 30, not nan."),
        ({"guidance": float("inf")}, "guidance must be a number from 0 to 30, not inf."),
        ({"width": 60}, "width must be a multiple of 8, such as 56 or 64, not 60."),
        ({"height": 5000}, "height must be a whole number from 8 to 4096, not 5000."),
        ({"prompt": 7}, "prompt must be a text in quotes, not 7."),
        ({"prompt": ["a"] * 100}, "prompt must be a text in quotes, not .*\\.\\.\\."),
        ({"strength": 0}, "strength lies above 0 and up to 1"),
        ({"strength": 1.5}, "strength must be a number from 0 to 1, not 1.5."),
        ({"strength": 0.2, "steps": 4}, "strength 0.2 leaves none of 4 steps"),
        ({"source": ["00"]}, "A recipe of an edit needs its strength."),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(given, sentence):
    with pytest.raises(SettingError, match=sentence) as error:
        Recipe(**{"prompt": "a cat"} | given)
    assert "\n" not in str(error.value) and len(str(error.value)) < 160
    assert error.value.name in given or error.value.name == "strength"


def test_numbers_of_numpy_are_plain_numbers():
    recipe = Recipe("x", seed=np.int64(3), guidance=np.float32(0.5), steps=np.float64(4.0))
    assert (type(recipe.seed), type(recipe.guidance), type(recipe.steps)) == (int, float, int)
    assert recipe == Recipe("x", seed=3, guidance=0.5, steps=4)


def test_a_recipe_has_the_arguments_of_diffusers():
    from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

    assert Recipe("a cat", seed=3).arguments() == {
        "prompt": "a cat", "num_inference_steps": 20, "guidance_scale": 5.0, "width": 128,
        "height": 128,
    }  # fmt: skip
    known = set()
    for pipeline in (StableDiffusionPipeline, StableDiffusionImg2ImgPipeline):
        known |= set(inspect.signature(pipeline.__call__).parameters)
    assert {s.argument for s in SETTINGS.values() if s.argument} <= known


def test_every_field_is_a_setting_or_says_what_an_edit_began_with():
    assert [f.name for f in fields(Recipe)] == [*SETTINGS, "source", "mask", "notes"]
    for name, setting in SETTINGS.items():
        if setting.kind is not str and name != "strength":
            default = getattr(Recipe("x"), name)
            assert setting.least <= default <= setting.most


@given(strength=st.floats(0.01, 1), steps=st.integers(1, 1000))
def test_steps_run_is_the_whole_part(strength, steps):
    if int(steps * strength):
        assert 1 <= steps_run(steps, strength) <= steps
    else:
        with pytest.raises(SettingError, match="leaves none"):
            steps_run(steps, strength)


def test_a_fingerprint_names_the_pixels_and_not_the_file(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8))
    noise.save(tmp_path / "noise.webp", lossless=True)
    other = noise.copy()
    other.putpixel((3, 3), (0, 0, 0))
    assert fingerprint(Image.open(tmp_path / "noise.webp")) == fingerprint(noise)
    assert fingerprint(other) != fingerprint(noise) != fingerprint(noise.resize((16, 8)))
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(noise))
