"""From noise to a picture: predict the noise, take a part of it away, and again.

    x0_hat = (xt - sqrt(1 - alpha_bar[t]) eps_hat) / sqrt(alpha_bar[t])

A step leads from t to s, the next smaller step that is visited, and s = -1 means clean
(alpha_bar = 1). Built in chapters 4 and 5.
"""

import torch


def x0_from_eps(xt, eps_hat, t, alpha_bar):
    """The clean picture that xt would come from, if eps_hat were its noise; t is one step."""
    alpha_bar_t = alpha_bar[t]
    return (xt - (1 - alpha_bar_t).sqrt() * eps_hat) / alpha_bar_t.sqrt()


def velocity(x0, eps, t, alpha_bar):
    """v of a picture and its noise (Salimans & Ho 2022): a third thing to predict."""
    alpha_bar_t = alpha_bar[t]
    return alpha_bar_t.sqrt() * eps - (1 - alpha_bar_t).sqrt() * x0


def from_velocity(xt, v_hat, t, alpha_bar):
    """x0_hat and eps_hat that belong to a predicted v."""
    alpha_bar_t = alpha_bar[t]
    x0_hat = alpha_bar_t.sqrt() * xt - (1 - alpha_bar_t).sqrt() * v_hat
    eps_hat = (1 - alpha_bar_t).sqrt() * xt + alpha_bar_t.sqrt() * v_hat
    return x0_hat, eps_hat


def ddpm_step(x, eps_hat, t, s, alpha_bar, noise=None):
    """One step of DDPM: draw x_s from q(x_s | x_t, x0_hat) (Ho et al. 2020, eq. 6, 7, Alg. 2).

    noise: from N(0, 1), of the shape of x; drawn here if not given, and not used where s = -1.
    """
    alpha_bar_t = alpha_bar[t]
    alpha_bar_s = alpha_bar[s] if s >= 0 else torch.ones(())
    alpha = alpha_bar_t / alpha_bar_s
    x0_hat = (x - (1 - alpha_bar_t).sqrt() * eps_hat) / alpha_bar_t.sqrt()
    to_x0 = alpha_bar_s.sqrt() * (1 - alpha) / (1 - alpha_bar_t)
    to_x = alpha.sqrt() * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    mean = to_x0 * x0_hat + to_x * x
    if s < 0:
        return mean
    noise = torch.randn_like(x) if noise is None else noise
    variance = (1 - alpha) * (1 - alpha_bar_s) / (1 - alpha_bar_t)
    return mean + variance.sqrt() * noise


def visited(T, steps=None):
    """The steps to visit, falling from T - 1 to 0 as evenly as whole numbers allow.

    steps: how many, all of them if None; or the steps themselves as a falling list.
    """
    steps = T if steps is None else steps
    if isinstance(steps, list):
        falling = all(t > s for t, s in zip(steps, steps[1:], strict=False))
        if not steps or not falling or steps[0] >= T or steps[-1] < 0:
            raise ValueError(f"The steps to visit must fall, and lie in 0..{T - 1}: {steps}.")
        return steps
    if not 1 <= steps <= T:
        raise ValueError(f"steps must lie in 1..{T}, the steps of training, and not be {steps}.")
    return torch.linspace(T - 1, 0, steps).round().int().tolist()


def sample(model, shape, alpha_bar, steps=None, step=ddpm_step, generator=None, label=None):
    """New samples of this shape (n, ...), from pure noise; steps=None visits every t.

    steps: how many, spaced evenly in t, or a falling list of them, as from even_in_lambda().
    model: called as model(x, t), or model(x, t, label) where labels (n,) are given.
    """
    times = visited(len(alpha_bar), steps)
    x = torch.randn(shape, generator=generator)
    with torch.inference_mode():
        for t, s in zip(times, times[1:] + [-1], strict=True):
            eps_hat = model(x, t) if label is None else model(x, t, label)
            noise = torch.randn(shape, generator=generator)
            x = step(x, eps_hat, t, s, alpha_bar, noise=noise)
    return x


def ddim_step(x, eps_hat, t, s, alpha_bar, eta=0.0, noise=None):
    """One step of DDIM (Song et al. 2021, eq. 12): to x0_hat, and back out with the same noise.

    eta: how much of that noise is drawn anew; 0 draws none, 1 is DDPM. noise: from N(0, 1), of
    the shape of x; drawn here if needed and not given.
    """
    alpha_bar_t = alpha_bar[t]
    alpha_bar_s = alpha_bar[s] if s >= 0 else torch.ones(())
    x0_hat = x0_from_eps(x, eps_hat, t, alpha_bar)
    alpha = alpha_bar_t / alpha_bar_s
    variance = eta**2 * (1 - alpha_bar_s) / (1 - alpha_bar_t) * (1 - alpha)
    to_eps = (1 - alpha_bar_s - variance).clamp(min=0).sqrt()
    x = alpha_bar_s.sqrt() * x0_hat + to_eps * eps_hat
    if eta == 0 or s < 0:
        return x
    noise = torch.randn_like(x) if noise is None else noise
    return x + variance.sqrt() * noise


