"""Sheets of pictures, and recipes that come back from the files exactly as they went in."""

import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sd_parsers import ParserManager

from imagegen import pictures
from imagegen.infotext import read_infotext, write_infotext
from imagegen.pictures import _smallest, film, grid, read_recipe, save

RED = Image.new("RGB", (128, 128), "red")
BLUE = Image.new("RGB", (128, 128), "blue")

FULL = {
    "prompt": 'a "red" cat, on: a beach\nat sunset, é猫',
    "negative_prompt": "snow, rain",
    "seed": 7,
    "steps": 20,
    "guidance": 5.0,
    "scheduler": "DDIMScheduler",
    "model": "storybook-sd",
    "strength": 0.6,
}

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@settings(max_examples=60, deadline=None)
@given(prompt=st.text(), seed=st.integers(0, 2**32 - 1), more=st.dictionaries(st.text(), PLAIN))
def test_recipe_comes_back_as_it_was_saved(folder, prompt, seed, more):
    recipe = {**more, "prompt": prompt, "seed": seed}
    assert read_recipe(save(RED, recipe, folder)) == recipe


@settings(max_examples=200, deadline=None)
@given(
    prompt=PROMPT,
    negative=LINE.filter(bool),
    scheduler=st.text(st.characters(codec="utf-8")).map(str.strip).filter(bool),
    seed=st.integers(0, 2**32 - 1),
    guidance=st.floats(0, 50),
)
def test_infotext_reads_back(prompt, negative, scheduler, seed, guidance):
    recipe = {
        "prompt": prompt,
        "negative_prompt": negative,
        "steps": 20,
        "scheduler": scheduler,
        "guidance": guidance,
        "seed": seed,
    }
    back = read_infotext(write_infotext(recipe, (128, 96), "1.0"))
    assert back == {**recipe, "width": 128, "height": 96, "Version": "imagegen 1.0"}


@settings(max_examples=30, deadline=None)
@given(prompt=st.lists(st.sampled_from(["a cat", "b, c", '"x"', "d: e", "é猫"]), min_size=1))
def test_another_program_reads_the_same(folder, prompt):
    recipe = {**FULL, "prompt": ", ".join(prompt)}
    found = ParserManager().parse(save(RED, recipe, folder))
    (sampler,) = found.samplers
    assert (found.full_prompt, found.full_negative_prompt) == (recipe["prompt"], "snow, rain")
    assert (sampler.name, sampler.model.name) == ("DDIMScheduler", "storybook-sd")
    assert sampler.parameters == {"seed": "7", "steps": "20", "cfg_scale": "5.0"}
    assert found.metadata["Size"] == "128x128"


def test_text_of_other_programs_is_read(tmp_path):
    text = (
        "a castle, (dawn:1.2)\nsecond line\nNegative prompt: fog\nrain\n"
        "Steps: 28, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x768, "
        'Model hash: 45dee52b, Model: dream, Lora hashes: "a: 1, b: 2", Version: v1.10.1'
    )
    chunks = PngInfo()
    chunks.add_text("parameters", text)
    RED.save(tmp_path / "other.png", pnginfo=chunks)
    assert read_recipe(tmp_path / "other.png") == {
        "prompt": "a castle, (dawn:1.2)\nsecond line",
        "negative_prompt": "fog\nrain",
        "steps": 28,
        "scheduler": "Euler a",
        "guidance": 7.0,
        "seed": 965400086,
        "width": 512,
        "height": 768,
        "Model hash": "45dee52b",
        "model": "dream",
        "Lora hashes": "a: 1, b: 2",
        "Version": "v1.10.1",
    }
    assert read_infotext("just words, no: settings") == {"prompt": "just words, no: settings"}


def test_picture_and_name(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    path = save(noise, FULL, tmp_path / "new" / "folder")
    assert Image.open(path).tobytes() == noise.tobytes()
    assert re.fullmatch(r"\d{8}-\d{6}-\d{3}-seed7-a-red-cat-on-a-beach\.png", path.name)
    hostile = save(noise, {"prompt": "../../etc/passwd\0 \ud800"}, tmp_path)
    assert hostile.parent == tmp_path and hostile.name.endswith("-etc-passwd.png")
    assert read_recipe(hostile)["prompt"] == "../../etc/passwd\0 \ud800"
    assert save(noise, {"prompt": "猫"}, tmp_path).name.endswith("-picture.png")


def test_numpy_numbers_and_tuples_are_written_plain(tmp_path):
    path = save(RED, {"prompt": "x", "seed": np.int64(3), "w": (np.float32(0.5),)}, tmp_path)
    assert read_recipe(path) == {"prompt": "x", "seed": 3, "w": [0.5]}
    assert "-seed3-" in path.name


def test_saving_at_the_same_moment_overwrites_nothing(tmp_path, monkeypatch):
    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2030, 1, 2, 3, 4, 5, 6000)

    monkeypatch.setattr(pictures, "datetime", Stopped)
    with ThreadPoolExecutor(8) as pool:
        recipes = [{"prompt": "cat", "seed": 1, "number": number} for number in range(40)]
        paths = list(pool.map(lambda recipe: save(RED, recipe, tmp_path), recipes))
    assert len(set(paths)) == 40
    assert [read_recipe(path) for path in paths] == recipes
    assert (tmp_path / "20300102-030405-006-seed1-cat-40.png").exists()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("a cat", "dict with at least"),
        ({"seed": 1}, "dict with at least"),
        ({"prompt": "x", "seed": None}, "seed is None"),
        ({"prompt": "x", "seed": -1}, "seed is -1"),
        ({"prompt": "x", "seed": 1.5}, "seed is 1.5"),
        ({"prompt": "x", "generator": object()}, "seed instead of a generator"),
        ({"prompt": "x", "loss": float("nan")}, "cannot be written down"),
        ({"prompt": "x", "latents": np.zeros(4)}, "cannot be written down"),
    ],
)
def test_bad_recipe_is_one_sentence_and_no_file(tmp_path, recipe, sentence):
    with pytest.raises(ValueError, match=sentence):
        save(RED, recipe, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_bad_picture_or_folder_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="one PIL picture, not list"):
        save([RED], FULL, tmp_path)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ValueError, match="taken is a file"):
        save(RED, FULL, tmp_path / "taken")
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
        (tmp_path / "damaged.png").write_bytes(data)
        try:
            assert isinstance(read_recipe(tmp_path / "damaged.png")["prompt"], str)
        except ValueError as error:
            assert "\n" not in str(error)


