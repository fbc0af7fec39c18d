"""The pipeline written by hand draws, byte for byte, what the library draws."""

import ast
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from tiny_sd import build

import imagegen.pipeline
from imagegen.models import load_pipeline
from imagegen.pipeline import text_embeddings, text_to_image

SCHEDULERS = ("DDIM", "EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "UniPCMultistep")
SCHEDULERS += ("DPMSolverMultistep", "PNDM", "DDPM")


@pytest.fixture(scope="module")
def pipe():
    return load_pipeline(device="cpu")


def by_library(pipe, prompt, steps, w, seed, negative=None):
    return pipe(
        prompt,
        num_inference_steps=steps,
        guidance_scale=w,
        negative_prompt=negative,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]


@pytest.mark.parametrize(
    ("prompt", "steps", "w", "seed", "negative"),
    [
        ("a cat sitting on a beach at sunset", 20, 5.0, 0, ""),
        ("a red castle in a meadow at noon", 5, 7.5, 1, "night"),
        ("a portrait of a medieval knight", 4, 1.0, 2, ""),
        ("a village in the snow", 3, 0.0, 3, ""),
        ("a dragon", 2, 1.5, 4, ""),
        ("", 1, 5.0, 2**40, ""),
    ],
)
def test_it_equals_the_library_exactly(pipe, prompt, steps, w, seed, negative):
    ours = text_to_image(pipe, prompt, steps, w, seed, negative)
    theirs = by_library(pipe, prompt, steps, w, seed, negative)
    assert ours.size == theirs.size and ours.mode == theirs.mode
    assert ours.tobytes() == theirs.tobytes()
    assert np.asarray(ours).std() > 5


@pytest.mark.parametrize("name", SCHEDULERS)
def test_it_equals_the_library_with_any_scheduler(pipe, name):
    before = pipe.scheduler
    pipe.scheduler = getattr(diffusers, f"{name}Scheduler").from_config(before.config)
    try:
        for w in (1.0, 5.0):
            ours = text_to_image(pipe, "a boat by the sea at night", 5, w, 7)
            theirs = by_library(pipe, "a boat by the sea at night", 5, w, 7)
            assert ours.tobytes() == theirs.tobytes()
    finally:
        pipe.scheduler = before


def test_it_equals_the_library_with_another_model(tmp_path):
    """Other shapes: 4 latent channels, 77 tokens, eps-prediction, DDIM."""
    tiny = load_pipeline(build(tmp_path / "tiny"), device="cpu")
    tiny.image_processor.config.vae_scale_factor = 2
    ours = text_to_image(tiny, "a cat", 4, 3.0, 5)
    assert ours.tobytes() == by_library(tiny, "a cat", 4, 3.0, 5).tobytes()


def test_it_draws_again_after_another_drawing(pipe):
    first = text_to_image(pipe, "a lighthouse at dawn", 4)
    text_to_image(pipe, "a robot", 7, seed=3)
    assert text_to_image(pipe, "a lighthouse at dawn", 4).tobytes() == first.tobytes()


def test_every_text_has_the_same_shape(pipe):
    with torch.no_grad():
        shapes = {tuple(text_embeddings(pipe, t).shape) for t in ("", "a cat", "a cat " * 60)}
    assert shapes == {(1, 32, 128)}


def test_words_beyond_the_limit_change_nothing(pipe):
    long = "a castle in a meadow" + ", beautiful" * 13
    with torch.no_grad():
        cut, other = (text_embeddings(pipe, long + end) for end in (" at night", " at noon"))
        short = text_embeddings(pipe, "a castle in a meadow at night")
    assert torch.equal(cut, other) and not torch.equal(cut, short)


def test_the_whole_of_it_is_short():
    tree = ast.parse(Path(imagegen.pipeline.__file__).read_text(encoding="utf-8"))
    kept = next(node for node in tree.body if getattr(node, "name", "") == "text_to_image")
    assert len(ast.unparse(kept.body[1:]).splitlines()) <= 25


def test_the_numbers_of_stable_diffusion_1_can_be_counted_without_its_weights():
    """The U-Net's and the autoencoder's size as their makers give them: 860 and 84 million."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
        )
    counts = [sum(w.numel() for w in net.parameters()) for net in (unet, vae)]
    assert counts == [859_520_964, 83_653_863]