def sigma(t, alpha_bar):
    """Noise for one part of picture: the spread of xt / sqrt(alpha_bar[t]) around x0; 0 for -1."""
    alpha_bar_t = alpha_bar[t] if t >= 0 else torch.ones(())
    return ((1 - alpha_bar_t) / alpha_bar_t).sqrt()


def nearest_steps(sigmas, alpha_bar):
    """The steps t whose noise comes nearest to each of these sigmas, each step once, falling."""
    of_each = ((1 - alpha_bar) / alpha_bar).sqrt().log()
    times = (sigmas.log()[:, None] - of_each).abs().argmin(1).tolist()
    return sorted(set(times), reverse=True)


def even_in_lambda(alpha_bar, steps):
    """At most so many steps from T - 1 to 0, spaced evenly in lambda = -log sigma (Lu et al. 2022).

    Fewer where two of them would fall on one whole step.
    """
    most, least = sigma(len(alpha_bar) - 1, alpha_bar), sigma(0, alpha_bar)
    sigmas = torch.linspace(most.log(), least.log(), steps).exp()
    return nearest_steps(sigmas, alpha_bar)


def karras_steps(alpha_bar, steps, rho=7.0):
    """As even_in_lambda(), but spaced evenly in sigma ** (1 / rho) (Karras et al. 2022, eq. 5).

    rho = 1 spaces evenly in sigma; the larger rho, the more steps have little noise.
    """
    most, least = sigma(len(alpha_bar) - 1, alpha_bar), sigma(0, alpha_bar)
    sigmas = torch.linspace(most ** (1 / rho), least ** (1 / rho), steps) ** rho
    return nearest_steps(sigmas, alpha_bar)


def euler_step(x, eps_hat, t, s, alpha_bar, noise=None):
    """One step of Euler's method for dy/dsigma = eps_hat, with y = xt / sqrt(alpha_bar[t]).

    The equation is that of Song et al. 2021, eq. 14. No noise is used.
    """
    alpha_bar_s = alpha_bar[s] if s >= 0 else torch.ones(())
    y = x / alpha_bar[t].sqrt()
    y = y + (sigma(s, alpha_bar) - sigma(t, alpha_bar)) * eps_hat
    return alpha_bar_s.sqrt() * y


def heun_step(x, eps_hat, t, s, alpha_bar, noise=None, *, model):
    """One step of Heun's method (Karras et al. 2022, Alg. 1): Euler's, then the mean of two slopes.

    model(x, t) is asked once more, where Euler's step ends, except for s = -1. Use it as
    sample(..., step=partial(heun_step, model=model)). No noise is used.
    """
    tried = euler_step(x, eps_hat, t, s, alpha_bar)
    if s < 0:
        return tried
    return euler_step(x, (eps_hat + model(tried, s)) / 2, t, s, alpha_bar)


def dpm_solver_step(x, x0_hat, t, s, alpha_bar, before=None):
    """One step of DPM-Solver++(2M) (Lu et al. 2022, Alg. 2), with predictions of x0.

    before: x0_hat and t of the step before; without it, and for s = -1, the step is DDIM's.
    """
    if s < 0:
        return x0_hat
    shrink = sigma(s, alpha_bar) / sigma(t, alpha_bar)
    if before is not None:
        x0_before, t_before = before
        ahead = shrink.log() / (sigma(t, alpha_bar) / sigma(t_before, alpha_bar)).log()
        x0_hat = x0_hat + ahead / 2 * (x0_hat - x0_before)
    shrink = shrink * (alpha_bar[s] / alpha_bar[t]).sqrt()
    return shrink * x + (alpha_bar[s].sqrt() - shrink * alpha_bar[t].sqrt()) * x0_hat


def dpm_solver():
    """A step of DPM-Solver++(2M) for sample(), which remembers the prediction before."""
    before = None

    def step(x, eps_hat, t, s, alpha_bar, noise=None):
        nonlocal before
        x0_hat = x0_from_eps(x, eps_hat, t, alpha_bar)
        if before is not None and before[1] <= t:  # another sample begins
            before = None
        x = dpm_solver_step(x, x0_hat, t, s, alpha_bar, before)
        before = x0_hat, t
        return x

    return step
