"""The studio through its widgets, as a user presses them, with the real server behind it."""

import base64
import html
import io
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from openai import OpenAI
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_describe import OFF_TOPIC

from imagegen.api import start
from imagegen.draw import redraw_file
from imagegen.models import load_pipeline
from imagegen.recipe import LAST_SEED, Recipe, fingerprint, save
from imagegen.storybook import unknown_words
from imagegen.storybook.describe import REFUSAL
from imagegen.studio import Studio
from imagegen.studio.__main__ import main
from imagegen.studio.client import request_picture
from imagegen.studio.form import MOST, Form
from imagegen.studio.view import THEMES, uploaded

PROMPT = "A red castle in a meadow at sunset."


@pytest.fixture(scope="module")
def server():
    with start() as server:
        yield server


@pytest.fixture
def studio(server, tmp_path):
    """A studio with a description and the quickest settings, before the shared server."""
    studio = Studio(server.url, "not-needed", folder=tmp_path)
    quick(studio)
    yield studio
    studio.cancel()


def quick(studio):
    studio.view.text.value, studio.view.form.steps.value = PROMPT, 8
    studio.view.form.seed.value = "3"


def wait_for(seen, seconds=180):
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def settle(studio):
    wait_for(lambda: studio.job is None)


def drawn(studio):
    """Press Draw and wait; the sentence that is said then."""
    studio.view.draw.click()
    settle(studio)
    return said(studio)


def described(studio, theme):
    studio.view.theme.value = theme
    studio.view.describe.click()
    settle(studio)
    return studio.view.text.value


def said(studio):
    return html.unescape(re.sub("<.*?>", "", studio.view.message.value))


def visible(widget):
    return widget.layout.display != "none"


def watch(widget, name="value"):
    """A list that grows by every value the widget gets."""
    values = []
    widget.observe(lambda change: values.append(change.new), name)
    return values


def look(png):
    return Image.open(io.BytesIO(png))


def shown(value):
    """The bytes of the picture in a widget's HTML."""
    return base64.b64decode(re.search(r"base64,([^\"]+)", value)[1])


def in_sight(studio):
    return shown(studio.view.picture.value)


def test_at_first_there_is_a_hint_and_no_picture(studio):
    view = studio.view
    assert "Pick a theme" in said(studio)
    assert visible(view.message) and visible(view.empty)
    assert not any(map(visible, (view.loader, view.result, view.shelf)))


def test_the_themes_fill_the_field_and_each_has_a_description(studio):
    for button in studio.view.themes:
        button.click()
        assert studio.view.theme.value == button.description
    assert [button.description for button in studio.view.themes] == list(THEMES)


def test_a_description_appears_as_it_comes_and_can_be_drawn(studio):
    seen = watch(studio.view.text)
    text = described(studio, "A lighthouse at night")
    assert "lighthouse" in text and unknown_words(text.split(".")[0]) == []
    assert len(seen) > 20 and seen[-1] == text
    assert all(text.startswith(part) for part in seen)


def test_the_same_theme_gives_another_description_and_a_change_keeps_the_rest(studio):
    first = described(studio, "A red lighthouse at night")
    second = described(studio, "A red lighthouse at night")
    assert first != second
    assert "blue" in described(studio, "more blue").split(".")[0]
    assert "lighthouse" in studio.view.text.value


@pytest.mark.parametrize("theme", [theme for theme in OFF_TOPIC if theme.strip()])
def test_what_is_no_theme_is_refused_and_the_text_stays(studio, theme):
    seen = watch(studio.view.text)
    assert described(studio, theme) == PROMPT
    assert said(studio).startswith(REFUSAL) and seen == []


def test_no_theme_and_no_description_are_said(studio):
    described(studio, "  ")
    assert said(studio) == "Pick a theme first, or write one."
    studio.view.text.value = " "
    assert "There is no description yet" in drawn(studio)
    assert studio.client is None  # the server was not even asked


