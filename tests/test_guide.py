"""Guidance is that of diffusers, and does to known data what the chapter says."""

import numpy as np
import pytest
import tiny_sd
import torch
from diffusers import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from imagegen.guide import autoguided, guided, in_interval, rescaled, with_guidance
from imagegen.measure import read_factors, wilson
from imagegen.mixture import exact_eps
from imagegen.models import load_pipeline
from imagegen.sample import ddim_step, from_velocity, sample, x0_from_eps
from imagegen.schedule import cumulative, linear_schedule
from imagegen.storybook.scene import TIMES

ALPHA_BAR = cumulative(linear_schedule())
CENTRES, SPREAD = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.7]]), 0.5


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def answers():
    return torch.randn(2, 3, 1, 8, 8, generator=seeded())


# -- the formula -------------------------------------------------------------------------------


def test_the_formula_in_numbers():
    told_nothing, told = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 0.0])
    for w, expected in ((-1, [0, 4]), (0, [1, 2]), (1, [2, 0]), (3, [4, -4])):
        assert guided(told_nothing, told, w).tolist() == expected
    assert told_nothing.tolist() == [1, 2] and told.tolist() == [2, 0]


@pytest.mark.parametrize("w", [-1.5, 0.0, 0.5, 1.0, 5.0, 12.0])
def test_it_is_the_papers_form_with_a_scale_one_less(answers, w):
    """(1 + w) eps_cond - w eps_uncond, Ho & Salimans 2022, eq. 6."""
    told_nothing, told = answers
    paper = (1 + (w - 1)) * told - (w - 1) * told_nothing
    torch.testing.assert_close(guided(*answers, w), paper, rtol=0, atol=1e-5)


def test_guiding_the_noise_the_picture_or_the_velocity_is_the_same(answers):
    xt, t, w = torch.randn(answers[0].shape, generator=seeded(1)), 500, 4.0
    by_v = guided(*answers, w)
    (x0_u, eps_u), (x0_c, eps_c) = (from_velocity(xt, v, t, ALPHA_BAR) for v in answers)
    x0_hat, eps_hat = from_velocity(xt, by_v, t, ALPHA_BAR)
    torch.testing.assert_close(guided(eps_u, eps_c, w), eps_hat, rtol=0, atol=1e-5)
    torch.testing.assert_close(guided(x0_u, x0_c, w), x0_hat, rtol=0, atol=1e-5)
    torch.testing.assert_close(x0_from_eps(xt, eps_hat, t, ALPHA_BAR), x0_hat, rtol=0, atol=1e-4)


def test_the_difference_of_the_answers_is_the_slope_of_a_classifier():
    """eps_cond - eps_uncond = -sqrt(1 - alpha_bar[t]) grad log p(c | xt), by Bayes' rule."""
    for t in (100, 500, 900):
        left = ALPHA_BAR[t]
        xt = torch.randn(50, 2, generator=seeded(t), requires_grad=True)
        gaps = torch.cdist(xt, left.sqrt() * CENTRES) ** 2
        chance = (-gaps / 2 / (left * SPREAD**2 + 1 - left)).log_softmax(1)[:, 0]
        (slope,) = torch.autograd.grad(chance.sum(), xt)
        with torch.no_grad():
            told = exact_eps(xt, t, ALPHA_BAR, CENTRES[:1], SPREAD)
            told_nothing = exact_eps(xt, t, ALPHA_BAR, CENTRES, SPREAD)
        expected = -(1 - left).sqrt() * slope
        torch.testing.assert_close(told - told_nothing, expected, rtol=1e-3, atol=1e-4)


def test_two_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        guided(torch.zeros(2, 3), torch.zeros(1, 3), 2.0)


# -- a model that is guided --------------------------------------------------------------------


class Known:
    """The best prediction for three clouds of points; label 3 is none. Remembers what it hears."""

    classes = 3

    def __init__(self):
        self.heard = []

    def __call__(self, x, t, label):
        self.heard.append(label.tolist())
        known = [exact_eps(x, t, ALPHA_BAR, CENTRES[k : k + 1], SPREAD) for k in range(3)]
        known.append(exact_eps(x, t, ALPHA_BAR, CENTRES, SPREAD))
        return torch.stack(known)[label, torch.arange(len(x))]


