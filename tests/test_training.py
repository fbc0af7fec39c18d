"""The training loop and its parts, on networks that are tiny or barely trained."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from torch import nn

from imagegen.latent import as_tensor
from imagegen.models import load_pipeline
from imagegen.storybook import Scene, draw, read, vocabulary, words
from imagegen.storybook.caption import caption_words
from imagegen.storybook.synonyms import reworded
from imagegen.training import __main__ as command
from imagegen.training import data, evaluate, melt, oracle, text_to_image, vae
from imagegen.training.loop import TimeIsUp, begin_with, fit, generator, load_average, optimizers
from imagegen.training.muon import Muon, orthogonal


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


def test_an_orthogonal_matrix_has_singular_values_near_one():
    g = torch.Generator().manual_seed(0)
    for rows, columns in ((8, 8), (5, 40), (40, 5)):
        matrix = torch.randn(rows, columns, generator=g)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        near = orthogonal(matrix).float()
        values = torch.linalg.svdvals(near)
        assert near.shape == matrix.shape and 0.6 < values.min() and values.max() < 1.3
        assert ((near * (u @ v)).sum() / near.norm() / (u @ v).norm()) > 0.97  # the same directions


def test_muon_moves_all_directions_alike():
    """One step from zero is the rate times U V^T, however unlike the gradient's sizes are."""
    for shape, scale in (((3, 2, 3, 3), 1), ((18, 3), 6**0.5)):
        w = nn.Parameter(torch.zeros(shape))
        sizes = torch.tensor([1.0, 10, 100])
        rows = torch.linalg.qr(torch.randn(18, 3, generator=torch.Generator().manual_seed(1)))[0]
        g = rows * sizes if shape == (18, 3) else (rows * sizes).T.reshape(shape)
        w.grad = g.clone()
        Muon([w], lr=0.1).step()
        moved = torch.linalg.svdvals(w.detach().flatten(1))
        torch.testing.assert_close(moved, torch.full((3,), 0.1 * scale), rtol=0.35, atol=0)
        assert (w.grad * w).sum() < 0


def test_muon_has_the_inner_matrices_and_adam_the_rest(tmp_path):
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    loss = text_to_image.Loss(*text_to_image.build(tokenizer))
    adam, muon = optimizers(loss, 1e-3, 0.02, 0.9)
    names = {id(w): name for name, w in loss.named_parameters()}
    inner = {names[id(w)] for w in muon.param_groups[0]["params"]}
    outer = {names[id(w)] for w in adam.param_groups[0]["params"]}
    assert not inner & outer and inner | outer == set(names.values())
    assert {"unet.conv_in.weight", "unet.conv_out.weight"} <= outer
    ends = ("embedding", "conv_in", "conv_out")
    for name, w in loss.named_parameters():
        assert (name in outer) == (w.ndim == 1 or any(end in name for end in ends)), name
    assert "unet.mid_block.resnets.0.conv1.weight" in inner
    assert len(optimizers(loss, 1e-3, 0, 0.9)) == 1


def test_a_run_stops_in_time_and_goes_on(tmp_path):
    whole, parts = a_line(), a_line()
    fit(whole, batch, tmp_path / "whole", steps=3, muon=0.1, precision="no")
    for _ in range(2):
        with pytest.raises(TimeIsUp, match="step"):
            fit(parts, batch, tmp_path / "parts", 3, muon=0.1, stop=0, precision="no")
    fit(parts, batch, tmp_path / "parts", steps=3, muon=0.1, precision="no")
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


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