def test_a_picture_comes_with_previews_a_loader_and_its_settings(studio, server):
    view = studio.view
    values, bars, loader = (
        watch(view.picture),
        watch(view.bar),
        watch(view.loader.layout, "display"),
    )
    assert drawn(studio).startswith("Saved as ")
    assert len(values) == 4 and loader == [None, "none"]
    assert [look(shown(value)).size for value in values] == [(128, 128)] * 4
    assert bars == [0.25, 0.5, 0.75]
    (picture,) = studio.pictures
    png = picture.png
    assert png == in_sight(studio) == picture.path.read_bytes()
    assert picture.recipe == Recipe(PROMPT, steps=8, seed=3)
    assert picture.drawn == replace(picture.recipe, prompt="A red castle in a meadow at sunset")
    assert 'alt="A red castle in a meadow at sunset"' in view.picture.value
    line = "Seed 3, 8 steps, guidance 5, DPM-Solver++, drawn at 128 x 128 pixels"
    assert line in view.caption.value and picture.path.name in view.download.value
    assert visible(view.result) and not visible(view.empty)
    client = OpenAI(base_url=server.url, api_key="not-needed")
    given = {"model": "storybook-sd", "prompt": PROMPT, "size": "128x128"}
    same = client.images.generate(**given, extra_body={"seed": 3, "steps": 8, "guidance": 5})
    assert base64.b64decode(same.data[0].b64_json) == png


def test_a_random_seed_is_kept(studio):
    studio.view.form.seed.value = ""
    drawn(studio)
    drawn(studio)
    seeds = [picture.recipe.seed for picture in studio.pictures]
    assert len(set(seeds)) == 2 and all(0 <= seed <= LAST_SEED for seed in seeds)


def test_several_pictures_have_seeds_in_a_row_and_hang_newest_first(studio):
    studio.view.form.count.value = 2
    bars = watch(studio.view.bar)
    drawn(studio)
    assert [picture.recipe.seed for picture in studio.pictures] == [3, 4]
    assert bars == sorted(bars) and max(bars) < 1
    hung = [shown(frame.children[0].value) for frame in studio.view.gallery.children]
    assert hung == [picture.png for picture in reversed(studio.pictures)]


def test_two_clicks_make_one_picture(studio):
    studio.view.draw.click()
    assert studio.view.draw.disabled
    drawn(studio)
    assert len(studio.pictures) == 1 and not studio.view.draw.disabled


def test_cancel_is_at_once_keeps_the_picture_and_frees_the_page(studio):
    drawn(studio)
    before = in_sight(studio)
    studio.view.form.steps.value = 40
    previews = watch(studio.view.picture)
    studio.view.draw.click()
    wait_for(lambda: previews)
    studio.view.cancel.click()
    assert said(studio) == "Cancelled." and not visible(studio.view.loader)
    assert in_sight(studio) == before
    quick(studio)
    assert drawn(studio).startswith("Saved as ")
    assert [picture.recipe.steps for picture in studio.pictures] == [8, 8]


def test_a_picture_of_the_gallery_comes_back_with_its_settings(studio):
    drawn(studio)
    studio.view.form.seed.value, studio.view.form.size.value = "7", "192x128"
    studio.view.text.value = "A cat."
    drawn(studio)
    assert look(in_sight(studio)).size == (192, 128)
    oldest = studio.view.gallery.children[-1].children[1]
    oldest.click()
    assert in_sight(studio) == studio.pictures[0].png
    studio.view.reuse.click()
    assert studio.view.text.value == PROMPT
    assert (studio.view.form.seed.value, studio.view.form.size.value) == ("3", "128x128")
    drawn(studio)
    assert studio.pictures[2].png == studio.pictures[0].png


def test_every_picture_is_a_file_that_is_drawn_again_and_whose_settings_load(studio, server):
    path = re.search(r"Saved as (.*\.png)\.", drawn(studio))[1]
    (picture,) = studio.pictures
    assert Path(path) == picture.path and Path(path).read_bytes() == picture.png
    again = redraw_file(load_pipeline(device="cpu"), path)
    assert again.tobytes() == look(picture.png).convert("RGB").tobytes()
    other = Studio(server.url, "not-needed", folder=studio.folder / "other")
    for _ in range(2):  # the same file twice
        other.view.form.seed.value = ""
        upload(other.view.upload, "mine.png", Path(path).read_bytes())
        assert "settings are in place" in said(other)
        assert other.view.form.recipe(PROMPT, "storybook-sd") == (picture.recipe, 1)
        assert other.view.text.value == picture.drawn.prompt
        assert not other.view.upload.value


