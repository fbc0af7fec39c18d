"""Handwritten digits, a network that learns to see the noise in them, and a judge of samples.

The 1797 pictures of 8 x 8 pixels come with scikit-learn. The network is fully connected, so that
a laptop trains it in seconds; it takes the step t, and labels where there are some. Built in
chapter 4.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn


def digits():
    """All pictures x0 (1797, 1, 8, 8) in -1..1, float32, and the digits they show (1797,), int64.

    From scikit-learn; E. Alpaydin and C. Kaynak 1998, UCI Machine Learning Repository.
    """
    data = load_digits()
    x0 = torch.from_numpy(data.images).float()[:, None] / 8 - 1
    return x0, torch.from_numpy(data.target).long()


def as_pictures(x):
    """Samples (n, 1, 8, 8) as a list of arrays (8, 8) in 0..1 for pictures.show()."""
    return list(((x[:, 0].detach() + 1) / 2).clamp(0, 1).numpy())


class DigitNet(nn.Module):
    """Predicts the noise in noisy digits; with classes=10 it takes labels, the digits shown."""

    def __init__(self, classes=0, width=256):
        super().__init__()
        self.classes = classes
        self.label = nn.Embedding(classes + 1, width)  # the last: no label
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.Linear(64, width)
        self.blocks = nn.ModuleList()
        for _ in range(3):
            block = [nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)]
            self.blocks.append(nn.Sequential(nn.LayerNorm(width), *block))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64))

    def forward(self, xt, t, label=None):
        """xt (n, 1, 8, 8), t and label a number or (n,) -> prediction (n, 1, 8, 8).

        Without a label, or with label = classes, the network hears of no digit.
        """
        label = self.classes if label is None else label
        t, label = (torch.as_tensor(a).expand(len(xt)) for a in (t, label))
        angles = t[:, None] / 1000 ** torch.linspace(0, 1, 32)
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        h = self.enter(xt.flatten(1))
        for block in self.blocks:
            h = h + block(h + time + self.label(label))
        return self.leave(h).view_as(xt)


def digit_classifier(x0, label):
    """Logistic regression that was trained on pictures (n, 1, 8, 8) and their labels (n,).

    Trained on samples and tested on real digits, it judges the samples (the classification
    accuracy score of Ravuri & Vinyals 2019). It takes pictures as rows: x0.flatten(1).
    """
    return LogisticRegression(max_iter=500).fit(x0.flatten(1).numpy(), label.numpy())