def test_a_grown_model_draws_as_before(tmp_path, monkeypatch):
    """More layers and more words change nothing at first; a synonym means what it replaces."""
    torch.manual_seed(0)
    with monkeypatch.context() as fewer_words:
        fewer_words.setattr(text_to_image, "vocabulary", caption_words)
        old_tokenizer = text_to_image.build_tokenizer(tmp_path / "old")
    tokenizer = text_to_image.build_tokenizer(tmp_path / "new")
    assert len(tokenizer) > len(old_tokenizer) + 100
    text_encoder, unet = text_to_image.build(tokenizer)
    old_text_encoder, _ = text_to_image.build(old_tokenizer)
    old_unet = UNet2DConditionModel.from_config({**unet.config, "layers_per_block": 1})
    old = (old_text_encoder.eval(), old_unet.eval(), old_tokenizer)
    new = (text_encoder.eval(), unet.eval(), tokenizer)
    pipe = SimpleNamespace(text_encoder=old[0], unet=old[1], tokenizer=old[2])
    text_to_image.grow(*new[:2], tokenizer, pipe)
    x = torch.randn(2, 8, 16, 16, generator=generator(0, 0))

    def v(text_encoder, unet, tokenizer, texts):
        ids = tokenizer(texts, padding="max_length", max_length=32, return_tensors="pt").input_ids
        with torch.inference_mode():
            return unet(x, 500, encoder_hidden_states=text_encoder(ids)[0]).sample

    texts = ["a red cat on a beach at sunset", "with a hot-air balloon"]
    before = v(*old, texts)
    torch.testing.assert_close(v(*new, texts), before, rtol=1e-4, atol=1e-5)
    others = ["a crimson kitty on a shore at sundown", "featuring a hot-air balloon"]
    torch.testing.assert_close(v(*new, others), before, rtol=1e-4, atol=1e-5)
    assert (v(*new, ["a dog on a beach at sunset", "a balloon"]) - before).abs().max() > 1e-3


def test_every_caption_fits(tmp_path):
    tokenizer = text_to_image.build_tokenizer(tmp_path)
    rng = random.Random(0)
    texts = [text_to_image.some_caption(i, 1, rng) for i in range(3000)]
    texts += [reworded(text, rng, share=1) for text in texts]
    lengths = [len(ids) for ids in tokenizer(texts).input_ids]
    assert max(lengths) <= text_to_image.LENGTH
    assert 0.05 < texts.count("") / len(texts) < 0.15
    met = {word for text in texts for word in words(text)}
    assert met <= set(vocabulary())
    assert len(met & set(caption_words())) > 110 and len(met - set(caption_words())) > 110


def test_most_captions_name_every_factor():
    rng = random.Random(0)
    texts = [text_to_image.some_caption(1, 9, rng) for _ in range(400)]
    named = [len(read(text)) for text in texts]
    assert data.scene(1, 9).weather == "snow"  # clear weather would go unsaid at times
    assert 0.75 < named.count(6) / len(named) < 0.87 and 0.05 < named.count(0) / len(named) < 0.15


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
        (vae.Loss(vae.freeze_encoder(vae.build())), (x[..., :64, :64], torch.randn(2, 8, 8, 8))),
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
            missing = [n for n, p in loss.named_parameters() if p.requires_grad and p.grad is None]
            assert not missing, missing
            optimizer.step()
            values.append(value.item())
        assert values[-1] < values[0]


def test_every_step_is_met_and_the_middle_most():
    share = text_to_image.t_shares()
    assert share.sum() == pytest.approx(1) and share.min() >= 0.5 / 1000
    alpha_bar = DDIMScheduler(**text_to_image.SCHEDULE).alphas_cumprod
    assert 0.25 < alpha_bar[share.argmax()] < 0.75  # where picture and noise are equally strong


def test_the_discriminator_and_the_autoencoder_pull_against_each_other(monkeypatch):
    """What D learns comes from the hinge terms alone; the autoencoder's gradient is w times D's."""
    torch.manual_seed(0)
    x, z = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 8, 8, 8)
    loss = vae.Loss(vae.build())
    last, first = loss.vae.decoder.conv_out.weight, loss.discriminator[0].weight

    def gradients(weight):
        loss.zero_grad()
        loss.adversarial = weight
        loss(x, z).backward()
        return last.grad.clone(), first.grad.clone()

    (none, d0), (some, d1), (more, d2) = (gradients(w) for w in (0.0, 1.0, 2.0))
    assert torch.equal(d0, d1) and torch.equal(d0, d2) and d0.abs().sum() > 0
    torch.testing.assert_close(more - none, 2 * (some - none), rtol=1e-3, atol=1e-5)
    x_hat = loss.vae.decode(z).sample
    judged = (1 - loss.discriminator(x)).relu().mean() + (
        1 + loss.discriminator(x_hat.detach())
    ).relu().mean()
    torch.testing.assert_close(torch.autograd.grad(judged, first)[0], d0)
    fooled = torch.autograd.grad(-loss.discriminator(x_hat).mean(), last)[0]
    torch.testing.assert_close(some - none, fooled, rtol=1e-3, atol=1e-5)
    assert fooled.abs().max() > 1e-3


