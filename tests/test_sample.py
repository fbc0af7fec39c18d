"""Sampling equals diffusers' and, with the exact prediction, gives back the known mixture."""

import pytest
import torch
from diffusers import DDPMScheduler

from imagegen.mixture import exact_eps
from imagegen.sample import (
    ddpm_step,
    from_velocity,
    sample,
    velocity,
    visited,
    x0_from_eps,
)
from imagegen.schedule import add_noise, cumulative, linear_schedule

BETA = linear_schedule()
ALPHA_BAR = cumulative(BETA)


@pytest.fixture
def draws():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 1, 8, 8, generator=generator)


@pytest.mark.parametrize("steps", [1000, 50, 7])
def test_each_step_equals_that_of_diffusers(draws, steps):
    x0, eps_hat, _ = draws
    scheduler = DDPMScheduler(1000, trained_betas=BETA.numpy(), clip_sample=False)
    scheduler.set_timesteps(steps)
    alpha_bar, times = scheduler.alphas_cumprod, scheduler.timesteps.tolist()
    pairs = list(zip(times, times[1:] + [-1], strict=True))
    for t, s in pairs[:: max(1, len(pairs) // 20)] + pairs[-2:]:
        xt = add_noise(x0, eps_hat, t, alpha_bar)
        noise = torch.randn(xt.shape, generator=torch.Generator().manual_seed(t))
        theirs = scheduler.step(eps_hat, t, xt, generator=torch.Generator().manual_seed(t))
        ours = ddpm_step(xt, eps_hat, t, s, alpha_bar, noise)
        torch.testing.assert_close(ours, theirs.prev_sample, rtol=0, atol=1e-5)
        x0_hat = x0_from_eps(xt, eps_hat, t, alpha_bar)
        torch.testing.assert_close(x0_hat, theirs.pred_original_sample, rtol=1e-5, atol=1e-5)


def test_the_last_step_adds_no_noise(draws):
    x, eps_hat, noise = draws
    last = ddpm_step(x, eps_hat, 0, -1, ALPHA_BAR, noise)
    torch.testing.assert_close(last, ddpm_step(x, eps_hat, 0, -1, ALPHA_BAR, -noise))
    torch.testing.assert_close(last, x0_from_eps(x, eps_hat, 0, ALPHA_BAR))


def test_every_other_step_adds_the_variance_of_the_posterior(draws):
    x, eps_hat, noise = draws
    for t, s in ((1, 0), (500, 499), (999, 998), (999, 100)):
        up, down = (ddpm_step(x, eps_hat, t, s, ALPHA_BAR, n) for n in (noise, -noise))
        step_beta = 1 - ALPHA_BAR[t].double() / ALPHA_BAR[s].double()
        expected = step_beta * (1 - ALPHA_BAR[s].double()) / (1 - ALPHA_BAR[t].double())
        variance = ((up - down) / 2 / noise).double().median() ** 2
        torch.testing.assert_close(variance, expected, rtol=2e-3, atol=1e-8)


def test_a_step_without_noise_given_draws_its_own(draws):
    x, eps_hat, _ = draws
    one, two = (ddpm_step(x, eps_hat, 500, 499, ALPHA_BAR) for _ in range(2))
    assert not torch.equal(one, two)


def test_with_the_true_noise_one_step_goes_all_the_way(draws):
    x0, eps, _ = draws
    for t in (0, 500, 999):
        xt = add_noise(x0, eps, t, ALPHA_BAR)
        torch.testing.assert_close(x0_from_eps(xt, eps, t, ALPHA_BAR), x0, rtol=0, atol=1e-4)


def test_velocity_is_that_of_diffusers_and_can_be_taken_back(draws):
    x0, eps, _ = draws
    scheduler = DDPMScheduler(1000, trained_betas=BETA.numpy())
    for t in (0, 300, 999):
        v, xt = velocity(x0, eps, t, ALPHA_BAR), add_noise(x0, eps, t, ALPHA_BAR)
        theirs = scheduler.get_velocity(x0, eps, torch.full((4,), t))
        torch.testing.assert_close(v, theirs, rtol=0, atol=1e-5)
        back, noise = from_velocity(xt, v, t, ALPHA_BAR)
        torch.testing.assert_close(back, x0, rtol=0, atol=1e-5)
        torch.testing.assert_close(noise, eps, rtol=0, atol=1e-5)


def test_the_steps_visited_fall_from_the_last_to_the_first():
    assert visited(1000) == list(range(999, -1, -1))
    assert visited(1000, 4) == [999, 666, 333, 0]
    assert visited(1000, 1) == [999]
    for steps in (2, 13, 20, 999):
        times = visited(1000, steps)
        assert len(times) == steps and times == sorted(set(times), reverse=True)
        assert times[0] == 999 and times[-1] == 0
    for steps in (0, 1001):
        with pytest.raises(ValueError, match="steps must lie in 1..1000"):
            visited(1000, steps)


CENTRES = torch.tensor([[-1.5, 0.0], [1.0, 1.0]])


def drawn(steps=None, step=ddpm_step, n=2000):
    def best(x, t):
        return exact_eps(x, t, ALPHA_BAR, CENTRES, 0.2)

    return sample(best, (n, 2), ALPHA_BAR, steps, step, torch.Generator().manual_seed(0))


def spread_of(x):
    """Variance around the nearer centre, and the share of draws that are near the first."""
    near = torch.cdist(x, CENTRES).argmin(1)
    return ((x - CENTRES[near]) ** 2).mean(), (near == 0).double().mean()


def test_with_the_exact_prediction_sampling_gives_back_the_mixture():
    variance, share = spread_of(drawn())
    assert abs(share - 0.5) < 3 * (0.25 / 2000) ** 0.5
    # 4000 numbers: three standard errors of a variance, and 3 % for finite steps.
    assert abs(variance / 0.04 - 1) < 3 * (2 / 4000) ** 0.5 + 0.03


def wrong_steps():
    def noise_kept(x, eps_hat, t, s, alpha_bar, noise):
        x = ddpm_step(x, eps_hat, t, s, alpha_bar, noise)
        return x + 0.1 * noise if s < 0 else x

    def no_noise(x, eps_hat, t, s, alpha_bar, noise):
        return ddpm_step(x, eps_hat, t, s, alpha_bar, 0 * noise)

    def variance_for_its_root(x, eps_hat, t, s, alpha_bar, noise):
        mean = ddpm_step(x, eps_hat, t, s, alpha_bar, 0 * noise)
        return mean + (BETA[t] * noise if s >= 0 else 0)

    def uniform(x, eps_hat, t, s, alpha_bar, noise):
        return ddpm_step(x, eps_hat, t, s, alpha_bar, torch.special.ndtr(noise))

    return [noise_kept, no_noise, variance_for_its_root, uniform]


@pytest.mark.parametrize("step", wrong_steps(), ids=lambda step: step.__name__)
def test_a_wrong_step_does_not_give_back_the_mixture(step):
    variance, share = spread_of(drawn(step=step))
    assert not abs(variance / 0.04 - 1) < 0.15 or not abs(share - 0.5) < 0.05


def test_a_sample_can_be_repeated_and_hears_its_label():
    heard = []

    def model(x, t, label):
        heard.append((t, label.tolist()))
        return x

    label = torch.tensor([3, 8])
    one, two = (
        sample(
            model,
            (2, 1, 8, 8),
            ALPHA_BAR,
            5,
            generator=torch.Generator().manual_seed(4),
            label=label,
        )
        for _ in range(2)
    )
    assert torch.equal(one, two) and not torch.equal(one[0], one[1])
    assert heard[:5] == [(t, [3, 8]) for t in visited(1000, 5)]
