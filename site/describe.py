"""What the page must know of the model apart from its weights: the first part of model.json.

Sizes, vocabulary and the schedulers' numbers are read from the model itself, so that another one
of its kind needs no change here.
"""

from __future__ import annotations

import json
import re

import diffusers

from imagegen import __version__
from imagegen.draw import model_name, scheduler_name
from imagegen.models import model_folder, settings
from imagegen.recipe import SCHEDULERS
from imagegen.storybook import FACTORS, VALUES
from imagegen.storybook.caption import PHRASES, vocabulary
from imagegen.storybook.synonyms import PLAIN
from imagegen.training.evaluate import PROMPTS

SAMPLERS = ("DPM-Solver++", "DDIM", "Euler")  # those that schedulers.js has


def describe(pipe) -> dict:
    """All that the page must know of the model apart from its weights."""
    own = settings(pipe)
    names = {
        name: [factor, value]
        for factor, values in PHRASES.items()
        for value, phrases in values.items()
        for phrase in phrases
        for name in re.findall(r"\[(.+?)\]", phrase)
    }
    return {
        "model": model_name(pipe),
        "version": __version__,
        "size": own["height"],
        "steps": own["num_inference_steps"],
        "guidance": own["guidance_scale"],
        "scheduler": scheduler_name(pipe),
        "latent": list(latent_shape(pipe)),
        "scaling": pipe.vae.config.scaling_factor,
        "schedulers": {name: sampler(pipe, name) for name in SAMPLERS},
        "tokenizer": tokenizer(pipe.tokenizer),
        "factors": {factor: list(VALUES[factor]) for factor in FACTORS},
        "names": names,
        "vocabulary": vocabulary(),
        "synonyms": PLAIN,
        "prompts": list(PROMPTS),
        "metrics": json.loads((model_folder(model_name(pipe)) / "metrics.json").read_text()),
    }


def latent_shape(pipe) -> tuple[int, ...]:
    """The shape of the noise that one picture starts from."""
    side = settings(pipe)["height"] // pipe.vae_scale_factor
    return (1, pipe.unet.config.in_channels, side, side)


def sampler(pipe, name: str) -> dict:
    """The numbers of one scheduler as diffusers itself works them out from the model's own."""
    config = {"clip_sample": False} | dict(pipe.scheduler.config)
    scheduler = getattr(diffusers, SCHEDULERS[name]).from_config(config)
    kept = scheduler.config
    said = {
        key: kept.get(key)
        for key in ("num_train_timesteps", "timestep_spacing", "steps_offset", "prediction_type")
    }
    final = getattr(scheduler, "final_alpha_cumprod", None)
    odd = {
        "thresholding": False, "clip_sample": False, "algorithm_type": "dpmsolver++",
        "solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "zero",
        "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False,
        "euler_at_final": False, "interpolation_type": "linear", "timestep_type": "discrete",
    }  # fmt: skip
    for key, value in odd.items():
        if kept.get(key, value) != value:
            raise ValueError(f"schedulers.js draws with {key}={value!r}, not {kept[key]!r}.")
    return said | {
        "alpha_bar": scheduler.alphas_cumprod.tolist(),
        "final_alpha_bar": 1.0 if final is None else float(final),
    }


def tokenizer(own) -> dict:
    """The byte pair encoding of a CLIPTokenizer: its pieces, its merges and its special tokens."""
    model = json.loads(own.backend_tokenizer.to_str())["model"]
    merges = [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    return {
        "pieces": model["vocab"],
        "merges": merges,
        "end_of_word": model["end_of_word_suffix"],
        "unknown": own.unk_token_id,
        "start": own.bos_token_id,
        "end": own.eos_token_id,
        "pad": own.pad_token_id,
        "length": own.model_max_length,
    }