def test_a_picture_that_cannot_be_saved_is_said(studio, tmp_path):
    (tmp_path / "taken").write_text("mine")
    studio.folder = tmp_path / "taken"
    assert "The picture cannot be saved: " in drawn(studio) and "is a file" in said(studio)
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_gallery_outlives_the_page(studio, server, tmp_path):
    drawn(studio)
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    (tmp_path / "broken.png").write_text("no picture")
    reloaded = Studio(server.url, "not-needed", folder=tmp_path)
    assert [p.png for p in reloaded.pictures] == [studio.pictures[0].png]
    assert len(reloaded.view.gallery.children) == 1 and not visible(reloaded.view.result)
    reloaded.view.gallery.children[0].children[1].click()
    assert in_sight(reloaded) == studio.pictures[0].png


def test_a_deleted_picture_leaves_the_gallery_and_is_not_lost(studio, tmp_path):
    drawn(studio)
    picture = studio.pictures[0]
    studio.view.delete.click()
    assert studio.pictures == [] and studio.view.gallery.children == ()
    assert not picture.path.exists() and not visible(studio.view.result)
    assert (tmp_path / "deleted" / picture.path.name).read_bytes() == picture.png


def test_vary_draws_the_same_from_another_seed(studio):
    drawn(studio)
    studio.view.text.value = "something else"
    studio.view.vary.click()
    settle(studio)
    first, second = (picture.recipe for picture in studio.pictures)
    assert second == replace(first, seed=second.seed) and second.seed != first.seed


def test_a_picture_is_changed_where_it_is_painted(studio):
    drawn(studio)
    first = studio.pictures[0]
    studio.view.start.click()
    assert visible(studio.view.begin) and studio.view.form.strength in studio.view.begin.children
    mask = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 64, 128))
    file = io.BytesIO()
    mask.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    studio.view.brush.mask = f"data:image/png;base64,{data}"
    studio.view.text.value = "A blue castle in a meadow at sunset."
    studio.view.form.strength.value = 0.9
    drawn(studio)
    edited = studio.pictures[1]
    before, after = (np.asarray(look(p.png).convert("RGB"), int) for p in (first, edited))
    assert abs(after - before)[:, 64:].max() == 0 < abs(after - before)[:, :64].max()
    white = mask.getchannel("A")
    assert edited.recipe.source == (fingerprint(look(first.png)),)
    pipe = load_pipeline(device="cpu")
    again = redraw_file(pipe, edited.path, look(first.png).convert("RGB"), mask=white)
    assert abs(np.asarray(again, int) - after).max() == 0
    studio.view.forget_start.click()
    assert not visible(studio.view.begin) and studio.begun is None


def test_an_uploaded_picture_is_a_start_too(studio):
    file = io.BytesIO()
    Image.new("RGBA", (100, 70), (255, 0, 0, 0)).save(file, "PNG")
    upload(studio.view.start_upload, "mine.png", file.getvalue())
    assert visible(studio.view.begin) and look(studio.begun).size == (100, 70)
    assert drawn(studio).startswith("Saved as ")
    upload(studio.view.start_upload, "x.png", b"no picture")
    assert said(studio).startswith("x.png is no picture")


def test_comparing_draws_four_values_and_a_sheet(studio, tmp_path):
    studio.view.compared.value = "guidance"
    studio.view.compare.click()
    settle(studio)
    assert [picture.recipe.guidance for picture in studio.pictures] == [1, 3, 5, 9]
    assert "guidance 9" in studio.view.caption.value
    (sheet,) = tmp_path.glob("*-compared.png")
    assert look(sheet.read_bytes()).size == look(in_sight(studio)).size > (256, 256)


