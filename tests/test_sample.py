"""Sampling equals diffusers' and, with the exact prediction, gives back the known mixture."""

from functools import partial

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)

from imagegen.mixture import exact_eps
from imagegen.sample import (
    ddim_step,
    ddpm_step,
    dpm_solver,
    dpm_solver_step,
    euler_step,
    even_in_lambda,
    from_velocity,
    heun_step,
    karras_steps,
    nearest_steps,
    sample,
    sigma,
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


def test_the_steps_visited_may_be_given():
    assert visited(1000, [900, 40, 0]) == [900, 40, 0]
    for wrong in ([], [5, 5, 0], [0, 5], [1000, 0], [3, -1]):
        with pytest.raises(ValueError, match="must fall, and lie in 0..999"):
            visited(1000, wrong)


@pytest.mark.parametrize(
    ("spaced", "option"),
    [(even_in_lambda, "use_lu_lambdas"), (karras_steps, "use_karras_sigmas")],
)
def test_spacings_are_those_of_diffusers(spaced, option):
    """Diffusers rounds t between two levels of noise, and may land one step beside ours."""
    for steps in (5, 10, 20):
        theirs = DPMSolverMultistepScheduler(1000, trained_betas=BETA.numpy(), **{option: True})
        theirs.set_timesteps(steps)
        pairs = zip(spaced(ALPHA_BAR, steps), theirs.timesteps.tolist(), strict=True)
        assert all(abs(ours - t) <= 1 for ours, t in pairs)


def test_spacings_go_from_noise_to_data_and_are_even_where_they_say():
    for spaced in (even_in_lambda, karras_steps):
        for steps in (2, 11, 200):
            times = spaced(ALPHA_BAR, steps)
            assert times[0] == 999 and times[-1] == 0 and len(times) <= steps
            assert times == sorted(set(times), reverse=True)
    clock = [-sigma(t, ALPHA_BAR).log().item() for t in even_in_lambda(ALPHA_BAR, 11)]
    gaps = [b - a for a, b in zip(clock, clock[1:], strict=False)]
    assert max(gaps) - min(gaps) < 0.15
    size = [sigma(t, ALPHA_BAR).item() ** (1 / 7) for t in karras_steps(ALPHA_BAR, 11)]
    gaps = [a - b for a, b in zip(size, size[1:], strict=False)]
    assert max(gaps) - min(gaps) < 0.03
    assert nearest_steps(torch.stack([sigma(t, ALPHA_BAR) for t in (3, 700, 3)]), ALPHA_BAR) == [
        700,
        3,
    ]


def test_in_even_steps_of_lambda_dpm_solver_is_far_nearer_than_ddim():
    truth = drawn(500, partial(heun_step, model=best_eps), 300)

    def off(times, step):
        return (drawn(times, step, 300) - truth).abs().mean()

    ddim = off(21, ddim_step)
    assert off(even_in_lambda(ALPHA_BAR, 21), dpm_solver()) < ddim / 5
    assert off(21, dpm_solver()) > ddim / 3


def test_ode_and_sde_take_away_noise_in_the_ratio_of_their_equations():
    """In y, DDPM takes 1 + sigma_s / sigma_t times as much of eps_hat as DDIM: 2 in short steps."""
    one, none = torch.ones(1), torch.zeros(1)
    for t, s in ((500, 499), (500, 100), (999, 20)):
        after, before = one / ALPHA_BAR[s].sqrt(), one / ALPHA_BAR[t].sqrt()
        ddim = after * ddim_step(one, one, t, s, ALPHA_BAR) - before
        ddpm = after * ddpm_step(one, one, t, s, ALPHA_BAR, none) - before
        expected = 1 + sigma(s, ALPHA_BAR) / sigma(t, ALPHA_BAR)
        torch.testing.assert_close((ddpm / ddim)[0], expected, rtol=1e-2, atol=0)


CENTRES = torch.tensor([[-1.5, 0.0], [1.0, 1.0]])


def best_eps(x, t):
    return exact_eps(x, t, ALPHA_BAR, CENTRES, 0.2)


def drawn(steps=None, step=ddpm_step, n=2000):
    return sample(best_eps, (n, 2), ALPHA_BAR, steps, step, torch.Generator().manual_seed(0))


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


def best(x, t):
    return exact_eps(x, int(t), ALPHA_BAR, CENTRES, 0.2)


def start(n=64):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(0))


