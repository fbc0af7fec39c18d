"""Shares and their intervals against closed forms; the oracle against freshly drawn pictures."""

import random

import pytest
from scipy.stats import binomtest

from imagegen.measure import features, fidelity, matches, read_factors, wilson
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
