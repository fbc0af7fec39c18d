"""Muon: gradient descent with momentum whose every step is an orthogonal matrix.

    m <- 0.95 m + g        w <- w - rate * s * U V^T     where  g + 0.95 m = U S V^T

A plain step follows a few large singular values of the gradient; here all directions of a weight
matrix move equally far (Jordan et al. 2024). A convolution (out, in, k, k) counts as the matrix
(out, in k k). s = sqrt(max(1, rows / columns)) keeps the size of what tall matrices add alike.
"""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal(g: Tensor) -> Tensor:
    """About U V^T of the matrix g = U S V^T, without a decomposition, in bfloat16.

    Five steps of an odd polynomial in g (Newton-Schulz) move every singular value into 0.7..1.2.
    """
    tall = len(g) > g.shape[1]
    x = g.T if tall else g
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of two or more axes inside a network; its ends and biases are Adam's."""

    def __init__(self, weights, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step along the gradients that lie in the weights."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for w in group["params"]:
                g = w.grad.flatten(1)
                m = self.state[w].setdefault("momentum", torch.zeros_like(g))
                m.mul_(momentum).add_(g)
                scale = max(1, len(g) / g.shape[1]) ** 0.5
                update = orthogonal(g + momentum * m).view(w.shape)
                w.mul_(1 - rate * group["weight_decay"]).add_(update, alpha=-rate * scale)