def walk(step, times, model=best):
    """What our step makes of the start along these times."""
    x = start()
    for t, s in zip(times, times[1:] + [-1], strict=True):
        x = step(x, model(x, t), t, s, ALPHA_BAR)
    return x


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1000, 50, 8])
def test_each_ddim_step_equals_that_of_diffusers(draws, steps, eta):
    # In float64, because in float32 both lose digits where they divide by sqrt(alpha_bar) = 0.006.
    x0, eps_hat, _ = draws.double()
    scheduler = DDIMScheduler(
        1000, trained_betas=BETA.numpy(), clip_sample=False, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    alpha_bar = scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    times = scheduler.timesteps.tolist()
    pairs = list(zip(times, times[1:] + [-1], strict=True))
    for t, s in pairs[:: max(1, len(pairs) // 20)] + pairs[-2:]:
        xt = add_noise(x0, eps_hat, t, alpha_bar)
        noise = torch.randn(xt.shape, generator=torch.Generator().manual_seed(t)).double()
        theirs = scheduler.step(eps_hat, t, xt, eta=eta, variance_noise=noise).prev_sample
        ours = ddim_step(xt, eps_hat, t, s, alpha_bar, eta, noise)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("t", "s"), [(999, 998), (999, 500), (300, 20), (0, -1)])
def test_eta_1_is_ddpm_and_eta_0_uses_no_noise(draws, t, s):
    x, eps_hat, noise = draws
    ours = ddim_step(x, eps_hat, t, s, ALPHA_BAR, 1.0, noise)
    # At t = 999 both divide by 0.006, and the values are in the hundreds.
    torch.testing.assert_close(
        ours, ddpm_step(x, eps_hat, t, s, ALPHA_BAR, noise), rtol=1e-4, atol=1e-4
    )
    one, two = (ddim_step(x, eps_hat, t, s, ALPHA_BAR, 0.0, n) for n in (noise, -noise))
    assert torch.equal(one, two)


def test_a_step_with_eta_draws_its_own_noise_if_none_is_given(draws):
    x, eps_hat, _ = draws
    one, two = (ddim_step(x, eps_hat, 500, 400, ALPHA_BAR, eta=1.0) for _ in range(2))
    assert not torch.equal(one, two)


def test_with_the_true_noise_a_step_lands_where_add_noise_does(draws):
    x0, eps, _ = draws
    xt = add_noise(x0, eps, 700, ALPHA_BAR)
    for step in (ddim_step, euler_step):
        torch.testing.assert_close(
            step(xt, eps, 700, 200, ALPHA_BAR), add_noise(x0, eps, 200, ALPHA_BAR)
        )
        torch.testing.assert_close(step(xt, eps, 700, -1, ALPHA_BAR), x0, rtol=0, atol=1e-5)


def test_euler_is_ddim():
    times = visited(1000, 20)
    torch.testing.assert_close(walk(euler_step, times), walk(ddim_step, times), rtol=0, atol=1e-5)


def schedulers():
    """Those of diffusers, each with our step."""
    given = {"trained_betas": BETA.numpy(), "timestep_spacing": "linspace"}
    # final_sigmas_type: the last step leads to the clean picture, as in the other two.
    dpm = DPMSolverMultistepScheduler(1000, final_sigmas_type="zero", **given)
    return [
        (EulerDiscreteScheduler(1000, **given), euler_step),
        (HeunDiscreteScheduler(1000, **given), partial(heun_step, model=best)),
        (dpm, dpm_solver()),
    ]


@pytest.mark.parametrize("steps", [8, 20, 50])
@pytest.mark.parametrize(("scheduler", "step"), schedulers(), ids=["euler", "heun", "dpm-solver"])
def test_a_whole_walk_equals_that_of_diffusers(scheduler, step, steps):
    times = visited(1000, steps)
    scheduler.set_timesteps(timesteps=times)
    stretched = not isinstance(scheduler, DPMSolverMultistepScheduler)
    x = start() / ALPHA_BAR[999].sqrt() if stretched else start()
    for t in scheduler.timesteps:
        x = scheduler.step(best(scheduler.scale_model_input(x, t), t), t, x).prev_sample
    torch.testing.assert_close(walk(step, times), x, rtol=0, atol=1e-5)


def error(step, steps):
    """How far a sampler ends from where endlessly many steps would have led.

    For one centre the way is known: xt stays as many spreads from the middle as it is.
    """
    centre, spread = CENTRES[:1], 0.2
    one = partial(exact_eps, alpha_bar=ALPHA_BAR, centres=centre, spread=spread)
    if step is heun_step:
        step = partial(heun_step, model=one)
    times, first = visited(1000, steps), ALPHA_BAR[999]
    away = (start() - first.sqrt() * centre) / (first * spread**2 + 1 - first).sqrt()
    return (walk(step, times, one) - (centre + spread * away)).abs().max()


def test_the_error_of_each_sampler_falls_as_its_order_says():
    assert 1.7 < error(ddim_step, 20) / error(ddim_step, 40) < 2.3  # order 1: half the step, half
    assert 3.4 < error(heun_step, 20) / error(heun_step, 40) < 4.6  # order 2: a quarter
    # Even steps of t are long in log SNR near t = 0, which costs 2M its order, not its lead.
    assert error(dpm_solver(), 10) < error(ddim_step, 10) / 4


def test_heun_asks_twice_for_each_step_but_the_last():
    asked = []

    def model(x, t):
        asked.append(int(t))
        return best(x, t)

    sample(model, (4, 2), ALPHA_BAR, 4, partial(heun_step, model=model))
    assert asked == [999, 666, 666, 333, 333, 0, 0]


def test_dpm_solver_begins_anew_with_each_sample():
    step = dpm_solver()
    assert torch.equal(walk(step, visited(1000, 9)), walk(step, visited(1000, 9)))


def test_the_first_step_of_dpm_solver_is_that_of_ddim(draws):
    x, x0_hat, _ = draws
    eps_hat = (x - ALPHA_BAR[700].sqrt() * x0_hat) / (1 - ALPHA_BAR[700]).sqrt()
    torch.testing.assert_close(
        dpm_solver_step(x, x0_hat, 700, 600, ALPHA_BAR),
        ddim_step(x, eps_hat, 700, 600, ALPHA_BAR),
        rtol=0,
        atol=1e-5,
    )


def test_every_sampler_gives_back_the_mixture():
    for step in (ddim_step, partial(ddim_step, eta=1.0), euler_step, dpm_solver()):
        variance, share = spread_of(drawn(400, step))
        assert abs(share - 0.5) < 3 * (0.25 / 2000) ** 0.5
        assert abs(variance / 0.04 - 1) < 0.15, step