def draw(w, label=0, negative=None, n=600):
    labels = torch.full((n,), label)
    model = with_guidance(Known(), w, negative)
    return sample(model, (n, 2), ALPHA_BAR, 100, ddim_step, seeded(), labels)


def test_both_branches_are_asked_in_one_call():
    model, label, x = Known(), torch.tensor([0, 2]), torch.randn(2, 2, generator=seeded())
    told, told_nothing = model(x, 400, label), model(x, 400, torch.tensor([3, 3]))
    model.heard.clear()
    out = with_guidance(model, 2.5)(x, 400, label)
    assert model.heard == [[3, 3, 0, 2]] and label.tolist() == [0, 2]
    torch.testing.assert_close(out, guided(told_nothing, told, 2.5))
    other = model(x, 400, torch.tensor([1, 1]))
    torch.testing.assert_close(
        with_guidance(model, 2.5, negative=1)(x, 400, label), guided(other, told, 2.5)
    )


def test_scale_1_draws_the_class_scale_0_everything_and_below_0_the_rest():
    asked = [(torch.cdist(draw(w), CENTRES).argmin(1) == 0).float().mean() for w in (1, 0, -1)]
    assert asked[0] > 0.9 and 0.25 < asked[1] < 0.42 and asked[2] < 0.12
    one = draw(1)
    assert (one.mean(0) - CENTRES[0]).abs().max() < 0.1 and (one.std(0) - SPREAD).abs().max() < 0.06


def test_more_guidance_is_narrower_than_the_class_and_beyond_it():
    spreads, places = [], []
    for w in (1, 2, 4, 8):
        points = draw(w)
        spreads.append(points.std(0).mean().item())
        places.append(points[:, 0].mean().item())
    assert spreads == sorted(spreads, reverse=True) and spreads[-1] < 0.7 * SPREAD
    assert places == sorted(places, reverse=True) and places[-1] < CENTRES[0, 0] - SPREAD


def test_a_negative_label_is_avoided_only_where_the_scale_is_above_1():
    near = [torch.cdist(draw(w, 3, 1), CENTRES).argmin(1) for w in (1, 3)]
    shares = [(n == 1).float().mean() for n in near]
    assert 0.25 < shares[0] < 0.42 and shares[1] < 0.06
    torch.testing.assert_close(draw(1, 0, 1), draw(1, 0), rtol=0, atol=1e-4)


def test_guidance_in_an_interval_asks_the_right_model():
    def model(answer):
        return lambda x, t, label: answer

    mixed = in_interval(model("guided"), model("plain"), 300, 700)
    assert [mixed(None, t, None) for t in (299, 300, 699, 700)] == [
        "plain",
        "guided",
        "guided",
        "plain",
    ]


def test_autoguidance_goes_from_the_weak_answer_through_the_strong_one(answers):
    weak, strong = answers

    def model(answer):
        return lambda x, t, label: answer + label

    out = autoguided(model(strong), model(weak), 3.0)(None, 400, 7.0)
    torch.testing.assert_close(out, weak + 3 * (strong - weak) + 7)


def test_rescaling_is_that_of_diffusers(answers):
    guided_hat, cond_hat = 4 * answers[0], answers[1]
    for phi in (0.0, 0.7, 1.0):
        theirs = rescale_noise_cfg(guided_hat, cond_hat, guidance_rescale=phi)
        torch.testing.assert_close(rescaled(guided_hat, cond_hat, phi), theirs)
    spreads = [x.flatten(1).std(1) for x in (rescaled(guided_hat, cond_hat, 1.0), cond_hat)]
    torch.testing.assert_close(*spreads)


