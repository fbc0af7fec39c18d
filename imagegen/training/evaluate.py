"""How well storybook-sd does what it is told, measured with the oracle at default settings."""

from __future__ import annotations

import random
import time

import torch
from PIL import Image

from imagegen.device import cpu_name
from imagegen.measure import matches, wilson
from imagegen.models import settings
from imagegen.pictures import grid
from imagegen.storybook import caption, random_scene

PROMPTS = (
    "A futuristic cityscape during sunset",
    "A futuristic cityscape at sunset with flying cars",
    "A serene mountain landscape",
    "A futuristic robot in a dystopian world",
    "A cozy cottage in a snow-covered forest",
    "A majestic waterfall in a dense jungle",
    "A portrait of a medieval knight",
    "A futuristic space station orbiting Earth",
    "A cat sitting on a beach during sunset",
)


def pictures_of(pipe, prompts: list[str], seeds: list[int], batch: int = 25) -> list:
    """One picture for each prompt and seed, drawn in batches, each from its own generator."""
    images = []
    for start in range(0, len(prompts), batch):
        some = slice(start, start + batch)
        noise = [torch.Generator().manual_seed(seed) for seed in seeds[some]]
        images += pipe(prompts[some], generator=noise, **settings(pipe)).images
    return images


def fidelity(pipe, n: int, held_out: bool) -> dict:
    """The share of n random scenes, every factor named, that are drawn with every factor right."""
    rng = random.Random(f"measure/{held_out}")
    prompts = [caption(random_scene(rng, held_out), rng) for _ in range(n)]
    right = sum(matches(pictures_of(pipe, prompts, list(range(n))), prompts))
    low, high = wilson(right, n)
    return {"share": right / n, "low": low, "high": high, "n": n}


def sheet(pipe) -> Image.Image:
    """The course's own prompts, one picture of each, as the README shows them."""
    prompts = list(PROMPTS)
    images = pictures_of(pipe, prompts, [1] * len(prompts))
    return grid(images, titles=prompts, cols=3)


def text_to_image(pipe, n: int) -> dict:
    """Fidelity on seen and held-out scenes, the course's own prompts, seconds a picture."""
    own = {
        prompt: sum(matches(pictures_of(pipe, [prompt] * 8, list(range(8))), [prompt] * 8))
        for prompt in PROMPTS
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for seed in range(4):
        start = time.perf_counter()
        pictures_of(pipe, [PROMPTS[0]], [seed])
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return {
        "fidelity_seen": fidelity(pipe, n, held_out=False),
        "fidelity_held_out": fidelity(pipe, n, held_out=True),
        "prompts_right_of_8": own,
        "seconds_a_picture_one_thread": round(min(seconds), 3),
        "cpu": cpu_name(),
    }
