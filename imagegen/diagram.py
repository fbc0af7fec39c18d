"""A map of latent diffusion: its parts, and the shapes of what passes between them.

    prompt -> tokenizer -> text encoder -> (U-Net -> scheduler) x steps -> decoder -> picture

Built in chapter 7, and the map of chapter 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline
    from matplotlib.figure import Figure

# Each part: its middle on the map, and what it says.
PARTS = {
    "tokenizer": ((1.3, 2), "tokenizer"),
    "text encoder": ((2.9, 2), "text encoder"),
    "unet": ((2.9, 1), "U-Net"),
    "scheduler": ((2.9, 0), "scheduler"),
    "decoder": ((4.9, 1), "decoder"),
    "encoder": ((4.9, 0), "encoder"),
}
WIDTH, HEIGHT = 0.95, 0.44


def shapes(pipe: StableDiffusionPipeline) -> dict[str, tuple[int, ...]]:
    """The shapes of one prompt's way to a picture: ids, text, latent and picture."""
    tokens, side = pipe.tokenizer.model_max_length, pipe.unet.config.sample_size
    pixels = side * pipe.vae_scale_factor
    return {
        "ids": (1, tokens),
        "text": (1, tokens, pipe.text_encoder.config.hidden_size),
        "latent": (1, pipe.vae.config.latent_channels, side, side),
        "picture": (1, pipe.vae.config.out_channels, pixels, pixels),
    }


def architecture(pipe: StableDiffusionPipeline, highlight: Sequence[str] = tuple(PARTS)) -> Figure:
    """Draw the map of a pipeline with matplotlib, its shapes on the arrows.

    highlight: the names in PARTS of what to colour; ValueError for any other.
    """
    import matplotlib.pyplot as plt  # slow to import

    if unknown := [name for name in highlight if name not in PARTS]:
        raise ValueError(f"There is no part {unknown[0]!r}: use some of {', '.join(PARTS)}.")
    shape = {name: " x ".join(map(str, size[1:])) for name, size in shapes(pipe).items()}
    figure, axes = plt.subplots(figsize=(9, 3.6), layout="constrained")
    axes.set(xlim=(-0.5, 6.7), ylim=(-0.5, 2.5))
    axes.axis("off")
    for name, ((x, y), text) in PARTS.items():
        on = name in highlight
        box = (x - WIDTH / 2, y - HEIGHT / 2)
        fill, edge = ("#fde3b0", "#b35900") if on else ("#f2f2f2", "#999999")
        axes.add_patch(plt.Rectangle(box, WIDTH, HEIGHT, fc=fill, ec=edge, lw=2 if on else 1))
        axes.text(x, y, text, ha="center", va="center", weight="bold" if on else "normal")
    for (x, y), text in (((0, 2), "prompt"), ((0.9, 1), "noise"), ((6.35, 0.5), "picture")):
        axes.text(x, y, text, ha="center", va="center", style="italic")
    for begin, end, bend, text, (x, y) in (
        ((0.3, 2), (0.8, 2), 0, "", (0, 0)),
        ((1.8, 2), (2.4, 2), 0, f"{shape['ids']} ids", (2.1, 2.28)),
        ((2.9, 1.76), (2.9, 1.24), 0, shape["text"], (3.25, 1.5)),
        ((1.2, 1), (2.4, 1), 0, shape["latent"], (1.8, 1.12)),
        ((3.1, 0.76), (3.1, 0.24), 0, "prediction", (3.5, 0.5)),
        ((2.7, 0.24), (2.7, 0.76), 0, "next latent", (2.25, 0.5)),
        ((3.4, 1), (4.4, 1), 0, shape["latent"], (3.9, 1.12)),
        ((5.4, 1), (6.3, 0.65), -0.2, shape["picture"], (6.15, 1.05)),
        ((6.3, 0.35), (5.4, 0), -0.2, shape["picture"], (6.15, -0.05)),
        ((4.4, 0), (3.4, 0.86), 0.25, shape["latent"], (4.75, 0.5)),
    ):
        how = {"arrowstyle": "-|>", "color": "0.3", "connectionstyle": f"arc3,rad={bend}"}
        axes.annotate("", end, begin, arrowprops=how)
        axes.text(x, y, text, ha="center", va="center", size=9, color="0.25")
    return figure