def test_guidance_does_not_sample_the_tilted_density():
    """p(x) p(c|x)^3 in one dimension: its exact score draws it, guidance goes beyond it."""
    two, places = torch.tensor([[-1.0], [1.0]]), torch.linspace(-4, 3, 1401)
    each = (-(((places - two) / SPREAD) ** 2) / 2).exp()
    share = each.sum(0) * (each[0] / each.sum(0)) ** 3
    share = share / share.sum()
    middle = (share * places).sum()
    wide = (share * (places - middle) ** 2).sum().sqrt()
    at = torch.searchsorted(share.cumsum(0), (torch.arange(300) + 0.5) / 300)

    def by_score(x, t):
        return exact_eps(x, t, ALPHA_BAR, places[at][:, None], 0.05)

    def by_guidance(x, t):
        both = exact_eps(x, t, ALPHA_BAR, two, SPREAD)
        return guided(both, exact_eps(x, t, ALPHA_BAR, two[:1], SPREAD), 3.0)

    true, ours = (
        sample(model, (2000, 1), ALPHA_BAR, 100, ddim_step, seeded())
        for model in (by_score, by_guidance)
    )
    assert abs(true.mean() - middle) < 0.05 and abs(true.std() / wide - 1) < 0.06
    assert ours.mean() < middle - 0.3 and ours.std() < 0.8 * wide


# -- what the pipeline does --------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tiny_sd.build(tmp_path_factory.mktemp("tiny") / "sd")
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def watched(pipe, monkeypatch, **options):
    """What the U-Net answers, what the scheduler is given, and the latents at the end."""
    answered, given = [], []
    hook = pipe.unet.register_forward_hook(lambda m, a, out: answered.append(out[0].clone()))
    plain = pipe.scheduler.step

    def step(prediction, *args, **kwargs):
        given.append(prediction.clone())
        return plain(prediction, *args, **kwargs)

    monkeypatch.setattr(pipe.scheduler, "step", step)
    options |= {"num_inference_steps": 3, "generator": seeded(1), "output_type": "latent"}
    latents = pipe("abc", height=16, width=16, **options).images
    monkeypatch.undo()
    hook.remove()
    return answered, given, latents


@pytest.mark.parametrize(("w", "negative"), [(1.5, None), (7.5, None), (7.5, "xyz"), (15, "xyz")])
def test_the_scheduler_is_given_our_guided_noise(tiny, monkeypatch, w, negative):
    answered, given, _ = watched(tiny, monkeypatch, guidance_scale=w, negative_prompt=negative)
    assert len(answered) == len(given) == 3
    for both, theirs in zip(answered, given, strict=True):
        told_nothing, told = both.chunk(2)
        assert not torch.equal(told_nothing, told)
        ours = guided(told_nothing, told, w)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_scales_0_and_1_ask_once_and_give_the_same_whatever_the_negative_prompt(tiny, monkeypatch):
    ends = []
    for scale, negative in ((0.0, None), (1.0, None), (1.0, "xyz")):
        answered, _, end = watched(
            tiny, monkeypatch, guidance_scale=scale, negative_prompt=negative
        )
        assert {len(a) for a in answered} == {1}
        ends.append(end)
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0], ends[2])
    above = [
        watched(tiny, monkeypatch, guidance_scale=3.0, negative_prompt=n)[2] for n in (None, "xyz")
    ]
    assert not torch.equal(*above) and not torch.equal(above[0], ends[0])


def test_the_shipped_model_avoids_a_time_of_day_and_still_draws_the_one_it_is_asked_for():
    """Without a negative prompt each picture shows one of the four times: a quarter by nature."""
    pipe = load_pipeline(device="cpu")

    def times(prompt, negative):
        starts = [seeded(s) for s in range(6)]
        options = {"num_inference_steps": 10, "guidance_scale": 5.0, "generator": starts}
        images = pipe([prompt] * 6, negative_prompt=[negative] * 6, **options).images
        return np.array([seen["time"] for seen in read_factors(images)])

    unwanted = sum((times("a village", time) == time).sum() for time in TIMES)
    assert wilson(int(unwanted), 24)[1] < 0.25
    assert (times("a castle at night", "night") == "night").sum() >= 4
