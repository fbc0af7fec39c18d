"""From noise to a picture: predict the noise, take a part of it away, and again.

    x0_hat = (xt - sqrt(1 - alpha_bar[t]) eps_hat) / sqrt(alpha_bar[t])

A step leads from t to s, the next smaller step that is visited, and s = -1 means clean
(alpha_bar = 1). Built in chapters 4 and 5.
"""

import torch


def x0_from_eps(xt, eps_hat, t, alpha_bar):
    """The clean picture that xt would come from, if eps_hat were its noise; t is one step."""
    left = alpha_bar[t]
    return (xt - (1 - left).sqrt() * eps_hat) / left.sqrt()


def velocity(x0, eps, t, alpha_bar):
    """v of a picture and its noise (Salimans & Ho 2022): a third thing to predict."""
    left = alpha_bar[t]
    return left.sqrt() * eps - (1 - left).sqrt() * x0


def from_velocity(xt, v_hat, t, alpha_bar):
    """x0_hat and eps_hat that belong to a predicted v."""
    left = alpha_bar[t]
    x0_hat = left.sqrt() * xt - (1 - left).sqrt() * v_hat
    eps_hat = (1 - left).sqrt() * xt + left.sqrt() * v_hat
    return x0_hat, eps_hat


def ddpm_step(x, eps_hat, t, s, alpha_bar, noise=None):
    """One step of DDPM: draw x_s from q(x_s | x_t, x0_hat) (Ho et al. 2020, eq. 6, 7, Alg. 2).

    noise: from N(0, 1), of the shape of x; drawn here if not given, and not used where s = -1.
    """
    left = alpha_bar[t]
    left_after = alpha_bar[s] if s >= 0 else torch.ones(())
    alpha = left / left_after
    x0_hat = (x - (1 - left).sqrt() * eps_hat) / left.sqrt()
    to_x0 = left_after.sqrt() * (1 - alpha) / (1 - left)
    to_x = alpha.sqrt() * (1 - left_after) / (1 - left)
    mean = to_x0 * x0_hat + to_x * x
    if s < 0:
        return mean
    noise = torch.randn_like(x) if noise is None else noise
    variance = (1 - alpha) * (1 - left_after) / (1 - left)
    return mean + variance.sqrt() * noise


def visited(T, steps=None):
    """The steps to visit, falling from T - 1 to 0 as evenly as whole numbers allow."""
    steps = T if steps is None else steps
    if not 1 <= steps <= T:
        raise ValueError(f"steps must lie in 1..{T}, the steps of training, and not be {steps}.")
    return torch.linspace(T - 1, 0, steps).round().int().tolist()


def sample(model, shape, alpha_bar, steps=None, step=ddpm_step, generator=None, label=None):
    """New samples of this shape (n, ...), from pure noise; steps=None visits every t.

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
