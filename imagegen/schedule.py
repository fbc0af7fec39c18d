"""How much noise each step of the forward process adds, and noisy pictures of any step at once.

    one step    x_t = sqrt(1 - beta[t]) x_(t-1) + sqrt(beta[t]) eps
    all steps   x_t = sqrt(alpha_bar[t]) x0 + sqrt(1 - alpha_bar[t]) eps
    with        alpha_bar[t] = (1 - beta[0]) (1 - beta[1]) ... (1 - beta[t])

beta[t] and 1 - alpha_bar[t] are variances: noise is multiplied by their square roots. Everything
is computed in float64 and returned in float32. Built in chapter 3.
"""

import math

import torch


def linear_schedule(T=1000, start=1e-4, end=0.02):
    """beta (T,), growing evenly from start to end (DDPM, Ho et al. 2020, section 4)."""
    return torch.linspace(start, end, T, dtype=torch.float64).float()


def scaled_linear_schedule(T=1000, start=0.00085, end=0.012):
    """beta (T,) whose square root grows evenly (Stable Diffusion, Rombach et al. 2022)."""
    root = torch.linspace(start**0.5, end**0.5, T, dtype=torch.float64)
    return (root**2).float()


def cosine_schedule(T=1000, s=0.008):
    """beta (T,) whose alpha_bar falls like a squared cosine (Nichol & Dhariwal 2021, eq. 17).

    No beta is above 0.999, as in the paper, so that every step leaves something.
    """
    time = torch.linspace(0, 1, T + 1, dtype=torch.float64)
    alpha_bar = torch.cos((time + s) / (1 + s) * math.pi / 2) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999).float()


def cumulative(beta):
    """alpha_bar (T,): how much of the picture's variance is left after each step."""
    if beta.min() < 0 or beta.max() > 1:
        raise ValueError("beta is a variance: each must lie in 0..1.")
    return torch.cumprod(1 - beta.double(), dim=0).float()


def add_noise(x0, eps, t, alpha_bar):
    """x_t of a clean x0 in one go (Ho et al. 2020, eq. 4).

    x0, eps: (n, ...), of one shape, eps drawn from N(0, 1). t: one step, or one for each, (n,);
    a single x0 may get several. ValueError for other shapes, IndexError for a t outside 0..T-1.
    """
    if x0.shape != eps.shape:
        raise ValueError("x0 and eps differ in shape: use randn_like(x0).")
    if torch.as_tensor(t).min() < 0 or torch.as_tensor(t).max() >= len(alpha_bar):
        raise IndexError(f"t must lie in 0..{len(alpha_bar) - 1}.")
    alpha_bar_t = alpha_bar.to(x0.device)[t]
    # One number for each x0.
    alpha_bar_t = alpha_bar_t.reshape(-1, *[1] * (x0.ndim - 1))
    signal, noise = alpha_bar_t.sqrt().to(x0), (1 - alpha_bar_t).sqrt().to(x0)
    return signal * x0 + noise * eps


def snr(alpha_bar):
    """Signal-to-noise ratio (T,): the variance of the picture's part over that of the noise."""
    return alpha_bar / (1 - alpha_bar)


def zero_terminal_snr(beta):
    """beta (T,), changed so that nothing of x0 is left at the last step (Lin et al. 2023, Alg. 1).

    sqrt(alpha_bar) is shifted to end at 0 and stretched to begin where it began.
    """
    root = torch.cumprod(1 - beta.double(), dim=0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alpha_bar = root**2
    return (1 - torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])).float()
