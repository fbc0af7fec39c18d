"""The shipped model: stock diffusers runs it, it follows prompts, and its card tells the truth."""

import json
import random

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline

from imagegen.latent import as_tensor
from imagegen.measure import matches, wilson
from imagegen.models import load_pipeline, model_folder, settings
from imagegen.storybook import Scene, caption, draw, random_scene
from imagegen.training import data, vae
from imagegen.training.evaluate import PROMPTS, pictures_of

METRICS = json.loads((model_folder("storybook-sd") / "metrics.json").read_text())
PROMPT = "a cat sitting on a beach at sunset"


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


def noise(seed):
    return torch.Generator().manual_seed(seed)


def test_stock_diffusers_draws_the_same_picture(pipe):
    stock = StableDiffusionPipeline.from_pretrained(model_folder("storybook-sd"))
    stock.set_progress_bar_config(disable=True)
    ours = pipe(PROMPT, generator=noise(1), **settings(pipe)).images[0]
    theirs = stock(PROMPT, generator=noise(1), **settings(pipe)).images[0]
    assert ours == theirs and ours.size == (128, 128)


def test_image_to_image_works_with_the_same_parts(pipe):
    picture = draw(Scene("beach", "day", "clear", "cat", "red"), 3)
    change = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    change.set_progress_bar_config(disable=True)
    little, much = (
        np.asarray(change(PROMPT, image=picture, strength=s, generator=noise(1)).images[0], float)
        for s in (0.2, 0.8)
    )
    original = np.asarray(picture, float)
    assert np.abs(little - original).mean() < np.abs(much - original).mean()


def test_prompts_decide_what_is_drawn(pipe):
    """24 prompts score as the card says, and far better than another picture's prompts."""
    rng = random.Random("test")
    prompts = [caption(random_scene(rng), rng) for _ in range(24)]
    images = pictures_of(pipe, prompts, list(range(24)))
    own, others = (sum(matches(images, p)) for p in (prompts, prompts[1:] + prompts[:1]))
    low, high = wilson(own, 24)
    card = METRICS["fidelity_seen"]
    assert low <= card["high"] and card["low"] <= high
    assert low > wilson(others, 24)[1]


def test_nights_are_dark(pipe):
    """Zero terminal SNR: without it the mean brightness of all pictures is alike."""
    places = ("beach", "meadow", "village")
    day, night = (
        np.mean(
            [np.asarray(i) for i in pictures_of(pipe, [f"a {p} {t}" for p in places], [1, 2, 3])]
        )
        for t in ("at noon", "at night")
    )
    assert night < 0.6 * day


def test_the_autoencoder_is_as_good_as_its_card(pipe, tmp_path):
    fresh = data.pictures(24, 77, tmp_path)
    assert vae.psnr(pipe.vae, fresh) > METRICS["autoencoder_psnr_db"] - 1


def test_latents_have_unit_variance(pipe, tmp_path):
    x = as_tensor(data.pictures(64, 77, tmp_path))
    with torch.inference_mode():
        z = pipe.vae.encode(x).latent_dist.mode() * pipe.vae.config.scaling_factor
    assert 0.85 < z.std() < 1.15


def test_the_card_holds_every_number_of_the_course():
    assert set(METRICS["prompts_right_of_8"]) == set(PROMPTS)
    for name in ("fidelity_seen", "fidelity_held_out"):
        share = METRICS[name]
        assert share["n"] >= 500 and share["low"] <= share["share"] <= share["high"]
        assert sum(some["n"] for some in share["by_subject"].values()) == share["n"]
    assert METRICS["sharpness_n"] == 500 and METRICS["frechet_n"] == 256
    assert 0.6 < METRICS["sharpness"] < METRICS["sharpness_after_autoencoder"] < 1.2
    assert METRICS["oracle_accuracy"]["all"] >= 0.98
    files = [f for f in model_folder("storybook-sd").parent.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 60e6
