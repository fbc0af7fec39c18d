"""The loss is that of the paper, and the loop approaches the best possible prediction."""

import copy

import pytest
import torch

from imagegen.digits import DigitNet
from imagegen.mixture import draw_mixture, exact_eps
from imagegen.schedule import add_noise, cumulative, linear_schedule
from imagegen.train import noise_loss, train

ALPHA_BAR = cumulative(linear_schedule())


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(classes=0):
    torch.manual_seed(0)
    return DigitNet(classes, width=64)


def test_a_prediction_of_zero_costs_the_variance_of_the_noise():
    x0 = torch.randn(20_000, 4, generator=seeded())
    loss = noise_loss(lambda xt, t: torch.zeros_like(xt), x0, ALPHA_BAR, seeded())
    assert abs(loss - 1) < 3 * (2 / x0.numel()) ** 0.5


def test_the_true_noise_costs_nothing():
    """With x0 = 0 the noise can be read off xt: eps = xt / sqrt(1 - alpha_bar)."""
    seen = []

    def model(xt, t):
        seen.append(t)
        return xt / (1 - ALPHA_BAR[t]).sqrt()[:, None]

    assert noise_loss(model, torch.zeros(5000, 3), ALPHA_BAR, seeded()) < 1e-10
    assert (seen[0].min(), seen[0].max()) == (0, 999)  # every step, the first and last included
    assert seen[0].unique().numel() > 900


def test_labels_reach_the_model_only_if_given():
    heard = []

    def model(xt, t, *label):
        heard.append(label)
        return xt

    noise_loss(model, torch.zeros(2, 3), ALPHA_BAR)
    noise_loss(model, torch.zeros(2, 3), ALPHA_BAR, label=torch.tensor([4, 5]))
    assert heard[0] == () and heard[1][0].tolist() == [4, 5]


@pytest.fixture(scope="module")
def world():
    """A mixture of three pictures, drawn often, and a network trained on it for a moment."""
    centres = torch.randn(3, 1, 8, 8, generator=seeded(1)).sign()
    x0 = draw_mixture(centres, 0.3, 2000, seeded(2))
    model = network()
    losses = train(model, x0, ALPHA_BAR, 300)
    return centres, model, losses


def test_the_trained_network_is_near_the_exact_prediction_and_never_better(world):
    centres, model, losses = world
    assert sum(losses[-50:]) < 0.6 * sum(losses[:50])
    x0 = draw_mixture(centres, 0.3, 2000, seeded(3))
    eps = torch.randn(x0.shape, generator=seeded(4))
    for t in (200, 500, 800):
        xt = add_noise(x0, eps, t, ALPHA_BAR)
        with torch.no_grad():
            learned = ((model(xt, t) - eps) ** 2).mean()
        exact = ((exact_eps(xt, t, ALPHA_BAR, centres, 0.3) - eps) ** 2).mean()
        untrained = ((network()(xt, t) - eps) ** 2).mean()
        assert exact < learned < exact + 0.25 * (untrained - exact)


def test_the_same_seed_gives_the_same_network_and_losses():
    x0, models = torch.randn(50, 1, 8, 8, generator=seeded()), [network() for _ in range(3)]
    losses = [train(m, x0, ALPHA_BAR, 5, seed=s) for m, s in zip(models, (1, 1, 2), strict=True)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(models[0].leave[1].weight, models[1].leave[1].weight)


def test_dropped_labels_become_none_given_and_the_callers_stay():
    x0, label = torch.randn(64, 1, 8, 8, generator=seeded()), torch.arange(64) % 10
    model = network(classes=10)
    before, kept = copy.deepcopy(model.label.weight), label.clone()
    train(model, x0, ALPHA_BAR, 2, label=label, drop=1.0)
    moved = (model.label.weight != before).any(dim=1)
    assert moved.tolist() == [False] * 10 + [True] and torch.equal(label, kept)
    with pytest.raises(ValueError, match="no labels to drop"):
        train(model, x0, ALPHA_BAR, 1, drop=0.1)
