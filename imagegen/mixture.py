"""Data of which everything is known: a mixture of equally likely Gaussians.

    x0 = centre + spread * noise,   one of K centres, each as likely as the others

For such data the best possible prediction of the noise is a formula, and a network can be
compared with it. Built in chapter 4.
"""

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
    left = alpha_bar[t]
    variance = left * spread**2 + 1 - left  # of xt around its centre
    distance = torch.cdist(xt.flatten(1), left.sqrt() * centres.flatten(1))
    likely = (-(distance**2) / (2 * variance)).softmax(dim=1)  # (n, K), sums to 1
    mean = (likely @ centres.flatten(1)).view_as(xt)
    return (1 - left).sqrt() / variance * (xt - left.sqrt() * mean)
