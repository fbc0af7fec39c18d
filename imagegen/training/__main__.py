"""`python -m imagegen.training [STAGE ...]`, with the stages of STAGES, in their order.

Trains what is asked for, or everything, and writes assets/models. A run that was stopped goes on
where it was; the state lies in checkpoints/. Where that is lost, `restore` begins a new run with
the shipped weights. `accelerate launch -m imagegen.training` uses every GPU there is.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_model

from imagegen.measure import oracle as the_oracle
from imagegen.models import load_pipeline
from imagegen.training import evaluate, oracle, text_to_image, upscaler, vae
from imagegen.training.data import detail_cells, pictures
from imagegen.training.loop import begin_with, fit, load_average
from imagegen.upscale import Upscaler

ROOT = Path(__file__).parents[2]
STATE = ROOT / "checkpoints"
MODELS = ROOT / "assets" / "models"


@dataclass(frozen=True)
class Preset:
    """How much to train: `cpu` takes hours on two cores, `gpu` minutes on a large GPU."""

    pictures: int
    oracle_steps: int
    vae_steps: int
    decoder_steps: int
    vae_batch: int
    steps: int
    batch: int
    rate: float
    upscaler_steps: int


PRESETS = {
    "cpu": Preset(36_000, 2_500, 5_000, 4_000, 16, 12_000, 64, 8e-4, 5_000),
    "gpu": Preset(200_000, 6_000, 20_000, 10_000, 64, 40_000, 256, 1e-3, 20_000),
}
# Seeds of the data sets: training, checking while training, the oracle's and the upscaler's own.
TRAIN, CHECK, ORACLE_TRAIN, ORACLE_CHECK, UPSCALER_TRAIN, UPSCALER_CHECK = 1, 2, 5, 6, 7, 8


def train_oracle(preset: Preset) -> None:
    """Train the classifier and write assets/models/storybook-oracle."""
    model = oracle.Oracle()
    batches = oracle.batches(preset.pictures // 5, ORACLE_TRAIN, STATE / "data", 64)
    fit(oracle.Loss(model), batches, STATE / "oracle", preset.oracle_steps, rate=2e-3)
    model.to(memory_format=torch.contiguous_format)
    save_model(model, MODELS / "storybook-oracle" / "model.safetensors")
    shutil.copy(STATE / "oracle" / "log.csv", MODELS / "storybook-oracle" / "training.csv")


def train_vae(preset: Preset) -> None:
    """Train the autoencoder."""
    model = vae.build()
    batches = vae.batches(preset.pictures // 3, TRAIN, STATE / "data", preset.vae_batch)
    fit(vae.Loss(model), batches, STATE / "vae", preset.vae_steps)
    model.save_pretrained(STATE / "vae")


def restore(preset: Preset) -> None:
    """Fill an empty checkpoints/ from assets/models, so that training goes on from there."""
    pipe = load_pipeline(device="cpu")
    loss = text_to_image.Loss(pipe.text_encoder, pipe.unet)
    begin_with(loss, STATE / "text-to-image")
    begin_with(vae.Loss(vae.freeze_encoder(pipe.vae)), STATE / "decoder")
    pipe.vae.save_pretrained(STATE / "vae")
    pipe.tokenizer.save_pretrained(STATE / "tokenizer")


def train_decoder(preset: Preset) -> None:
    """Train the autoencoder's decoder alone, while the latents stay what they are."""
    model = vae.freeze_encoder(AutoencoderKL.from_pretrained(STATE / "vae"))
    batches = vae.batches(preset.pictures // 3, TRAIN, STATE / "data", preset.vae_batch)
    fit(vae.Loss(model), batches, STATE / "decoder", preset.decoder_steps, rate=5e-4)


def latents(preset: Preset) -> tuple[torch.Tensor, float]:
    """The latents of the training pictures and the factor that gives them unit variance."""
    encoder = AutoencoderKL.from_pretrained(STATE / "vae").eval()
    data = text_to_image.latents(encoder, preset.pictures, TRAIN, STATE / "data")
    return data, 1 / float(data[:2000].astype("float32").std())


def train_text_to_image(preset: Preset) -> None:
    """Train the text encoder and the U-Net on the latents."""
    tokenizer = text_to_image.build_tokenizer(STATE / "tokenizer")
    data, scale = latents(preset)
    details = detail_cells(preset.pictures, TRAIN, STATE / "data")
    batches = text_to_image.batches(data, scale, details, tokenizer, TRAIN, preset.batch)
    loss = text_to_image.Loss(*text_to_image.build(tokenizer))
    fit(loss, batches, STATE / "text-to-image", preset.steps, preset.rate)


def export(preset: Preset) -> None:
    """Write assets/models/storybook-sd from the newest states, also of unfinished runs."""
    tokenizer = text_to_image.build_tokenizer(STATE / "tokenizer")
    text_encoder, unet = text_to_image.build(tokenizer)
    step = load_average(text_to_image.Loss(text_encoder, unet), STATE / "text-to-image")
    text_to_image.forget_unused(text_encoder, tokenizer)
    autoencoder = vae.build()  # not the loaded one, whose config would name this folder
    autoencoder.load_state_dict(AutoencoderKL.from_pretrained(STATE / "vae").state_dict())
    if (STATE / "decoder" / "state.pt").exists():
        load_average(vae.Loss(vae.freeze_encoder(autoencoder)), STATE / "decoder")
    autoencoder.register_to_config(scaling_factor=latents(preset)[1])
    # transformers loads what it finds in the file, diffusers float32: half a text encoder would
    # meet a whole U-Net.
    for part in (autoencoder, unet):
        part.to(torch.float16, memory_format=torch.contiguous_format)
    pipe = StableDiffusionPipeline(
        vae=autoencoder, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet,
        scheduler=DPMSolverMultistepScheduler(**text_to_image.SCHEDULE, steps_offset=1),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    folder = MODELS / "storybook-sd"
    pipe.save_pretrained(folder)
    for name in ("vae", "decoder", "text-to-image"):
        if (STATE / name / "log.csv").exists():
            shutil.copy(STATE / name / "log.csv", folder / f"training-{name}.csv")
    print(f"{folder}: step {step}")


def measure(preset: Preset) -> None:
    """Measure what was exported and write it beside the weights; paint the README's picture."""
    pipe = load_pipeline(device="cpu")
    evaluate.sheet(pipe).save(ROOT / "assets" / "figures" / "nine_prompts.jpg", quality=90)
    unseen = pictures(500, CHECK, STATE / "data")
    fresh = pictures(1000, ORACLE_CHECK, STATE / "data", held_out=None)
    read, labels = the_oracle(), oracle.labels(list(range(1000)), ORACLE_CHECK)
    metrics = {
        "oracle_accuracy": oracle.accuracy(read, fresh, labels),
        "oracle_accuracy_after_autoencoder": oracle.accuracy(
            read, vae.reconstruct(pipe.vae, fresh), labels
        ),
        "autoencoder_psnr_db": vae.psnr(pipe.vae, unseen),
        **evaluate.text_to_image(pipe, n=500),
    }
    path = MODELS / "storybook-sd" / "metrics.json"
    path.write_text(json.dumps(metrics, indent=1) + "\n")
    print(path.read_text())


def train_upscaler(preset: Preset) -> None:
    """Train the upscaler, write assets/models/storybook-upscaler and measure it."""
    model, folder = Upscaler(), MODELS / "storybook-upscaler"
    batches = upscaler.batches(preset.pictures // 9, UPSCALER_TRAIN, STATE / "data", 32)
    fit(upscaler.Loss(model), batches, STATE / "upscaler", preset.upscaler_steps)
    model.to(memory_format=torch.contiguous_format)
    save_model(model, folder / "model.safetensors")
    shutil.copy(STATE / "upscaler" / "log.csv", folder / "training.csv")
    unseen = pictures(300, UPSCALER_CHECK, STATE / "data", held_out=True)
    truth = oracle.labels(list(range(300)), UPSCALER_CHECK, held_out=True)
    metrics = upscaler.metrics(model.cpu().eval(), the_oracle(), unseen, truth)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print((folder / "metrics.json").read_text())


STAGES = {
    "oracle": train_oracle, "vae": train_vae, "decoder": train_decoder,
    "text-to-image": train_text_to_image, "export": export, "measure": measure,
    "upscaler": train_upscaler, "restore": restore,
}  # fmt: skip
DEFAULT = [stage for stage in STAGES if stage != "restore"]


def main() -> None:
    """Parse the command line and run the stages asked for."""
    parser = argparse.ArgumentParser(prog="python -m imagegen.training", description=__doc__)
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], help="default: all but restore")
    default = "gpu" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--preset", choices=PRESETS, default=default)
    args = parser.parse_args()
    torch.manual_seed(0)
    for stage in args.stages or DEFAULT:
        STAGES[stage](PRESETS[args.preset])


if __name__ == "__main__":
    main()
