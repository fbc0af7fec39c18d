"""Training: add known noise, ask the network for it, reduce the difference.

    loss = mean of (eps_hat(xt, t) - eps)^2,   xt = sqrt(alpha_bar[t]) x0 + sqrt(1-alpha_bar[t]) eps

with a random t for each picture (Ho et al. 2020, Algorithm 1). Built in chapter 4.
"""

import torch

from imagegen.schedule import add_noise


def noise_loss(model, x0, alpha_bar, generator=None, label=None):
    """The loss of a batch x0 (n, ...) as a scalar: one random t and one eps for each picture.

    model: called as model(xt, t), or model(xt, t, label) where labels (n,) are given.
    """
    t = torch.randint(len(alpha_bar), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    xt = add_noise(x0, eps, t, alpha_bar)
    eps_hat = model(xt, t) if label is None else model(xt, t, label)
    return ((eps_hat - eps) ** 2).mean()


def train(model, x0, alpha_bar, steps, label=None, drop=0.0, batch=128, seed=0):
    """Train on x0 (N, ...) for some steps and return the loss of each.

    label: (N,), if the model is to hear them. drop: the share of labels that is replaced by
    model.classes, "none given" (chapter 6). The learning rate falls to 0 along a cosine. The same
    seed, and the same model to begin with, give the same result.
    """
    if drop and label is None:
        raise ValueError("There are no labels to drop: give label=...")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(x0), (batch,), generator=generator)
        labels = None if label is None else label[chosen]
        if drop:
            dropped = torch.rand(batch, generator=generator) < drop
            labels = labels.masked_fill(dropped, model.classes)
        loss = noise_loss(model, x0[chosen], alpha_bar, generator, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()
        losses.append(loss.item())
    return losses
