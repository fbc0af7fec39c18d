"""The judge of storybook-sd: pictures at default settings beside drawings of the same scenes.

Nothing here ever learned from a generated picture: the oracle saw drawings only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from imagegen.device import cpu_name
from imagegen.measure import features, frechet_distance, matches, read_factors, wilson
from imagegen.models import settings
from imagegen.pictures import grid
from imagegen.storybook import FACTORS, Scene, caption, draw, random_scene
from imagegen.training import vae

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
FACES = ("cat", "robot", "knight", "dragon")  # the subjects that show first what melts
SHARP, FRECHET = 500, 256  # how many pictures these numbers are measured on


def pictures_of(pipe, prompts: Sequence[str], seeds: Sequence[int], batch: int = 25) -> list:
    """One picture for each prompt and seed, drawn in batches, each from its own generator."""
    images = []
    for start in range(0, len(prompts), batch):
        some = slice(start, start + batch)
        noise = [torch.Generator().manual_seed(seed) for seed in seeds[some]]
        images += pipe(list(prompts[some]), generator=noise, **settings(pipe)).images
    return images


def scenes(n: int, name: str, held_out: bool = False) -> list[tuple[Scene, str]]:
    """n random scenes, each with a caption that names every factor; the same ones every time."""
    rng = random.Random(f"measure/{name}")
    some = (random_scene(rng, held_out) for _ in range(n))
    return [(scene, caption(scene, rng)) for scene in some]


def fine_energy(images: Sequence[Image.Image]) -> float:
    """The mean energy of pictures above a quarter of the sampling frequency.

    The squared size of the two-dimensional Fourier transform of brightness (0..1), summed over
    all frequencies of more than 1/4 cycle a pixel: edges, eyes, windows, and grain.
    """
    x = np.stack([np.asarray(image.convert("L"), float) / 255 for image in images])
    ys, xs = np.fft.fftfreq(x.shape[1]), np.fft.fftfreq(x.shape[2])
    fine = np.hypot(ys[:, None], xs[None, :]) > 0.25
    return float((np.abs(np.fft.fft2(x, norm="ortho")) ** 2)[:, fine].sum(1).mean())


def share_right(right: Sequence[bool]) -> dict:
    """How many are right, with Wilson's 95 % interval."""
    low, high = wilson(sum(right), len(right))
    return {"share": sum(right) / len(right), "low": low, "high": high, "n": len(right)}


def fidelity(images: Sequence[Image.Image], captioned: Sequence[tuple[Scene, str]]) -> dict:
    """The share of pictures with every named factor right; by factor (named or not), by subject."""
    right = matches(images, [prompt for _, prompt in captioned])
    seen = read_factors(images)
    by_factor = {
        f: sum(s[f] == getattr(scene, f) for s, (scene, _) in zip(seen, captioned, strict=True))
        / len(captioned)
        for f in FACTORS
    }
    subjects = [scene.subject for scene, _ in captioned]
    by_subject = {
        subject: share_right([r for r, s in zip(right, subjects, strict=True) if s == subject])
        for subject in sorted(set(subjects))
    }
    return share_right(right) | {"by_factor": by_factor, "by_subject": by_subject}


def sheet(pipe) -> Image.Image:
    """The course's own prompts, one picture of each, as the README shows them."""
    prompts = list(PROMPTS)
    images = pictures_of(pipe, prompts, [1] * len(prompts))
    return grid(images, titles=prompts, cols=3)


def round_trip(pipe, images: Sequence[Image.Image]) -> list[Image.Image]:
    """Pictures after the autoencoder alone."""
    return [Image.fromarray(a) for a in vae.reconstruct(pipe.vae, np.stack(list(images)))]


def contact_sheet(pipe) -> Image.Image:
    """24 fixed scenes, six of each of FACES: drawn, after the autoencoder, generated."""
    captioned = []
    for subject in FACES:
        rng = random.Random(f"contact/{subject}")
        while sum(scene.subject == subject for scene, _ in captioned) < 6:
            scene = random_scene(rng)
            if scene.subject == subject:
                captioned.append((scene, caption(scene, rng)))
    drawn = [draw(scene, seed) for seed, (scene, _) in enumerate(captioned)]
    rows = (
        drawn,
        round_trip(pipe, drawn),
        pictures_of(pipe, [prompt for _, prompt in captioned], list(range(24))),
    )
    parts = [row[half : half + 12] for half in (0, 12) for row in rows]
    labels = ["drawn", "round trip", "generated"] * 2
    return grid(sum(parts, []), row_labels=labels, cols=12, width=None)


def sharpness_and_distance(captioned: Sequence, back: Sequence, generated: Sequence) -> dict:
    """Fine energy as a share of that of drawings, and Fréchet distances from them.

    captioned: scenes and their captions; back, generated: drawings of these (seed 0, 1, ...) after
    the autoencoder, and generated pictures. The distances are those from other drawings of the same
    scenes; that of drawings from drawings is the floor, which a perfect model would reach.
    """
    drawn = [draw(scene, i) for i, (scene, _) in enumerate(captioned[:SHARP])]
    reference = features(
        [draw(scene, 10_000 + i) for i, (scene, _) in enumerate(captioned[:FRECHET])]
    )
    energy = fine_energy(drawn)
    floor, after, made = (
        frechet_distance(features(some[:FRECHET]), reference) for some in (drawn, back, generated)
    )
    return {
        "sharpness": fine_energy(generated[:SHARP]) / energy,
        "sharpness_after_autoencoder": fine_energy(back[:SHARP]) / energy,
        "sharpness_n": min(SHARP, len(drawn)),
        "frechet_floor": floor,
        "frechet_above_floor": made - floor,
        "frechet_above_floor_after_autoencoder": after - floor,
        "frechet_n": min(FRECHET, len(drawn)),
    }


def seconds_a_picture(pipe) -> float:
    """The least of four: one picture at default settings, warm, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = []
    for seed in range(5):
        start = time.perf_counter()
        pictures_of(pipe, PROMPTS[:1], [seed])
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return round(min(seconds[1:]), 3)


def text_to_image(pipe, n: int) -> dict:
    """Everything that is measured on generated pictures, n of them seen and n held out."""
    seen, held_out = scenes(n, "False"), scenes(n, "True", held_out=True)
    images = pictures_of(pipe, [prompt for _, prompt in seen], range(n))
    others = pictures_of(pipe, [prompt for _, prompt in held_out], range(n))
    drawn = [draw(scene, i) for i, (scene, _) in enumerate(seen[:SHARP])]
    own = {
        prompt: sum(matches(pictures_of(pipe, [prompt] * 8, range(8)), [prompt] * 8))
        for prompt in PROMPTS
    }
    return {
        **sharpness_and_distance(seen, round_trip(pipe, drawn), images),
        "fidelity_seen": fidelity(images, seen),
        "fidelity_held_out": fidelity(others, held_out),
        "prompts_right_of_8": own,
        "seconds_a_picture_one_thread": seconds_a_picture(pipe),
        "cpu": cpu_name(),
    }
