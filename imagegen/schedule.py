"""How much noise each step of the forward process adds, and noisy pictures of any step at once.

    one step     x_t = sqrt(1 - beta[t]) x_{t-1} + sqrt(beta[t]) eps
    t steps      x_t = sqrt(alpha_bar[t]) x0 + sqrt(1 - alpha_bar[t]) eps
    with         alpha_bar[t] = (1 - beta[0]) (1 - beta[1]) ... (1 - beta[t])

beta[t] and 1 - alpha_bar[t] are variances: noise is multiplied by their square roots. Schedules
are computed in float64 and returned in float32. Built in chapter 3.
"""

import math

import torch


def linear_schedule(T=1000, start=1e-4, end=0.02):
    """beta (T,), growing evenly from start to end (DDPM, Ho et al. 2020, section 4)."""
    return _float32(torch.linspace(start, end, _steps(T), dtype=torch.float64))


def scaled_linear_schedule(T=1000, start=0.00085, end=0.012):
    """beta (T,) whose square root grows evenly (Stable Diffusion, Rombach et al. 2022)."""
    ends = math.sqrt(start), math.sqrt(end)
    return _float32(torch.linspace(*ends, _steps(T), dtype=torch.float64) ** 2)


def cosine_schedule(T=1000, s=0.008):
    """beta (T,) whose alpha_bar falls like a squared cosine (Nichol & Dhariwal 2021, eq. 17).

    beta is cut at 0.999, so that the last step is not infinitely hard to reverse.
    """
    time = torch.linspace(0, 1, _steps(T) + 1, dtype=torch.float64)
    signal = torch.cos((time + s) / (1 + s) * math.pi / 2) ** 2
    return _float32((1 - signal[1:] / signal[:-1]).clamp(max=0.999))


def cumulative(beta):
    """alpha_bar (T,): the share of the picture's variance that is left after each step."""
    return torch.cumprod(1 - _variances(beta).double(), dim=0).float()


def add_noise(x0, eps, t, alpha_bar):
    """x_t of a clean x0 in one go (Ho et al. 2020, eq. 4).

    x0, eps: (n, ...), the same shape, eps from N(0, 1). t: one step for all, or one for each, as a
    tensor (n,). Raises ValueError for shapes that differ and IndexError for a t outside 0..T-1.
    """
    if x0.shape != eps.shape:
        raise ValueError(
            f"x0 {tuple(x0.shape)} and eps {tuple(eps.shape)} must have the same shape: "
            "draw eps with torch.randn_like(x0)."
        )
    t = torch.as_tensor(t, device=x0.device)
    if t.ndim and t.shape != x0.shape[:1]:
        raise ValueError(f"t has the shape {tuple(t.shape)}: use one step, or ({len(x0)},).")
    if t.min() < 0 or t.max() >= len(alpha_bar):
        raise IndexError(f"t must lie in 0..{len(alpha_bar) - 1}, got {t.tolist()}.")
    left = alpha_bar.to(x0)[t]
    left = left.reshape(left.shape + (1,) * (x0.ndim - 1)) if t.ndim else left
    return left.sqrt() * x0 + (1 - left).sqrt() * eps


def snr(alpha_bar):
    """Signal-to-noise ratio (T,): variance of the picture's part over variance of the noise."""
    return alpha_bar / (1 - alpha_bar)


def zero_terminal_snr(beta):
    """beta (T,), changed so that nothing of x0 is left at the last step, and the first stays.

    sqrt(alpha_bar) is shifted and stretched (Lin et al. 2023, Algorithm 1). The last beta is 1.
    """
    left = torch.cumprod(1 - _variances(beta).double(), dim=0).sqrt()
    first, last = left[0].clone(), left[-1].clone()
    alpha_bar = ((left - last) * first / (first - last)) ** 2
    alpha = torch.cat([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])
    return _float32(1 - alpha)


def _steps(T):
    if T < 2:
        raise ValueError(f"A schedule needs at least 2 steps, got T={T}.")
    return T


def _variances(beta):
    """beta itself; ValueError unless it is one row of variances."""
    if beta.ndim != 1 or beta.min() < 0 or beta.max() > 1:
        raise ValueError("beta must be one row of numbers in 0..1: the variance of each step.")
    return beta


def _float32(beta):
    return _variances(beta).float()
