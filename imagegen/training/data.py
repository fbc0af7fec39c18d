"""Training pictures: scenes drawn once and kept as bytes on disk."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from imagegen.storybook import Scene, draw, random_scene

SIZE = 128


def scene(index: int, seed: int, held_out: bool | None = False) -> Scene:
    """The scene of picture number `index` in the data set that `seed` names."""
    return random_scene(random.Random(f"{seed}/{index}"), held_out)


def _paint(job: tuple[int, int, bool | None]) -> np.ndarray:
    index, seed, held_out = job
    return np.asarray(draw(scene(index, seed, held_out), seed=seed * 10_000_000 + index, size=SIZE))


def pictures(n: int, seed: int, folder: Path, held_out: bool | None = False) -> np.ndarray:
    """n pictures as uint8 (n, 128, 128, 3), drawn on the first call and read from disk afterwards.

    A file with fewer pictures is continued, so that a data set can grow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pictures-{seed}-{held_out}.u8"
    picture_bytes = SIZE * SIZE * 3
    have = path.stat().st_size // picture_bytes if path.exists() else 0
    if have < n:
        with path.open("r+b" if path.exists() else "wb") as file, ProcessPoolExecutor() as pool:
            file.seek(have * picture_bytes)
            jobs = ((i, seed, held_out) for i in range(have, n))
            for picture in pool.map(_paint, jobs, chunksize=64):
                file.write(picture.tobytes())
    return np.memmap(path, np.uint8, "r", shape=(n, SIZE, SIZE, 3))
