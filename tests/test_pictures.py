"""Sheets of pictures, and the one door by which pictures come in."""

import base64
import io

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from imagegen.pictures import _smallest, film, grid, open_picture, to_rgb

RED = Image.new("RGB", (128, 128), "red")
BLUE = Image.new("RGB", (128, 128), "blue")


def test_grid_lays_pictures_out_row_by_row():
    sheet = grid([RED, BLUE, BLUE, RED, RED, BLUE], cols=3, width=None)
    assert sheet.size == (3 * 128 + 16, 2 * 128 + 8)
    centres = [[sheet.getpixel((64 + 136 * x, 64 + 136 * y)) for x in range(3)] for y in range(2)]
    red, blue = (255, 0, 0), (0, 0, 255)
    assert centres == [[red, blue, blue], [red, red, blue]]
    assert grid([[RED, BLUE, BLUE], [RED, RED, BLUE]], width=None).tobytes() == sheet.tobytes()


def test_grid_enlarges_small_pictures_by_whole_factors_and_shrinks_to_the_width():
    checks = np.indices((8, 8)).sum(0) % 2 * 255
    large = np.asarray(grid(checks.astype(np.uint8)))
    assert large.shape == (384, 384, 3)
    assert (large[..., 0] == np.kron(checks, np.ones((48, 48)))).all()
    assert grid([RED, BLUE]).size == (2 * 346 + 8, 346)  # smoothly, as wide as there is room
    assert grid(RED).size == (384, 384)
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


def test_a_long_word_is_broken_and_runs_into_no_other_title():
    sheet = np.asarray(grid([RED, BLUE], titles=["w" * 80, "猫" * 40], width=None))
    top = sheet[: sheet.shape[0] - 128]
    assert sheet.shape[1] == 2 * 128 + 8
    assert (top[:, 129:135] == 255).all()  # the gap between the two stays empty


# -- the door ------------------------------------------------------------------------------------

SIDES = Image.fromarray(np.kron([[10, 60], [110, 160]], np.ones((16, 16))).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_in_upright(tmp_path, kind, orientation):
    """Orientation k says how the camera was held: the stored picture is turned back by it."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose that undoes it: its inverse
    turned = SIDES if orientation == 1 else SIDES.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.convert("RGB").save(tmp_path / "turned", kind, exif=exif, quality=100)
    for came in (
        open_picture(tmp_path / "turned"),
        grid(Image.open(tmp_path / "turned"), width=None),
    ):
        assert abs(np.asarray(came)[..., 0].astype(int) - np.asarray(SIDES)).max() <= 4


def test_what_is_transparent_shows_the_background():
    hidden = Image.new("RGBA", (8, 8), (0, 255, 0, 0))
    assert open_picture(hidden).getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(hidden, background="black").getpixel((0, 0)) == (0, 0, 0)
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
    assert open_picture(half).getpixel((0, 0)) == (255, 127, 127)
    grey = Image.new("LA", (8, 8), (0, 0))
    palette = hidden.convert("P")
    palette.info["transparency"] = 0
    for image in (grey, Image.new("PA", (8, 8), (0, 0)), palette):
        assert open_picture(image).getpixel((0, 0)) == (255, 255, 255)
    assert grid(hidden, width=None).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_transparency_of_a_file_shows_the_background(tmp_path, kind):
    Image.new("RGBA", (8, 8), (0, 255, 0, 0)).save(tmp_path / "hidden", kind, lossless=True)
    assert open_picture(tmp_path / "hidden").getpixel((3, 3)) == (255, 255, 255)


def test_deep_pictures_keep_their_brightness(tmp_path):
    middle = np.full((8, 8), 32768, np.uint16)
    Image.fromarray(middle).save(tmp_path / "deep.png")
    deep = [
        open_picture(tmp_path / "deep.png"),
        open_picture(Image.fromarray(middle)),
        open_picture(Image.fromarray(middle.astype(np.int32))),
        open_picture(Image.fromarray(np.full((8, 8), 127.6, np.float32))),
        grid(middle, width=None).crop((0, 0, 8, 8)),
    ]
    for image in deep:
        assert abs(np.asarray(image).astype(int) - 128).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "HSV", "LAB", "YCbCr", "PA", "I", "F"])
def test_every_colour_space_comes_in(mode):
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(red, *profiles, outputMode="LAB")
    else:
        image = red.convert("LA").convert("PA") if mode == "PA" else red.convert(mode)
    came = np.asarray(open_picture(image).getpixel((4, 4)), int)
    right = red.convert(mode).convert("RGB").getpixel((4, 4)) if mode in ("1", "L") else None
    right = right or {"PA": (81,) * 3, "I": (81,) * 3, "F": (81,) * 3}.get(mode, (200, 30, 30))
    assert abs(came - right).max() <= 4


def test_a_colour_profile_is_followed_and_a_foreign_one_does_no_harm(tmp_path):
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red.save(tmp_path / "own.png", icc_profile=srgb)
    red.save(tmp_path / "broken.png", icc_profile=b"no profile")
    for name in ("own.png", "broken.png"):
        came = np.asarray(open_picture(tmp_path / name).getpixel((0, 0)), int)
        assert abs(came - (200, 30, 30)).max() <= 1


def test_a_long_note_or_profile_does_not_shut_the_door(tmp_path):
    chunks = PngInfo()
    chunks.add_text("workflow", "x" * 3_000_000, zip=True)
    RED.save(tmp_path / "long.png", pnginfo=chunks, icc_profile=b"p" * 2_000_000)
    assert open_picture(tmp_path / "long.png").getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_is_opened_from_bytes_and_open_files(tmp_path):
    RED.save(tmp_path / "red.png")
    data = (tmp_path / "red.png").read_bytes()
    for source in (str(tmp_path / "red.png"), data, io.BytesIO(data), RED):
        assert open_picture(source).tobytes() == RED.tobytes()


def test_a_bad_picture_is_one_sentence(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    bomb, large = tmp_path / "bomb.png", tmp_path / "large.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    Image.new("1", (10_000, 8_000)).save(large)
    for source, message in (
        (bomb, "bomb.png has far too many pixels|bomb.png has 20000 x 20000 pixels"),
        (large, "large.png has 10000 x 8000 pixels: at most 50,000,000"),
        (tmp_path / "none.png", "There is no file"),
        (tmp_path, "There is no file"),
        (broken, "broken.png is no picture, or a damaged one"),
        (b"no picture", "The file is no picture, or a damaged one"),
        (None, "The file is no picture"),
        (Image.new("RGB", (60, 128)), "60 x 128 pixels; both must be multiples of 8.*56 x 128"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            open_picture(source)
        assert "\n" not in str(error.value)
    assert to_rgb(Image.new("RGB", (60, 128))).size == (60, 128)


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
