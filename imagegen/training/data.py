"""Training pictures: scenes drawn once and kept as bytes on disk."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from imagegen.storybook import Scene, draw, random_scene

SIZE = 128
CELLS = 16  # a latent has one value for each 8 x 8 pixels


def stored(
    path: Path, shape: tuple[int, ...], dtype: type, rows: Callable[[int], Iterable[np.ndarray]]
) -> np.ndarray:
    """Rows made on the first call and read from disk afterwards; a file may grow.

    rows: called with the number of rows that are there, gives the others, one or more at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    size = int(np.prod(shape[1:])) * np.dtype(dtype).itemsize
    have = path.stat().st_size // size if path.exists() else 0
    if have < shape[0]:
        with path.open("ab") as file:
            file.truncate(have * size)  # a stop may have left half a row
            for array in rows(have):
                file.write(array.astype(dtype).tobytes())
    return np.memmap(path, dtype, "r", shape=shape)


def scene(index: int, seed: int, held_out: bool | None = False) -> Scene:
    """The scene of picture number `index` in the data set that `seed` names."""
    return random_scene(random.Random(f"{seed}/{index}"), held_out)


def _paint(job: tuple[int, int, bool | None], detail: bool = True) -> np.ndarray:
    index, seed, held_out = job
    content = scene(index, seed, held_out)
    return np.asarray(draw(content, seed=seed * 10_000_000 + index, size=SIZE, detail=detail))


def _detail_cells(job: tuple[int, int, bool | None]) -> np.ndarray:
    if scene(*job).detail == "none":
        return np.zeros((CELLS, CELLS), np.uint8)
    changed = np.abs(_paint(job).astype(int) - _paint(job, detail=False)).max(axis=2) > 16
    blocks = changed.reshape(CELLS, SIZE // CELLS, CELLS, SIZE // CELLS)
    return blocks.any(axis=(1, 3)).astype(np.uint8)


def _drawn(
    path: Path, shape: tuple[int, ...], make: Callable, seed: int, held_out: bool | None
) -> np.ndarray:
    def rows(have: int) -> Iterable[np.ndarray]:
        jobs = ((i, seed, held_out) for i in range(have, shape[0]))
        with ProcessPoolExecutor() as pool:
            yield from pool.map(make, jobs, chunksize=64)

    return stored(path, shape, np.uint8, rows)


def pictures(n: int, seed: int, folder: Path, held_out: bool | None = False) -> np.ndarray:
    """n pictures as uint8 (n, 128, 128, 3), drawn once and then read from disk."""
    path = folder / f"pictures-{seed}-{held_out}.u8"
    return _drawn(path, (n, SIZE, SIZE, 3), _paint, seed, held_out)


def detail_cells(n: int, seed: int, folder: Path) -> np.ndarray:
    """Which of the 16 x 16 cells of each of pictures() the detail touches: 0 or 1, (n, 16, 16)."""
    return _drawn(folder / f"details-{seed}.u8", (n, CELLS, CELLS), _detail_cells, seed, False)
