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
