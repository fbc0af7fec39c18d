"""`python -m imagegen.training [STAGE ...]`, with the stages of STAGES, in their order.

Trains what is asked for, or everything, and writes assets/models. A run that was stopped goes on
where it was; the state lies in checkpoints/. Where that is lost, `restore` begins a new run with
the shipped weights. `accelerate launch -m imagegen.training` uses every GPU there is.
With --minutes it stops in time, saves and exports; the same command again goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_model

from imagegen.measure import oracle as the_oracle
from imagegen.models import load_pipeline
from imagegen.training import evaluate, melt, oracle, text_to_image, upscaler, vae
from imagegen.training.data import detail_cells, pictures
from imagegen.training.loop import TimeIsUp, begin_with, fit, load_average
from imagegen.upscale import Upscaler

ROOT = Path(__file__).parents[2]
STATE = ROOT / "checkpoints"
MODELS = ROOT / "assets" / "models"
LARGEST_FILE = "15MB"  # so that every file can be sent from machines that send no larger ones


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How much to train."""

    pictures: int
    oracle_steps: int
    vae_steps: int
    vae_batch: int
    steps: int
    batch: int
    rate: float  # AdamW's for text-to-image
    muon: float  # Muon's; trained weights bear a fourth of what untrained ones do
    melted: int
    decoder_steps: int
    upscaler_steps: int
    measured: int = 1000
    stop: float = math.inf  # the time.time() at which to save and leave


PRESETS = {
    # Hours on one core for each of vae and text-to-image.
    "cpu": Preset(
        pictures=40_000, oracle_steps=2_500, vae_steps=5_000, vae_batch=16, steps=20_000,
        batch=128, rate=4e-4, muon=5e-3, melted=4_000, decoder_steps=2_000, upscaler_steps=5_000,
    ),
    # Three times ten minutes on one large GPU.
    "gpu": Preset(
        pictures=200_000, oracle_steps=6_000, vae_steps=8_000, vae_batch=128, steps=30_000,
        batch=512, rate=8e-4, muon=0.02, melted=40_000, decoder_steps=4_000, upscaler_steps=20_000,
    ),
    # Minutes on one core: every stage runs, nothing is learned.
    "trial": Preset(
        pictures=180, oracle_steps=20, vae_steps=20, vae_batch=2, steps=20,
        batch=4, rate=8e-4, muon=0.02, melted=8, decoder_steps=20, upscaler_steps=20, measured=8,
    ),
}  # fmt: skip
# Seeds of the data sets: training, checking while training, the oracle's and the upscaler's own.
TRAIN, CHECK, ORACLE_TRAIN, ORACLE_CHECK, UPSCALER_TRAIN, UPSCALER_CHECK = 1, 2, 5, 6, 7, 8