def test_unknown_words_of_the_first_sentence_are_named(studio):
    assert not visible(studio.view.unknown)
    studio.view.text.value = "A zeppelin on a beach. Thick strokes."
    assert "zeppelin" in studio.view.unknown.value and visible(studio.view.unknown)
    studio.view.text.value = "A cat on a beach. Thick strokes."
    assert not visible(studio.view.unknown)


def test_enter_describes(studio):
    studio.view.theme.value = "a cat"
    studio.view.theme._handle_string_msg(None, {"event": "submit"}, None)
    settle(studio)
    assert "cat" in studio.view.text.value


def upload(widget, name, content):
    file = {"name": name, "content": memoryview(content), "type": "image/png"}
    file |= {"size": len(content), "last_modified": datetime.now()}
    widget.value = (file,)


def test_a_recipe_of_the_course_fills_the_form(studio, tmp_path):
    recipe = Recipe("a cat", seed=9, steps=15, guidance=2.5, guidance_rescale=0.5, height=192)
    path = save(Image.new("RGB", (128, 192)), recipe, tmp_path)
    upload(studio.view.upload, "cat.png", path.read_bytes())
    assert studio.view.text.value == "a cat"
    assert studio.view.form.recipe("a cat", "storybook-sd") == (recipe, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "x.png is no picture, or a damaged one."),
        ("", "x.png carries no recipe"),
        ("a cat\nSteps: 20, Seed: 3, CFG scale: much", "guidance must be a number"),
        ('{"sui_image_params": {"prompt": "a boat"}}', "x.png carries the recipe of another"),
    ],
)
def test_what_cannot_be_loaded_is_said_and_nothing_is_changed(studio, text, sentence):
    before = studio.view.form.recipe("a cat", "storybook-sd"), studio.view.text.value
    data, file = b"no picture", io.BytesIO()
    if text is not None:
        chunks = PngInfo()
        chunks.add_text("parameters", text)
        Image.new("RGB", (8, 8)).save(file, "png", pnginfo=chunks)
        data = file.getvalue()
    upload(studio.view.upload, "x.png", data)
    assert said(studio).startswith(sentence)
    assert before == (studio.view.form.recipe("a cat", "storybook-sd"), studio.view.text.value)


def test_the_upload_of_ipywidgets_7_is_read_too():
    seven = SimpleNamespace(value={"a.png": {"metadata": {}, "content": b"1"}})
    assert uploaded(seven) == ("a.png", b"1") and seven.value == {}


LAST = LAST_SEED - MOST  # the last of several pictures still has a seed of 32 bits


