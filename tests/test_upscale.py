"""The upscaler beats bicubic on pictures that it never saw; shrinking is a mean."""

import random

import pytest
import torch

from imagegen.latent import as_tensor, psnr
from imagegen.storybook import draw, random_scene
from imagegen.training import upscaler as training
from imagegen.upscale import Upscaler, bicubic, shrink, upscale


@pytest.fixture(scope="module")
def pictures():
    rng = random.Random("upscale")
    return as_tensor([draw(random_scene(rng, held_out=True), 5000 + i) for i in range(40)])


def test_it_beats_bicubic_on_pictures_it_never_saw(pictures):
    small = shrink(pictures)
    gain = psnr(pictures, upscale(small)) - psnr(pictures, bicubic(small))
    error = 1.96 * gain.std() / len(gain) ** 0.5
    assert gain.mean() - error > 0.5
    assert (gain > 0).float().mean() > 0.9


def test_it_goes_back_to_the_small_picture_more_nearly_than_bicubic(pictures):
    small = shrink(pictures)
    off = [(shrink(large) - small).abs().mean() for large in (upscale(small), bicubic(small))]
    assert off[0] < off[1]


def test_shrinking_is_the_mean_of_squares():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert shrink(x).item() == 7.5 and shrink(x, 2).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    with pytest.raises(ValueError, match="cannot be shrunk by 4"):
        shrink(torch.zeros(1, 3, 30, 32))


def test_any_size_is_enlarged_four_times():
    assert upscale(torch.zeros(1, 3, 10, 24)).shape == (1, 3, 40, 96)


def test_a_step_of_training_lowers_the_loss(pictures):
    torch.manual_seed(0)
    loss = training.Loss(Upscaler(width=8, blocks=1))
    optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
    values = []
    for _ in range(4):
        value = loss(pictures[:4])
        optimizer.zero_grad()
        value.backward()
        assert all(p.grad is not None for p in loss.parameters())
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]
