"""The schedules against diffusers', and the noise they add against its closed form."""

import math

import diffusers
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from imagegen.schedule import (
    add_noise,
    cosine_schedule,
    cumulative,
    linear_schedule,
    scaled_linear_schedule,
    snr,
    zero_terminal_snr,
)

OURS = {
    "linear": (linear_schedule(), {"beta_start": 1e-4, "beta_end": 0.02}),
    "scaled_linear": (scaled_linear_schedule(), {"beta_start": 0.00085, "beta_end": 0.012}),
    "squaredcos_cap_v2": (cosine_schedule(), {}),
}


def theirs(name, **more):
    return diffusers.DDPMScheduler(beta_schedule=name, **OURS[name][1], **more)


def random_pictures(n=6):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(n, 3, 8, 8, generator=generator) for _ in range(2)]


@pytest.mark.parametrize("name", OURS)
def test_schedules_equal_diffusers(name):
    beta = OURS[name][0]
    assert beta.dtype == torch.float32 and beta.shape == (1000,)
    torch.testing.assert_close(beta, theirs(name).betas, rtol=1e-4, atol=1e-7)
    alpha_bar = cumulative(beta)
    assert alpha_bar.dtype == torch.float32
    torch.testing.assert_close(alpha_bar, theirs(name).alphas_cumprod, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", OURS)
def test_zero_terminal_snr_equals_diffusers_and_ends_in_noise_alone(name):
    beta = zero_terminal_snr(OURS[name][0])
    expected = rescale_zero_terminal_snr(OURS[name][0])
    torch.testing.assert_close(beta, expected, rtol=1e-3, atol=1e-5)
    alpha_bar = cumulative(beta)
    assert alpha_bar[-1] == 0 and snr(alpha_bar)[-1] == 0
    assert alpha_bar[0] == pytest.approx(cumulative(OURS[name][0])[0].item(), abs=1e-6)


@pytest.mark.parametrize("name", OURS)
def test_add_noise_equals_diffusers(name):
    x0, eps = random_pictures()
    alpha_bar, t = cumulative(OURS[name][0]), torch.tensor([0, 1, 250, 500, 998, 999])
    expected = theirs(name).add_noise(x0, eps, t)
    torch.testing.assert_close(add_noise(x0, eps, t, alpha_bar), expected, rtol=0, atol=1e-5)


def test_add_noise_takes_one_step_for_all_or_one_for_each():
    x0, eps = random_pictures(3)
    alpha_bar = cumulative(linear_schedule())
    each = add_noise(x0, eps, torch.tensor([700, 700, 700]), alpha_bar)
    torch.testing.assert_close(add_noise(x0, eps, 700, alpha_bar), each)
    assert add_noise(x0.double(), eps.double(), 700, alpha_bar).dtype == torch.float64


@pytest.mark.parametrize("T", [10, 1000])
@pytest.mark.parametrize("make", [linear_schedule, scaled_linear_schedule, cosine_schedule])
def test_the_chain_and_the_closed_form_have_the_same_moments(make, T):
    """Mean and variance of x_t from x_0, followed exactly, step by step."""
    beta = make(T)
    alpha_bar = cumulative(beta)
    mean, variance = 1.0, 0.0
    for t in range(T):
        mean *= math.sqrt(1 - beta[t].item())
        variance = (1 - beta[t].item()) * variance + beta[t].item()
        assert mean == pytest.approx(alpha_bar[t].sqrt().item(), abs=1e-5)
        assert variance == pytest.approx(1 - alpha_bar[t].item(), abs=1e-5)


@pytest.mark.parametrize("t", [0, 300, 999])
def test_the_moments_of_add_noise_are_within_three_standard_errors(t):
    alpha_bar = cumulative(linear_schedule())
    n = 200_000
    eps = torch.randn(n, generator=torch.Generator().manual_seed(t))
    xt = add_noise(torch.full((n,), 0.7), eps, t, alpha_bar)
    variance = 1 - alpha_bar[t].item()
    error = xt.mean().item() - 0.7 * alpha_bar[t].sqrt().item()
    assert abs(error) < 3 * math.sqrt(variance / n)
    assert abs(xt.var().item() / variance - 1) < 3 * math.sqrt(2 / n)


def test_variance_one_stays_one():
    generator = torch.Generator().manual_seed(1)
    x0, eps = (torch.randn(200_000, generator=generator) for _ in range(2))
    for t in (0, 100, 500, 999):
        xt = add_noise(x0, eps, t, cumulative(linear_schedule()))
        assert abs(xt.var().item() - 1) < 3 * math.sqrt(2 / len(xt))


def test_snr_is_the_ratio_of_the_two_variances_and_only_falls():
    alpha_bar = torch.tensor([0.5, 0.2])
    torch.testing.assert_close(snr(alpha_bar), torch.tensor([1.0, 0.25]))
    for beta, _ in OURS.values():
        assert snr(cumulative(beta)).diff().max() < 0


def test_what_is_left_of_a_picture_at_the_last_step():
    """0.6 % of the amplitude for DDPM's schedule, 6.8 % for Stable Diffusion's."""
    assert cumulative(linear_schedule())[-1].sqrt().item() == pytest.approx(0.0064, abs=1e-4)
    assert cumulative(scaled_linear_schedule())[-1].sqrt().item() == pytest.approx(0.0683, abs=1e-4)


def test_a_single_picture_may_get_several_steps():
    x0, eps = random_pictures(1)
    alpha_bar = cumulative(linear_schedule())
    several = add_noise(x0, eps, torch.tensor([0, 500, 999]), alpha_bar)
    assert several.shape == (3, 3, 8, 8)
    torch.testing.assert_close(several[1:2], add_noise(x0, eps, 500, alpha_bar))


PAIR = torch.zeros(2, 3)
ALPHA_BAR = cumulative(linear_schedule())


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: cumulative(linear_schedule(end=2)), ValueError, "each must lie in 0..1"),
        (lambda: cumulative(torch.tensor([0.1, -0.1])), ValueError, "each must lie in 0..1"),
        (lambda: add_noise(PAIR, torch.zeros(2, 4), 0, ALPHA_BAR), ValueError, "randn_like"),
        (lambda: add_noise(PAIR, PAIR, 1000, ALPHA_BAR), IndexError, "0..999"),
        (lambda: add_noise(PAIR, PAIR, -1, ALPHA_BAR), IndexError, "0..999"),
        (lambda: add_noise(PAIR, PAIR, torch.tensor([0, -1]), ALPHA_BAR), IndexError, "0..999"),
    ],
)
def test_bad_input_gets_one_sentence(call, error, says):
    with pytest.raises(error, match=says) as caught:
        call()
    assert "\n" not in str(caught.value)
