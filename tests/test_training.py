"""The training loop and its parts, on networks that are tiny or barely trained."""

import random

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from torch import nn

from imagegen.latent import as_tensor
from imagegen.storybook import Scene, draw, vocabulary
from imagegen.training import data, oracle, text_to_image, vae
from imagegen.training.loop import begin_with, fit, generator, load_average


class Line(nn.Module):
    """The squared error of y = a x + b."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(1, 1)

    def forward(self, x, y):
        return (self.map(x) - y).square().mean()


def batch(step):
    x = torch.randn(32, 1, generator=generator(0, step))
    return x, 3 * x - 1


def a_line():
    torch.manual_seed(0)
    return Line()


def test_the_loop_finds_a_line(tmp_path):
    line = a_line()
    fit(line, batch, tmp_path, steps=800, rate=0.02, precision="no")
    assert line.map.weight.item() == pytest.approx(3, abs=0.02)
    assert line.map.bias.item() == pytest.approx(-1, abs=0.02)
    assert (tmp_path / "log.csv").read_text().startswith("step,loss,rate,seconds_per_step\n50,")


def test_a_run_can_begin_with_given_weights_and_none_is_overwritten(tmp_path):
    line = a_line()
    begin_with(line, tmp_path)
    again = Line()
    assert load_average(again, tmp_path) == 0
    fit(again, batch, tmp_path, steps=1, rate=0, precision="no")
    for a, b in zip(line.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="go on with it"):
        begin_with(line, tmp_path)


def test_a_stopped_run_goes_on_exactly_where_it_was(tmp_path):
    whole, first, second = a_line(), a_line(), a_line()
    fit(whole, batch, tmp_path / "whole", steps=60, precision="no", cooldown=0)

    class Stop(Exception):
        pass

    def until_40(step):
        if step == 40:
            raise Stop
        return batch(step)

    with pytest.raises(Stop):  # save_seconds=0 saves after every step
        fit(first, until_40, tmp_path / "parts", 60, precision="no", cooldown=0, save_seconds=0)
    fit(second, batch, tmp_path / "parts", steps=60, precision="no", cooldown=0)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    third = a_line()
    assert load_average(third, tmp_path / "parts") == 60
    torch.testing.assert_close(third.map.weight, whole.map.weight, rtol=0, atol=0)


def test_pictures_are_drawn_once_and_continued(tmp_path):
    few = np.array(data.pictures(3, 9, tmp_path))
    more = data.pictures(5, 9, tmp_path)
    assert more.shape == (5, 128, 128, 3) and (more[:3] == few).all()
    x = as_tensor(more)
    assert x.shape == (5, 3, 128, 128) and x.min() >= -1 and x.max() <= 1


def test_the_detail_is_found_where_it_was_drawn(tmp_path):
    """Birds are in the sky; a picture without a detail has no cell, and leaving it out is all."""
    cells = data.detail_cells(40, 9, tmp_path)
    scenes = [data.scene(i, 9) for i in range(40)]
    for scene, where in zip(scenes, cells, strict=True):
        assert (scene.detail == "none") == (where.sum() == 0), scene
    assert cells[:, 12:].sum() == 0 < cells[:, :8].sum()
    scene = Scene(place="beach", detail="birds")
    bare = np.asarray(draw(scene, seed=1, detail=False)).astype(int)
    drawn = np.asarray(draw(scene, seed=1)).astype(int)
    changed = np.abs(drawn - bare).max(axis=2) > 0
    assert 0.01 < changed.mean() < 0.1 and not changed[64:].any()


def test_every_word_is_one_token(tmp_path):
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    for word in vocabulary():
        assert len(tokenizer(word).input_ids) == 3, word  # start, the word, end
    assert len(tokenizer("zebra").input_ids) > 3


def test_every_caption_fits(tmp_path):
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    rng = random.Random(0)
    texts = [text_to_image.some_caption(i, 1, rng) for i in range(3000)]
    lengths = [len(ids) for ids in tokenizer(texts).input_ids]
    assert max(lengths) <= text_to_image.LENGTH
    assert 0.05 < texts.count("") / len(texts) < 0.15


def test_the_v_loss_is_the_closed_form(tmp_path):
    """With v_hat = 0 the loss is the mean of v squared, and v is diffusers' velocity."""
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    loss = text_to_image.Loss(*text_to_image.build(tokenizer))
    nn.init.zeros_(loss.unet.conv_out.weight)
    nn.init.zeros_(loss.unet.conv_out.bias)
    x0, eps = torch.randn(2, 4, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 300, 700, 999])
    tokens = tokenizer(["a cat"] * 4, padding="max_length", return_tensors="pt").input_ids
    v = DDIMScheduler(**text_to_image.SCHEDULE).get_velocity(x0, eps, t)
    even, uneven = torch.ones(4, 16, 16), torch.ones(4, 16, 16)
    torch.testing.assert_close(loss(x0, eps, t, tokens, even), v.square().mean())
    uneven[:, 3, 5] = 6
    more = v.square().mean() + 5 * v[:, :, 3, 5].square().sum() / v.numel()
    torch.testing.assert_close(loss(x0, eps, t, tokens, uneven), more)


