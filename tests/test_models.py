"""The registry, names that mean something or nothing, settings, and words that are not known."""

import json

import pytest
import torch
from diffusers import AutoPipelineForImage2Image, StableDiffusionPipeline
from PIL import Image
from tiny_sd import build

from imagegen.models import MODELS, SMALL, check_prompt, load_pipeline, model_folder, settings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A pipeline of random weights under the small model's name."""
    return build(tmp_path_factory.mktemp("models") / SMALL)


def draw(pipe, prompt, **more):
    seed = torch.Generator().manual_seed(1)
    return pipe(prompt, num_inference_steps=2, generator=seed, **more).images[0]


def test_every_model_has_a_licence_and_an_end_of_fallbacks():
    for name, model in MODELS.items():
        assert model.licence and model.memory > 0 and model.steps >= 1 and model.size % 8 == 0
        assert name == SMALL or model.fallback == SMALL
    assert MODELS[SMALL].fallback is None


def test_folder_loads_as_stock_diffusers_does_without_a_word(tiny, capfd):
    pipe = load_pipeline(tiny, device="cpu")
    picture = draw(pipe, "a red cat")
    heard = capfd.readouterr()
    assert (heard.out, heard.err) == ("", "")
    stock = StableDiffusionPipeline.from_pretrained(tiny)
    stock.set_progress_bar_config(disable=True)
    assert type(pipe) is StableDiffusionPipeline
    assert draw(stock, "a red cat").tobytes() == picture.tobytes()


def test_dtype_is_the_one_asked_for(tiny):
    pipe = load_pipeline(tiny, device="cpu", dtype=torch.bfloat16)
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.bfloat16}
    assert load_pipeline(tiny, device="cpu").unet.dtype == torch.float32


def test_unknown_words_are_told_whenever_they_are_drawn(tiny, capfd):
    pipe = load_pipeline(tiny, device="cpu")
    draw(pipe, "a red zeppelin", negative_prompt="a tuba")
    heard = capfd.readouterr()
    assert "the word zeppelin, so it will not" in heard.out and "the word tuba" in heard.out
    assert heard.out.count("\n") == 2 and heard.err == ""
    draw(pipe, ["a quokka", "a red cat with a tuba"])
    assert "the words quokka, tuba, so they will not" in capfd.readouterr().out


def test_unknown_words_do_not_change_the_picture_or_a_saved_copy(tiny, tmp_path):
    pipe = load_pipeline(tiny, device="cpu")
    pipe.save_pretrained(tmp_path)
    again = StableDiffusionPipeline.from_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["tokenizer"][0] == "transformers"
    assert draw(again, "a zeppelin").tobytes() == draw(pipe, "a zeppelin").tobytes()


def test_check_prompt():
    assert check_prompt("A cat sitting on a beach during sunset") == []
    assert check_prompt("A cat in a zeppelin") == ["zeppelin"]
    assert check_prompt(["a tuba", "a zeppelin"]) == ["tuba", "zeppelin"]
    assert check_prompt("A cat in a zeppelin", "sd-1.5") == [] == check_prompt(None)


def test_settings_follow_the_model_that_was_loaded(tiny, tmp_path):
    pipe = load_pipeline(tiny, device="cpu")
    small = MODELS[SMALL]
    assert settings(pipe) == {
        "num_inference_steps": small.steps,
        "guidance_scale": small.guidance,
        "height": small.size,
        "width": small.size,
    }
    assert settings(AutoPipelineForImage2Image.from_pipe(pipe)) == settings(pipe)
    pipe.save_pretrained(tmp_path / "mine")
    assert settings(load_pipeline(tmp_path / "mine", device="cpu")) == {}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("storybok-sd", "Did you mean storybook-sd?"),
        ("", "use one of storybook-sd, sd-1.5"),
        ("./results/mine", "There is no model './results/mine'"),
        ("a/b/c", "There is no model 'a/b/c'"),
    ],
)
def test_unknown_name_is_one_sentence(name, sentence):
    with pytest.raises(ValueError) as error:
        load_pipeline(name)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_folder_without_or_with_a_damaged_model_is_one_sentence(tiny, tmp_path):
    with pytest.raises(ValueError, match="no model_index.json"):
        load_pipeline(tmp_path)
    pipe = load_pipeline(tiny, device="cpu")
    pipe.save_pretrained(tmp_path / "damaged")
    weights = tmp_path / "damaged" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="could not be loaded") as error:
        load_pipeline(tmp_path / "damaged", device="cpu")
    assert "\n" not in str(error.value)


def test_missing_model_of_the_course_is_one_sentence():
    with pytest.raises(ValueError, match="`make models`"):
        model_folder("storybook-giant")


def test_small_model_draws_its_size_in_few_steps():
    pipe = load_pipeline(SMALL)
    picture = pipe("A cat sitting on a beach during sunset", **settings(pipe)).images[0]
    assert isinstance(picture, Image.Image) and picture.size == (MODELS[SMALL].size,) * 2
    assert len(picture.getcolors(2**16) or []) > 100  # a picture, not one colour
