"""Latents are those of diffusers' pipelines, and what chapter 7 says of the autoencoder holds."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor

from imagegen.latent import as_images, as_tensor, decode, encode, psnr
from imagegen.models import model_folder
from imagegen.storybook import draw, random_scene


@pytest.fixture(scope="module")
def vae():
    return AutoencoderKL.from_pretrained(model_folder("storybook-sd"), subfolder="vae").eval()


@pytest.fixture(scope="module")
def images():
    rng = random.Random(1)
    return [draw(random_scene(rng), seed=i) for i in range(16)]


@pytest.fixture(scope="module")
def x(images):
    return as_tensor(images)


@pytest.fixture(scope="module")
def z(vae, x):
    return encode(vae, x)


def test_latents_and_pictures_are_those_of_diffusers(vae, images, x, z):
    processor = VaeImageProcessor(vae_scale_factor=8)
    theirs = processor.preprocess(images[:2])
    torch.testing.assert_close(x[:2], theirs)
    with torch.no_grad():
        latents = vae.encode(theirs).latent_dist.mode() * vae.config.scaling_factor
        decoded = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
    torch.testing.assert_close(z[:2], latents, rtol=1e-4, atol=1e-4)
    for ours, other in zip(
        as_images(decode(vae, z[:2])), processor.postprocess(decoded, "pil"), strict=True
    ):
        gap = np.asarray(ours).astype(int) - np.asarray(other)
        assert abs(gap).max() <= 1


def test_shapes_and_the_scale(z):
    assert z.shape == (16, 8, 16, 16)
    assert 0.8 < z.std() < 1.25


def test_the_autoencoder_beats_a_small_picture_of_as_many_numbers(vae, x, z):
    small = F.interpolate(x, size=(26, 26), mode="bicubic", antialias=True)
    back = F.interpolate(small, size=(128, 128), mode="bicubic").clamp(-1, 1)
    gain = psnr(x, decode(vae, z)) - psnr(x, back)
    assert gain.mean() - 2.13 * gain.std() / 4 > 0


def test_psnr_of_a_known_error():
    x = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(psnr(x, x + 0.2), torch.full((2,), 20.0))


def test_bytes_survive_the_way_through_images(images):
    again = as_images(as_tensor(images[:2]))
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=False))


def test_bad_input_gets_one_sentence(vae):
    with pytest.raises(ValueError, match=r"in -1\.\.1: use as_tensor"):
        encode(vae, torch.full((1, 3, 16, 16), 255.0))
    with pytest.raises(ValueError, match=r"must be \(n, 8, h, w\)"):
        decode(vae, torch.zeros(1, 3, 16, 16))


def test_with_a_generator_latents_are_drawn_as_diffusers_draws_them(vae, x):
    mine = encode(vae, x[:1], torch.Generator().manual_seed(3))
    with torch.no_grad():
        drawn = vae.encode(x[:1]).latent_dist.sample(torch.Generator().manual_seed(3))
    assert torch.equal(mine, vae.config.scaling_factor * drawn)
    assert not torch.equal(mine, encode(vae, x[:1]))


def test_no_picture_is_resized_silently(images):
    with pytest.raises(ValueError, match="must have one size, and have 2: resize them"):
        as_tensor([images[0], images[1].resize((64, 64))])
    assert as_tensor([images[0].resize((64, 32))]).shape == (1, 3, 32, 64)
    assert torch.equal(as_tensor([np.asarray(images[0])]), as_tensor([images[0]]))