def test_crops_of_latents_belong_to_crops_of_pictures():
    """A latent that holds its cell's number meets the pixels of that cell; 2 of 5 are melted."""
    cells = np.arange(256, dtype=np.float32).reshape(16, 16)
    picture = np.kron(cells, np.ones((8, 8))).astype(np.uint8)[..., None].repeat(3, 2)
    true, melted = np.tile(cells, (4, 8, 1, 1)), np.tile(cells, (2, 8, 1, 1)) + 1000
    crops = vae.decoder_batches(np.stack([picture] * 4), true, melted, 1, 10)
    x, z = crops(0)
    assert x.shape == (10, 3, 64, 64) and z.shape == (10, 8, 8, 8)
    assert [bool(v) for v in (z >= 1000).all((1, 2, 3))] == [True] * 4 + [False] * 6
    torch.testing.assert_close((x[:, 0, ::8, ::8] + 1) * 127.5, z[:, 0] % 1000)
    assert not torch.equal(crops(1)[0], x) and torch.equal(crops(0)[0], x)


def test_fine_energy_is_that_of_fine_waves():
    """A wave of amplitude a on n x n pixels has the energy n^2 a^2 / 2, if it is fine enough."""
    wave = np.cos(2 * np.pi * np.arange(64) / 64 * np.array([[8], [15], [20], [31]]))
    waves = np.repeat(wave[:, None], 64, 1)
    images = [Image.fromarray((127.5 + 100 * w).round().astype(np.uint8)) for w in waves]
    energies = [evaluate.fine_energy([image]) for image in images]
    full = 64**2 * (100 / 255) ** 2 / 2
    assert energies == pytest.approx([0, 0, full, full], rel=0.02, abs=0.5)
    assert evaluate.fine_energy(images) == pytest.approx(full / 2, rel=0.02)


def test_drawings_are_at_the_floor_and_grey_is_not():
    captioned = evaluate.scenes(24, "test")
    drawn = [draw(scene, i) for i, (scene, _) in enumerate(captioned)]
    grey = [Image.new("RGB", (128, 128), (128, 128, 128))] * 24
    judged = evaluate.sharpness_and_distance(captioned, drawn, grey)
    assert judged["sharpness_after_autoencoder"] == 1 and judged["sharpness"] == 0
    assert judged["frechet_above_floor_after_autoencoder"] == 0 < judged["frechet_above_floor"]
    right = evaluate.fidelity(drawn, captioned)
    assert right["share"] == 1 and set(right["by_factor"].values()) == {1}
    assert sum(s["n"] for s in right["by_subject"].values()) == 24
    wrong = evaluate.fidelity(drawn[1:] + drawn[:1], captioned)
    assert wrong["share"] < 0.3 and 0 < wrong["by_factor"]["time"] < 1


def test_a_latent_melts_only_from_where_it_is_noised():
    """From the last step on next to nothing is lost, from the first on next to everything."""
    pipe = load_pipeline(device="cpu")
    x = as_tensor(np.stack([np.asarray(draw(Scene("beach", "day", "clear", "cat", "red"), 3))]))
    with torch.inference_mode():
        z = pipe.vae.encode(x).latent_dist.mode() * pipe.vae.config.scaling_factor
    prompt = ["a red cat on a beach at noon"]
    far = [
        (melt.redraw(pipe, z, prompt, first, generator(0, 0)) - z).square().mean().item()
        for first in (19, 12, 0)
    ]
    assert far[0] < 0.05 < far[1] < 0.5 * far[2]


def test_one_command_trains_all_in_pieces_and_writes_small_files(tmp_path, monkeypatch):
    """Twenty steps of each stage, stopped at once and gone on with; stock diffusers draws."""
    monkeypatch.setattr(command, "STATE", tmp_path / "state")
    monkeypatch.setattr(command, "MODELS", tmp_path / "models")
    (tmp_path / "models").mkdir()
    AcceleratorState._reset_state()  # another precision than other tests of this process
    stages = ["vae", "text-to-image", "decoder", "export"]
    steps = []
    for minutes in ("0", "0", "1e-9", "100"):
        command.main([*stages, "--preset", "trial", "--minutes", minutes])
        state = torch.load(tmp_path / "state" / "vae" / "state.pt", weights_only=True)
        steps.append(state["step"])
    assert steps == [1, 2, 3, 20]
    for name in stages[:3]:
        state = torch.load(tmp_path / "state" / name / "state.pt", weights_only=True)
        assert state["step"] == 20, name
    files = [f for f in (tmp_path / "models").rglob("*") if f.is_file()]
    assert max(f.stat().st_size for f in files) <= 16e6
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "models" / "storybook-sd")
    image = pipe("a cat", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (128, 128, 3) and np.isfinite(image).all()