def train_oracle(preset: Preset) -> None:
    """Train the classifier and write assets/models/storybook-oracle."""
    model = oracle.Oracle()
    batches = oracle.batches(preset.pictures // 5, ORACLE_TRAIN, STATE / "data", 64)
    steps, stop = preset.oracle_steps, preset.stop
    fit(oracle.Loss(model), batches, STATE / "oracle", steps, rate=2e-3, stop=stop)
    model.to(memory_format=torch.contiguous_format)
    save_model(model, MODELS / "storybook-oracle" / "model.safetensors")
    shutil.copy(STATE / "oracle" / "log.csv", MODELS / "storybook-oracle" / "training.csv")


def train_vae(preset: Preset) -> None:
    """Train the autoencoder."""
    model = vae.build()
    batches = vae.batches(preset.pictures, TRAIN, STATE / "data", preset.vae_batch)
    steps, stop = preset.vae_steps, preset.stop
    loss = vae.Loss(model, adversarial=0.005)  # the decoder's own training makes it crisp
    fit(loss, batches, STATE / "vae", steps, rate=4e-4, momentum=0.5, stop=stop)
    model.save_pretrained(STATE / "vae")


def restore(preset: Preset) -> None:
    """Fill an empty checkpoints/ from assets/models, so that training goes on from there."""
    pipe = load_pipeline(device="cpu")
    tokenizer = text_to_image.build_tokenizer(STATE / "tokenizer")
    text_encoder, unet = text_to_image.build(tokenizer)
    text_to_image.grow(text_encoder, unet, tokenizer, pipe)
    begin_with(text_to_image.Loss(text_encoder, unet), STATE / "text-to-image")
    pipe.vae.save_pretrained(STATE / "vae")


def latents(preset: Preset) -> tuple[torch.Tensor, float]:
    """The latents of the training pictures and the factor that gives them unit variance."""
    encoder = AutoencoderKL.from_pretrained(STATE / "vae").eval()
    if torch.cuda.is_available():
        encoder.to("cuda")
    data = text_to_image.latents(encoder, preset.pictures, TRAIN, STATE / "data")
    return data, 1 / float(data[:2000].astype("float32").std())


def train_text_to_image(preset: Preset) -> None:
    """Train the text encoder and the U-Net on the latents."""
    tokenizer = text_to_image.build_tokenizer(STATE / "tokenizer")
    data, scale = latents(preset)
    details = detail_cells(preset.pictures, TRAIN, STATE / "data")
    batches = text_to_image.batches(data, scale, details, tokenizer, TRAIN, preset.batch)
    loss = text_to_image.Loss(*text_to_image.build(tokenizer))
    fit(
        loss, batches, STATE / "text-to-image", preset.steps,
        rate=preset.rate, muon=preset.muon, stop=preset.stop,
    )  # fmt: skip


def pipeline(preset: Preset) -> StableDiffusionPipeline:
    """The whole model with the newest averaged weights, also of unfinished runs."""
    tokenizer = text_to_image.build_tokenizer(STATE / "tokenizer")
    text_encoder, unet = text_to_image.build(tokenizer)
    load_average(text_to_image.Loss(text_encoder, unet), STATE / "text-to-image")
    text_to_image.forget_unused(text_encoder, tokenizer)
    autoencoder = vae.build()  # not the loaded one, whose config would name this folder
    autoencoder.load_state_dict(AutoencoderKL.from_pretrained(STATE / "vae").state_dict())
    if (STATE / "decoder" / "state.pt").exists():
        load_average(vae.Loss(vae.freeze_encoder(autoencoder)), STATE / "decoder")
    autoencoder.register_to_config(scaling_factor=latents(preset)[1])
    return StableDiffusionPipeline(
        vae=autoencoder.eval(), text_encoder=text_encoder.eval(), tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=DPMSolverMultistepScheduler(**text_to_image.SCHEDULE, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def train_decoder(preset: Preset) -> None:
    """Train the decoder alone on true and on melted latents; the latents stay what they are."""
    pipe = pipeline(preset)
    if torch.cuda.is_available():
        pipe.to("cuda")
    data = pictures(preset.pictures, TRAIN, STATE / "data")
    melted = melt.melted(pipe, preset.melted, TRAIN, STATE / "data")
    true = latents(preset)[0]
    batches = vae.decoder_batches(data, true, melted, TRAIN, preset.vae_batch)
    loss = vae.Loss(vae.freeze_encoder(pipe.vae))
    steps, stop = preset.decoder_steps, preset.stop
    fit(loss, batches, STATE / "decoder", steps, rate=3e-4, momentum=0.5, stop=stop)


def export(preset: Preset) -> None:
    """Write assets/models/storybook-sd from the newest states."""
    pipe = pipeline(preset)
    # transformers loads what it finds in the file, diffusers float32: half a text encoder would
    # meet a whole U-Net.
    for part in (pipe.vae, pipe.unet):
        part.to(torch.float16, memory_format=torch.contiguous_format)
    folder = MODELS / "storybook-sd"
    for older in folder.glob("*/*.safetensors*"):
        older.unlink()  # a part that grew has two files, and a reader would take the one of before
    pipe.save_pretrained(folder, max_shard_size=LARGEST_FILE)
    for name in ("vae", "decoder", "text-to-image"):
        if (STATE / name / "log.csv").exists():
            shutil.copy(STATE / name / "log.csv", folder / f"training-{name}.csv")


def measure(preset: Preset) -> None:
    """Measure what was exported and write it beside the weights; paint the README's picture."""
    pipe = load_pipeline(device="cpu")
    figures = ROOT / "assets" / "figures"
    evaluate.sheet(pipe).save(figures / "nine_prompts.jpg", quality=90)
    evaluate.contact_sheet(pipe).save(figures / "storybook_sd_faces.jpg", quality=90)
    unseen = pictures(500, CHECK, STATE / "data")
    fresh = pictures(1000, ORACLE_CHECK, STATE / "data", held_out=None)
    read, labels = the_oracle(), oracle.labels(list(range(1000)), ORACLE_CHECK)
    metrics = {
        "oracle_accuracy": oracle.accuracy(read, fresh, labels),
        "oracle_accuracy_after_autoencoder": oracle.accuracy(
            read, vae.reconstruct(pipe.vae, fresh), labels
        ),
        "autoencoder_psnr_db": vae.psnr(pipe.vae, unseen),
        **evaluate.text_to_image(pipe, preset.measured),
    }
    path = MODELS / "storybook-sd" / "metrics.json"
    path.write_text(json.dumps(metrics, indent=1) + "\n")
    print(path.read_text())


def train_upscaler(preset: Preset) -> None:
    """Train the upscaler, write assets/models/storybook-upscaler and measure it."""
    model, folder = Upscaler(), MODELS / "storybook-upscaler"
    batches = upscaler.batches(preset.pictures // 9, UPSCALER_TRAIN, STATE / "data", 32)
    steps, stop = preset.upscaler_steps, preset.stop
    fit(upscaler.Loss(model), batches, STATE / "upscaler", steps, stop=stop)
    model.to(memory_format=torch.contiguous_format)
    save_model(model, folder / "model.safetensors")
    shutil.copy(STATE / "upscaler" / "log.csv", folder / "training.csv")
    unseen = pictures(300, UPSCALER_CHECK, STATE / "data", held_out=True)
    truth = oracle.labels(list(range(300)), UPSCALER_CHECK, held_out=True)
    metrics = upscaler.metrics(model.cpu().eval(), the_oracle(), unseen, truth)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print((folder / "metrics.json").read_text())


STAGES = {
    "oracle": train_oracle, "vae": train_vae, "text-to-image": train_text_to_image,
    "decoder": train_decoder, "export": export, "measure": measure,
    "upscaler": train_upscaler, "restore": restore,
}  # fmt: skip
DEFAULT = [stage for stage in STAGES if stage != "restore"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run the stages asked for."""
    parser = argparse.ArgumentParser(prog="python -m imagegen.training", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="default: all but restore")
    default = "gpu" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--preset", choices=PRESETS, default=default)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    args = parser.parse_args(arguments)
    torch.manual_seed(0)
    preset = replace(PRESETS[args.preset], stop=time.time() + 60 * args.minutes)
    try:
        for stage in args.stages or DEFAULT:
            STAGES[stage](preset)
    except TimeIsUp as stopped:
        print(stopped, "The same command goes on from there.")
        if (STATE / "text-to-image" / "state.pt").exists():
            export(preset)


if __name__ == "__main__":
    main()
