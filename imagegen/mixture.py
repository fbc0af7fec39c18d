"""Data of which everything is known: a mixture of equally likely Gaussians.

    x0 = centre + spread * noise,   one of K centres, each as likely as the others

For such data the best possible prediction of the noise is a formula, and so are the density
and its gradient, the score. Built in chapter 4.
"""

import math

import torch


def draw_mixture(centres, spread, n, generator=None):
    """n draws x0 (n, ...) of the mixture with these centres (K, ...)."""
    chosen = torch.randint(len(centres), (n,), generator=generator)
    noise = torch.randn(n, *centres.shape[1:], generator=generator)
    return centres[chosen] + spread * noise


def exact_eps(xt, t, alpha_bar, centres, spread):
    """The mean of the noise eps, given xt (n, ...): the best eps_hat there is (Bayes).

    t: one step. The loss of every other prediction is larger. With spread = 0 the data is a
    finite set of pictures, the centres.
    """
    alpha_bar_t = alpha_bar[t]
    # The variance of xt around its centre, and how far each centre is away.
    variance = alpha_bar_t * spread**2 + 1 - alpha_bar_t
    scaled = alpha_bar_t.sqrt() * centres.flatten(1)
    distance = torch.cdist(xt.flatten(1), scaled)
    likely = (-(distance**2) / (2 * variance)).softmax(dim=1)  # (n, K), sums to 1
    mean = (likely @ centres.flatten(1)).view_as(xt)
    off = xt - alpha_bar_t.sqrt() * mean
    return (1 - alpha_bar_t).sqrt() / variance * off


def log_density(xt, t, alpha_bar, centres, spread):
    """log q(xt) (n,): how likely xt (n, ...) is among the noisy data of the one step t."""
    alpha_bar_t, size = alpha_bar[t], centres[0].numel()
    variance = alpha_bar_t * spread**2 + 1 - alpha_bar_t
    distance = torch.cdist(xt.flatten(1), alpha_bar_t.sqrt() * centres.flatten(1))
    log_mean = (-(distance**2) / (2 * variance)).logsumexp(dim=1) - math.log(len(centres))
    return log_mean - size / 2 * (2 * math.pi * variance).log()


def score_from_eps(eps_hat, t, alpha_bar):
    """The gradient of log q(xt) that belongs to a predicted noise (Song & Ermon 2019).

    Exact where eps_hat is, as that of exact_eps; t is one step.
    """
    return -eps_hat / (1 - alpha_bar[t]).sqrt()
