"""Does the picture show what the prompt asked for? A number, with its uncertainty.

`storybook-oracle` is a classifier that was trained on freshly drawn pictures, never on
generated ones, and reads the six factors of a picture back:

    fidelity = share of pictures in which every factor that the prompt names is right

The oracle's own accuracy on drawn pictures is the ceiling of that number. Built in chapter 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
from PIL import Image
from safetensors.torch import load_model
from torch import Tensor, nn

from imagegen.latent import as_tensor
from imagegen.models import model_folder
from imagegen.pictures import to_rgb
from imagegen.storybook.caption import read
from imagegen.storybook.scene import FACTORS, VALUES

SIZE = 128


class Oracle(nn.Module):
    """A small convolutional classifier with one output layer for each factor of a scene."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        sizes = [3, width, 2 * width, 3 * width, 4 * width, 6 * width]
        blocks = []
        for inner, outer in zip(sizes[:-1], sizes[1:], strict=True):
            blocks += [
                nn.Conv2d(inner, outer, 3, stride=2, padding=1),
                nn.BatchNorm2d(outer),
                nn.ReLU(),
            ]
            blocks += [nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU()]
        self.body = nn.Sequential(*blocks)
        self.heads = nn.ModuleDict({f: nn.Linear(2 * sizes[-1], len(VALUES[f])) for f in FACTORS})

    def features(self, x: Tensor) -> Tensor:
        """Pictures (n, 3, 128, 128) in -1..1 -> (n, 12 width): mean and peak of each map."""
        maps = self.body(x)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Pictures (n, 3, 128, 128) in -1..1 -> each factor's scores (n, number of values)."""
        features = self.features(x)
        return {f: head(features) for f, head in self.heads.items()}


@cache
def oracle() -> Oracle:
    """The trained oracle, loaded once."""
    model = Oracle()
    load_model(model, model_folder("storybook-oracle") / "model.safetensors")
    return model.eval()


def read_factors(images: Sequence[Image.Image]) -> list[dict[str, str]]:
    """What the oracle sees in each picture: {"place": "beach", "time": "sunset", ...}."""
    seen: list[dict[str, str]] = []
    for start in range(0, len(images), 64):
        x = _at_its_size(images[start : start + 64])
        with torch.inference_mode():
            best = {f: scores.argmax(1).tolist() for f, scores in oracle()(x).items()}
        seen += [{f: VALUES[f][best[f][i]] for f in FACTORS} for i in range(len(x))]
    return seen


def features(images: Sequence[Image.Image]) -> Tensor:
    """The oracle's features of pictures, (n, 192), in which distances are measured."""
    parts = [_at_its_size(images[i : i + 64]) for i in range(0, len(images), 64)]
    with torch.inference_mode():
        return torch.cat([oracle().features(x) for x in parts])


def matches(images: Sequence[Image.Image], prompts: Sequence[str]) -> list[bool]:
    """For each picture, whether every factor that its prompt names is seen in it.

    Raises ValueError if the lists differ in length or a prompt names nothing that can be read.
    """
    if len(images) != len(prompts):
        raise ValueError(f"{len(images)} pictures need as many prompts, got {len(prompts)}.")
    named = [read(prompt) for prompt in prompts]
    for prompt, factors in zip(prompts, named, strict=True):
        if not factors:
            raise ValueError(f"{prompt!r} names nothing that the oracle can read.")
    seen = read_factors(images)
    return [all(s[f] == v for f, v in n.items()) for s, n in zip(seen, named, strict=True)]


