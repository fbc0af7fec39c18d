"""Shares and their intervals against closed forms; the oracle against freshly drawn pictures."""

import random

import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import binomtest
from sklearn.neighbors import NearestNeighbors

from imagegen.measure import (
    coverage,
    features,
    fidelity,
    frechet_distance,
    matches,
    nearest_neighbour,
    read_factors,
    wilson,
)
from imagegen.storybook import FACTORS, caption, draw, random_scene


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (7, 8), (250, 500), (1, 3)])
def test_wilson_equals_scipys(k, n):
    ours = wilson(k, n, z=1.959963984540054)
    theirs = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_wilson_refuses_impossible_counts(k, n):
    with pytest.raises(ValueError, match="a share needs"):
        wilson(k, n)


def test_frechet_distance_of_shifted_and_stretched_clouds():
    x = torch.randn(500, 5, generator=torch.Generator().manual_seed(0)).double()
    shift = torch.tensor([3.0, 0.0, 4.0, 0.0, 0.0])
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x + shift) == pytest.approx(25, abs=1e-6)
    # Of 3x the root of the covariance is 3 times as large: tr C (1 + 9 - 2 * 3), and the means.
    mean = (2 * x.mean(0)).pow(2).sum()
    expected = (mean + 4 * torch.cov(x.T).trace()).item()
    assert frechet_distance(x, 3 * x) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_equals_its_formula_with_scipys_root():
    g = torch.Generator().manual_seed(1)
    a = torch.randn(300, 4, generator=g).double() @ torch.randn(4, 4, generator=g).double()
    b = torch.randn(200, 4, generator=g).double() @ torch.randn(4, 4, generator=g).double() + 1
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    root = torch.from_numpy(sqrtm((cov_a @ cov_b).numpy()).real)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + (cov_a + cov_b - 2 * root).trace()
    assert frechet_distance(a, b) == pytest.approx(expected.item(), rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected.item(), rel=1e-8)


def test_frechet_distance_of_flat_clouds_is_a_number():
    line = torch.linspace(0, 1, 50)[:, None] * torch.tensor([[1.0, 1.0, 0.0]])
    assert frechet_distance(line, line + 1) == pytest.approx(3, abs=1e-5)


@pytest.mark.parametrize("shapes", [((5, 2), (5, 3)), ((1, 2), (5, 2)), ((5,), (5,))])
def test_frechet_distance_refuses_what_is_no_pair_of_tables(shapes):
    with pytest.raises(ValueError, match="tables of two or more rows"):
        frechet_distance(*(torch.zeros(shape) for shape in shapes))


@pytest.fixture(scope="module")
def drawn():
    rng = random.Random("fresh pictures")
    scenes = [random_scene(rng, held_out=None) for _ in range(300)]
    return scenes, [draw(s, seed=10**9 + i) for i, s in enumerate(scenes)]


def test_the_oracle_reads_fresh_drawings(drawn):
    scenes, images = drawn
    seen = read_factors(images)
    right = sum(
        all(v == getattr(s, f) for f, v in o.items()) for o, s in zip(seen, scenes, strict=True)
    )
    assert right / len(scenes) >= 0.97  # 98 % is the floor of 1000; this is 300


def test_fidelity_of_true_and_of_shuffled_captions(drawn):
    scenes, images = drawn
    rng = random.Random(0)
    prompts = [caption(s, rng) for s in scenes]
    share, low, high = fidelity(images, prompts)
    assert low <= share <= high and share >= 0.97
    assert fidelity(images, prompts[7:] + prompts[:7])[0] < 0.05


def test_one_wrong_factor_is_enough_to_fail(drawn):
    scenes, images = drawn
    i = next(i for i, s in enumerate(scenes) if s.subject == "cat" and s.colour == "red")
    assert matches([images[i]] * 2, ["a red cat", "a blue cat"]) == [True, False]


def test_features_tell_scenes_apart(drawn):
    scenes, images = drawn
    x = features(images[:50])
    assert x.shape == (50, 192) and x.std(0).gt(0).float().mean() > 0.9
    assert set(read_factors(images[:1])[0]) == set(FACTORS)


def test_bad_input_is_named(drawn):
    images = drawn[1]
    with pytest.raises(ValueError, match="need as many prompts"):
        matches(images[:2], ["a cat"])
    with pytest.raises(ValueError, match="names nothing"):
        matches(images[:1], ["quantum physics"])


def normal(n, seed, shape=(1, 2, 2)):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


def test_nearest_neighbours_equal_scikit_learns():
    x, others = normal(40, 1), normal(60, 2)
    distance, index = nearest_neighbour(x, others)
    theirs = NearestNeighbors(n_neighbors=1).fit(others.flatten(1)).kneighbors(x.flatten(1))
    assert distance.numpy() == pytest.approx(theirs[0][:, 0], abs=1e-5)
    assert index.tolist() == theirs[1][:, 0].tolist()


def test_coverage_counted_by_hand():
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])  # the nearest other: 1, 1, 2, 7
    assert coverage(torch.tensor([[0.5]]), real, k=1) == 0.5
    assert coverage(torch.tensor([[0.5], [16.0]]), real, k=1) == 0.75
    assert coverage(torch.tensor([[11.0]]), real, k=1) == 0.25  # 3 to 10 is further than 3 to 1
    assert coverage(real, real, k=1) == 1


@pytest.mark.parametrize("k", [1, 3, 5])
def test_coverage_of_the_same_distribution_is_what_chance_gives(k):
    share = coverage(normal(1500, 3), normal(1500, 4), k)
    assert share == pytest.approx(1 - 2**-k, abs=0.04)


def test_coverage_falls_with_the_variety_of_the_samples():
    real = normal(500, 5, (2,))
    narrow, one = 0.3 * normal(500, 6, (2,)), torch.zeros(500, 2)
    assert coverage(one, real) < 0.1 < coverage(narrow, real) < 0.6


def test_shapes_and_k_that_cannot_be_are_named():
    with pytest.raises(ValueError, match="things of one shape"):
        nearest_neighbour(normal(3, 1), normal(3, 1, (4,)))
    with pytest.raises(ValueError, match="things of one shape"):
        nearest_neighbour(normal(3, 1), normal(0, 1))
    with pytest.raises(ValueError, match="5 real ones have no neighbour 5"):
        coverage(normal(5, 1), normal(5, 2))
