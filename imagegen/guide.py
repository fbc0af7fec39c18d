"""Classifier-free guidance: one network, asked with and without the condition.

    eps_hat = eps_uncond + w (eps_cond - eps_uncond)

w = 0 is the answer without the condition, w = 1 the one with it, and a larger w goes further the
same way (Ho & Salimans 2022; their w is ours less 1). The formula is affine, so that guiding
x0_hat or v_hat is the same as guiding eps_hat. Built in chapter 6.
"""

import torch


def guided(eps_uncond, eps_cond, w):
    """The guided prediction, of the shape of both (Ho & Salimans 2022, eq. 6, with w = theirs + 1).

    w: the guidance scale as Diffusers defines it, of any sign. ValueError if the shapes differ.
    """
    if eps_uncond.shape != eps_cond.shape:
        raise ValueError(
            f"The two predictions differ in shape: {tuple(eps_uncond.shape)} "
            f"and {tuple(eps_cond.shape)}."
        )
    return eps_uncond + w * (eps_cond - eps_uncond)


def with_guidance(model, w, negative=None):
    """A model for sample(..., label=label) that is guided towards its labels with scale w.

    model: called once a step as model(x, t, label) with both branches in one batch, (2 n, ...);
    model.classes is its label for "none given", heard while training (train(..., drop=0.1)).
    negative: a label to ask for in the other branch in place of none: away from this one.
    """
    other = model.classes if negative is None else negative

    def both(x, t, label):
        labels = torch.cat([torch.full_like(label, other), label])
        eps_uncond, eps_cond = model(torch.cat([x, x]), t, labels).chunk(2)
        return guided(eps_uncond, eps_cond, w)

    return both


def in_interval(inside, outside, low, high):
    """A model that is `inside` for low <= t < high and `outside` for every other t.

    With a guided model inside and the plain one outside, guidance is kept to an interval of the
    way (Kynkäänniemi et al. 2024).
    """

    def model(x, t, label):
        return (inside if low <= t < high else outside)(x, t, label)

    return model


def autoguided(strong, weak, w):
    """A model that is guided away from a weaker version of itself (Karras et al. 2024).

    Both hear the label: what w prolongs is not the condition but the difference in quality.
    """

    def model(x, t, label):
        return guided(weak(x, t, label), strong(x, t, label), w)

    return model


def rescaled(guided_hat, cond_hat, phi=0.7):
    """A guided prediction (n, ...) brought towards the spread of the conditional one.

    phi: how far, from 0 (not at all) to 1 (the same spread), for each sample alone (Lin et al.
    2023, eq. 15 and 16). Use it on x0_hat or v_hat: less spread in eps_hat would leave noise.
    """
    axes = tuple(range(1, cond_hat.ndim))
    wanted = cond_hat.std(axes, keepdim=True)
    factor = wanted / guided_hat.std(axes, keepdim=True)
    return phi * factor * guided_hat + (1 - phi) * guided_hat