@pytest.mark.parametrize(
    ("seed", "guidance", "count", "wrong"),
    [
        ("", 5, 1, None), (" 12 ", 1, 1, None), (str(LAST), 20, MOST, None),
        ("-1", 5, 1, "seed"), ("1.5", 5, 1, "seed"), ("x", 5, 1, "seed"), ("²", 5, 1, "seed"),
        (str(LAST + 1), 5, 1, "seed"), ("", -0.5, 1, "guidance"), ("", 30.5, 1, "guidance"),
        ("", float("nan"), 1, "guidance"), ("", 5, 0, "pictures"), ("", 5, MOST + 1, "pictures"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_said_in_one_sentence(seed, guidance, count, wrong):
    form = Form(ours=True)
    form.seed.value, form.guidance.value, form.count.value = seed, guidance, count
    if wrong is None:
        assert form.recipe("a cat", "storybook-sd")[1] == count
        return
    with pytest.raises(ValueError, match=wrong) as error:
        form.recipe("a cat", "storybook-sd")
    assert str(error.value).count(". ") == 0


def test_a_wrong_form_asks_nothing_of_the_server(studio):
    studio.view.form.seed.value = "many"
    assert "The seed is a whole number" in drawn(studio)
    assert studio.client is None and studio.pictures == []


def test_a_fault_is_a_sentence_that_keeps_the_picture(studio, server):
    drawn(studio)
    png, client = in_sight(studio), studio.client
    for kind, sentence in (
        ("rate_limit", "The server has too much to do. Try again in 1 s."),
        ("moderation", "The server says: Your request was rejected by the safety system."),
        ("server_error", "The server says: The server had an error"),
        ("timeout", "The server took too long to answer. Try again."),
    ):
        studio.client = client.with_options(timeout=2 if kind == "timeout" else 60)
        server.fail(kind)
        assert drawn(studio).startswith(sentence)
        assert in_sight(studio) == png and visible(studio.view.result)
    assert drawn(studio).startswith("Saved as ") and len(studio.pictures) == 2


def test_a_missing_model_is_said_in_the_words_of_the_server(server):
    studio = Studio(server.url, "not-needed", image_model="dall-e-3", text_model="storybook-sd")
    quick(studio)
    assert drawn(studio).startswith("The server says: The model 'dall-e-3'")
    described(studio, "a cat")
    assert "writes no texts" in said(studio)


def test_the_real_services_models_get_none_of_our_own_parameters(server, tmp_path):
    studio = Studio(server.url, "not-needed", "gpt-image-2", "gpt-6-luna", folder=tmp_path)
    requests = []
    generate = lambda **given: requests.append(given)  # noqa: E731
    recorder = SimpleNamespace(images=SimpleNamespace(generate=generate))
    request_picture(recorder, Recipe(PROMPT, model="gpt-image-2", height=192))
    assert "extra_body" not in requests[0] and requests[0]["quality"] == "medium"
    assert requests[0]["size"] == "1024x1536"
    assert "cat" in described(studio, "a cat")
    studio.view.form.steps.value = 8
    assert drawn(studio).startswith("Saved as ") and len(studio.pictures) == 1


def test_every_quality_is_one_that_the_api_names():
    client = SimpleNamespace(images=SimpleNamespace(generate=lambda **given: given["quality"]))
    recipes = [Recipe("a cat", steps=n, model="gpt-image-2") for n in (8, 20, 40)]
    assert [request_picture(client, recipe) for recipe in recipes] == ["low", "medium", "high"]


def test_a_server_that_is_not_there_is_a_sentence():
    studio = Studio("http://127.0.0.1:9/v1", "not-needed")
    quick(studio)
    assert drawn(studio).startswith("The connection to the server broke off (APIConnectionError).")


def test_its_own_server_dies_in_the_middle_and_the_next_click_starts_another(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    studio = Studio(folder=tmp_path)
    quick(studio)
    assert drawn(studio).startswith("Saved as ")
    png, first = in_sight(studio), studio.server
    studio.view.form.steps.value = 40
    previews = watch(studio.view.picture)
    studio.view.draw.click()
    wait_for(lambda: previews)
    first.process.kill()
    settle(studio)
    assert said(studio).startswith("The connection to the server broke off")
    assert in_sight(studio) == png and len(studio.pictures) == 1
    quick(studio)
    assert drawn(studio).startswith("Saved as ")
    assert studio.server is not first and studio.pictures[1].png == png
    studio.server.stop()
    described(studio, "a cat")
    assert said(studio).startswith("The connection") and studio.view.text.value == PROMPT
    studio.disconnect(studio.client)


def test_the_variable_names_the_server(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "not-needed")
    studio = Studio()
    assert "cat" in described(studio, "a cat")
    assert studio.server is None


def test_the_page_is_a_notebook_of_one_cell(tmp_path, monkeypatch):
    seen = []

    def show(told):
        seen.append((told, nbformat.read(told[0], 4)))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("voila.app.Voila.launch_instance", show)
    main(["--port", "1234", "--no-browser", "--base-url", "http://x/v1"])
    told, notebook = seen[0]
    assert "--port=1234" in told and "--no-browser" in told
    (cell,) = notebook.cells
    made = {}
    exec(cell.source.replace("Studio(**", "made = dict(**"), made)
    assert made["made"]["base_url"] == "http://x/v1"
    assert made["made"]["folder"] == str(tmp_path / "results")


def test_without_voila_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("imagegen.studio.__main__.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="needs Voila: pip install voila$"):
        main([])


def test_the_studio_itself_needs_no_torch():
    code = "import imagegen.studio, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