def fidelity(images: Sequence[Image.Image], prompts: Sequence[str]) -> tuple[float, float, float]:
    """Share of pictures that match their prompts with its 95 % interval: (share, low, high)."""
    right = sum(matches(images, prompts))
    return right / len(images), *wilson(right, len(images))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Squared Fréchet distance of two sets of features (n, d) and (m, d), each seen as a Gaussian.

    |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))   (Dowson & Landau 1982). It depends on
    the features and, for small n, on n: print the distance of real from real beside it. It is
    called FID only with the features of one Inception network, and so never in this course.
    """
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            "a and b must be tables of two or more rows, with equally many features: "
            f"they are {tuple(a.shape)} and {tuple(b.shape)}."
        )
    cov_a, cov_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(a.shape[1], -1)
    # The eigenvalues of a product of two covariances are real and not negative, up to rounding.
    common = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return (apart + cov_a.trace() + cov_b.trace() - 2 * common).item()


def nearest_neighbour(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of others (m, ...) to each of x (n, ...): distances (n,) and indices (n,).

    Distances are Euclidean, in the units of x. ValueError if the two differ in shape.
    """
    if x.shape[1:] != others.shape[1:] or not len(others):
        shapes = f"{tuple(x.shape)} and {tuple(others.shape)}"
        raise ValueError(f"x and others must hold things of one shape: {shapes}.")
    distance, index = torch.cdist(x.flatten(1), others.flatten(1)).min(dim=1)
    return distance, index


def coverage(samples: Tensor, real: Tensor, k: int = 5) -> float:
    """Share of real (m, ...) that have a sample closer than their k-th nearest other real one.

    Near 1 - 2**-k for as many samples as real ones of the same distribution, lower where variety
    is lost (Naeem et al. 2020, eq. 4). ValueError unless there are more than k real ones.
    """
    if not 1 <= k < len(real):
        raise ValueError(f"{len(real)} real ones have no neighbour {k}.")
    rows = real.flatten(1)
    # The nearest of all rows is the row itself, so we count to k + 1.
    reach = torch.cdist(rows, rows).kthvalue(k + 1, dim=1).values
    return (nearest_neighbour(real, samples)[0] < reach).float().mean().item()


def mean_interval(x: Tensor) -> tuple[float, float, float]:
    """The mean of numbers (n,) with its 95 % interval by Student's t: (mean, low, high).

    ValueError for fewer than two.
    """
    x = torch.as_tensor(x).double().flatten()
    if len(x) < 2:
        raise ValueError("A mean needs two numbers or more for its interval.")
    return t_interval(x.mean().item(), (x.std() / len(x) ** 0.5).item(), len(x) - 1)


def seed_diversity(x: Tensor) -> tuple[float, float, float]:
    """Mean distance between the pictures of different seeds, with its 95 % interval.

    x: features (..., seeds, d) of three or more seeds; the axes before are prompts or other
    settings, over which the distances are averaged. The interval is the jackknife's, leaving out
    one seed after another (Tukey 1958). ValueError for fewer seeds.
    """
    if x.ndim < 2 or x.shape[-2] < 3:
        raise ValueError(f"Diversity needs features (..., 3 or more seeds, d): {tuple(x.shape)}.")
    n = x.shape[-2]
    apart = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").double()
    apart = apart.reshape(-1, n, n).mean(0)
    total, own = apart.sum(), apart.sum(1)
    without = (total - 2 * own) / ((n - 1) * (n - 2))
    error = ((n - 1) * without.var(correction=0)) ** 0.5
    mean, low, high = t_interval((total / (n * (n - 1))).item(), error.item(), n - 1)
    return mean, max(low, 0.0), high  # no distance lies below 0


def t_interval(mean: float, error: float, freedom: int) -> tuple[float, float, float]:
    """A mean with its 95 % interval by Student's t: (mean, low, high).

    error: the standard error of the mean. freedom: degrees of freedom, n - 1 for n numbers.
    """
    from scipy.stats import t  # part of scikit-learn, and slow to import

    half = float(t.ppf(0.975, freedom)) * error
    return mean, mean - half, mean + half


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % for z = 1.96 (E. B. Wilson 1927).

    Unlike p +- z sqrt(p (1 - p) / n) it stays within 0..1 and has a width at 0 and n successes.
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"a share needs 0 <= successes <= n and n >= 1, got {successes} of {n}.")
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At 0 and n successes an end is p itself, which rounding must not pass.
    return max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half))


def _at_its_size(images: Sequence[Image.Image]) -> Tensor:
    """Pictures as the oracle reads them: enlarged or shrunk to 128 x 128, in -1..1."""
    size = (SIZE, SIZE)
    return as_tensor([to_rgb(i).resize(size, Image.Resampling.BICUBIC) for i in images])