def test_recipe_survives_the_loss_of_our_note(tmp_path):
    with Image.open(save(RED, FULL, tmp_path)) as image:
        chunks = PngInfo()
        chunks.add_text("parameters", image.text["parameters"])
        chunks.add_text("imagegen", "not json")
        image.save(tmp_path / "again.png", pnginfo=chunks)
    back = read_recipe(tmp_path / "again.png")
    assert back == {**FULL, "width": 128, "height": 128, "Version": back["Version"]}


def test_grid_lays_pictures_out_row_by_row():
    sheet = grid([RED, BLUE, BLUE, RED, RED, BLUE], cols=3, width=None)
    assert sheet.size == (3 * 128 + 16, 2 * 128 + 8)
    centres = [[sheet.getpixel((64 + 136 * x, 64 + 136 * y)) for x in range(3)] for y in range(2)]
    red, blue = (255, 0, 0), (0, 0, 255)
    assert centres == [[red, blue, blue], [red, red, blue]]
    assert grid([[RED, BLUE, BLUE], [RED, RED, BLUE]], width=None).tobytes() == sheet.tobytes()


def test_grid_enlarges_by_whole_factors_and_shrinks_to_the_width():
    checks = np.indices((8, 8)).sum(0) % 2 * 255
    large = np.asarray(grid(checks.astype(np.uint8)))
    assert large.shape == (384, 384, 3)
    assert (large[..., 0] == np.kron(checks, np.ones((48, 48)))).all()
    assert grid([RED, BLUE]).size == (2 * 256 + 8, 256)
    huge = Image.new("RGB", (1024, 512))
    assert grid([huge, huge], titles=["a", "b"]).width == 700


def test_grid_labels_leave_the_pictures_whole():
    bare = np.asarray(grid([[RED, BLUE], [BLUE, RED]], width=None))
    labelled = grid(
        [[RED, BLUE], [BLUE, RED]],
        row_labels=["A cat sitting on a beach during sunset", "robot"],
        col_labels=["w = 1", "w = 7.5"],
        width=None,
    )
    corner = np.asarray(labelled)[-bare.shape[0] :, -bare.shape[1] :]
    assert (corner == bare).all()
    margin = np.asarray(labelled)[:, : -bare.shape[1]]
    assert 60 < margin.shape[1] < 140 and margin.min() < 80  # something dark is written there


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        ([], {}, "no picture"),
        ([RED, RED], {"titles": ["one"]}, "1 titles for 2 pictures"),
        ([RED, RED], {"row_labels": ["a", "b"], "cols": 2}, "2 row labels for 1 rows"),
        ([[RED, RED], [RED]], {}, "equally long"),
        (np.zeros((3, 8, 8)), {}, "shape"),
        (np.full((8, 8), 2.0), {}, r"\[0, 1\]"),
        (np.full((8, 8), np.nan), {}, r"\[0, 1\]"),
    ],
)
def test_bad_grid_is_one_sentence(images, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        grid(images, **labels)


def test_shown_pictures_are_stored_small():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    kind, data = _smallest(Image.fromarray(noise))
    assert kind == "image/jpeg" and len(data) < 25_000
    kind, data = _smallest(Image.new("RGB", (128, 128), "red"))
    assert kind == "image/png" and Image.open(io.BytesIO(data)).getpixel((5, 5)) == (255, 0, 0)


def test_show_in_a_notebook_carries_its_alt_text():
    cell = (
        "from PIL import Image\nfrom imagegen.pictures import show\n"
        "red = Image.new('RGB', (128, 128), 'red')\n"
        "show([red, red], titles=['one', 'two'], alt='two red squares')\n"
        "show(red, titles=['three'])"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, kernel_name="python3").execute()
    first, second = notebook.cells[0].outputs
    assert first.output_type == "display_data" and first.data["text/plain"] == "two red squares"
    assert first.metadata["image/png"]["alt"] == "two red squares"
    assert second.metadata["image/png"]["alt"] == "Pictures: three"
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    assert 'alt="two red squares"' in page


def test_a_film_repeats_its_frames_with_one_palette_and_says_what_it_shows(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append((data, more)))
    film([RED, BLUE, RED], "red turns blue and red", ms=90)
    (data, more), picture = shown[0], shown[0][0]["image/gif"]
    assert data["text/plain"] == more["metadata"]["image/gif"]["alt"] == "red turns blue and red"
    with Image.open(io.BytesIO(base64.b64decode(picture))) as movie:
        assert movie.n_frames == 3 and movie.info["loop"] == 0 and movie.info["duration"] == 90
        colours = []
        for k in range(3):
            movie.seek(k)
            colours.append(movie.convert("RGB").getpixel((64, 64)))
    assert colours == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