def test_the_last_step_is_pure_noise():
    alpha_bar = DDIMScheduler(**text_to_image.SCHEDULE).alphas_cumprod
    assert alpha_bar[-1] < 1e-6 and (alpha_bar.diff() < 0).all()


def test_tokens_never_learned_are_zero_and_others_are_kept(tmp_path):
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    text_encoder, _ = text_to_image.build(tokenizer)
    before = text_encoder.get_input_embeddings().weight.clone()
    text_to_image.forget_unused(text_encoder, tokenizer)
    after = text_encoder.get_input_embeddings().weight
    cat = tokenizer("cat").input_ids[1]
    assert (after[cat] == before[cat]).all() and after[cat].abs().sum() > 0
    assert all((after[i] == 0).all() for i in tokenizer("zzz").input_ids[1:-1])


def test_psnr_is_the_closed_form(monkeypatch):
    pictures = np.full((3, 128, 128, 3), 100, np.uint8)
    monkeypatch.setattr(vae, "reconstruct", lambda _, data: data + 10)
    assert vae.psnr(None, pictures) == pytest.approx(10 * np.log10(255**2 / 100))


def test_a_step_of_each_model_lowers_its_loss(tmp_path):
    """Three steps on one batch: gradients reach every weight, and the loss falls."""
    torch.manual_seed(0)
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    tokens = tokenizer(["a cat"] * 2, padding="max_length", return_tensors="pt").input_ids
    x0, eps = torch.randn(2, 2, 8, 16, 16)
    x = as_tensor(data.pictures(2, 9, tmp_path))
    cases = [
        (vae.Loss(vae.build()), (x[..., :64, :64],)),
        (oracle.Loss(oracle.Oracle()), (x, oracle.labels([0, 1], 9))),
        (
            text_to_image.Loss(*text_to_image.build(tokenizer)),
            (x0, eps, torch.tensor([100, 900]), tokens, torch.ones(2, 16, 16)),
        ),
    ]
    for loss, inputs in cases:
        optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
        values = []
        for _ in range(4):
            torch.manual_seed(0)
            value = loss(*inputs)
            optimizer.zero_grad()
            value.backward()
            missing = [n for n, p in loss.named_parameters() if p.grad is None]
            assert not missing, missing
            optimizer.step()
            values.append(value.item())
        assert values[-1] < values[0]


def test_every_step_is_met_and_the_middle_most():
    share = text_to_image.t_shares()
    assert share.sum() == pytest.approx(1) and share.min() >= 0.5 / 1000
    alpha_bar = DDIMScheduler(**text_to_image.SCHEDULE).alphas_cumprod
    assert 0.25 < alpha_bar[share.argmax()] < 0.75  # where picture and noise are equally strong
