"""The known mixture: its draws have its moments, no prediction beats the exact one, and the
score that follows from it is the gradient of the density.
"""

import pytest
import torch

from imagegen.mixture import draw_mixture, exact_eps, log_density, score_from_eps
from imagegen.schedule import add_noise, cumulative, linear_schedule

ALPHA_BAR = cumulative(linear_schedule())
CENTRES = torch.tensor([[-2.0, 0.0], [1.0, 1.0], [1.0, -3.0]])


def test_draws_have_the_moments_of_the_mixture():
    x0 = draw_mixture(CENTRES, 0.5, 20_000, torch.Generator().manual_seed(0))
    variance = CENTRES.var(0, correction=0) + 0.25
    error = (variance / 20_000).sqrt()
    assert ((x0.mean(0) - CENTRES.mean(0)).abs() < 3 * error).all()
    torch.testing.assert_close(x0.var(0), variance, rtol=0.03, atol=0)


@pytest.mark.parametrize("t", [0, 100, 400, 999])
@pytest.mark.parametrize("spread", [0.1, 0.5])
def test_exact_eps_is_the_integral_over_all_noise(t, spread):
    """On a line, E[eps | xt] by summing over a fine lattice of eps, with no formula for it."""
    centres, xt = torch.tensor([[-1.0], [2.0]]), torch.tensor([[-0.8], [0.1], [1.3]])
    left, reach = ALPHA_BAR[t].double(), 20 if t else 400
    eps = torch.linspace(-reach, reach, 400_001, dtype=torch.float64)
    x0 = (xt.double() - (1 - left).sqrt() * eps) / left.sqrt()
    apart = (x0[:, None] - centres.double()) ** 2  # (xt, centre, eps)
    log = torch.logsumexp(-apart / (2 * spread**2), dim=1) - eps**2 / 2
    expected = (log.softmax(1) * eps).sum(1, keepdim=True).float()
    got = exact_eps(xt, t, ALPHA_BAR, centres, spread)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-4)


def test_a_spread_of_zero_is_the_limit_of_small_ones():
    xt = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    limit = exact_eps(xt, 300, ALPHA_BAR, CENTRES, 0)
    torch.testing.assert_close(limit, exact_eps(xt, 300, ALPHA_BAR, CENTRES, 1e-4))


@pytest.mark.parametrize("t", [50, 500, 950])
def test_every_change_of_the_exact_prediction_costs(t):
    generator = torch.Generator().manual_seed(1)
    x0 = draw_mixture(CENTRES, 0.5, 50_000, generator)
    eps = torch.randn(x0.shape, generator=generator)
    xt = add_noise(x0, eps, t, ALPHA_BAR)
    best = exact_eps(xt, t, ALPHA_BAR, CENTRES, 0.5)
    loss = ((best - eps) ** 2).mean()
    changes = [0.9 * best, 1.1 * best, best + 0.1, best - 0.1 * xt, torch.zeros_like(eps), xt]
    assert all(((other - eps) ** 2).mean() > loss for other in changes)


@pytest.mark.parametrize("t", [10, 200, 999])
def test_the_density_sums_to_one_and_is_that_of_the_noisy_draws(t):
    ticks = torch.linspace(-8, 8, 801)
    cell = (ticks[1] - ticks[0]).item() ** 2
    q = log_density(torch.cartesian_prod(ticks, ticks), t, ALPHA_BAR, CENTRES, 0.3).exp()
    assert q.sum().item() * cell == pytest.approx(1, abs=1e-4)
    generator = torch.Generator().manual_seed(2)
    x0 = draw_mixture(CENTRES, 0.3, 50_000, generator)
    xt = add_noise(x0, torch.randn(x0.shape, generator=generator), t, ALPHA_BAR)
    right = torch.cartesian_prod(ticks, ticks)[:, 0] > 0
    share = (xt[:, 0] > 0).float().mean().item()
    assert (q[right].sum() * cell).item() == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("t", [0, 50, 400, 999])
@pytest.mark.parametrize("shape", [(2,), (1, 3, 3)])
def test_the_score_is_the_gradient_of_the_log_density(t, shape):
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(4, *shape, generator=generator)
    xt = torch.randn(20, *shape, generator=generator, requires_grad=True)
    log_density(xt, t, ALPHA_BAR, centres, 0.5).sum().backward()
    eps_hat = exact_eps(xt.detach(), t, ALPHA_BAR, centres, 0.5)
    torch.testing.assert_close(score_from_eps(eps_hat, t, ALPHA_BAR), xt.grad, rtol=1e-3, atol=1e-3)
