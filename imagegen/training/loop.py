"""One training loop for all models: warm-up, constant rate, linear cool-down, averaged weights.

A batch is a function of the step number, so a run that was stopped goes on exactly where it
was. Everything goes through accelerate: one process by default, `accelerate launch` for more.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from imagegen.training.muon import Muon


def generator(seed: int, step: int) -> torch.Generator:
    """Random numbers that belong to one step of one run (and one process of it)."""
    rank = int(os.environ.get("RANK", 0))
    return torch.Generator().manual_seed(seed * 1_000_003 + step * 101 + rank)


class TimeIsUp(Exception):
    """A run stopped at its hour. Its state is saved: the next call goes on from there."""


# Layers at the ends of a network, where a row is a pixel's colour or a word, and the adversary.
ADAMS = ("embedding", "conv_in", "conv_out", "discriminator")


def optimizers(
    loss: nn.Module, rate: float, muon: float, momentum: float
) -> list[torch.optim.Optimizer]:
    """AdamW for all that learns in `loss`; with a rate for Muon, that for the inner matrices."""
    named = [(name, w) for name, w in loss.named_parameters() if w.requires_grad]
    inner = [
        w for name, w in named if muon and w.ndim > 1 and not any(part in name for part in ADAMS)
    ]
    taken = {id(w) for w in inner}
    rest = [w for _, w in named if id(w) not in taken]
    adam = torch.optim.AdamW(rest, rate, (momentum, 0.99), weight_decay=0.01, fused=True)
    return [adam, Muon(inner, muon)] if inner else [adam]


def fit(
    loss: nn.Module,
    batch: Callable[[int], tuple[Tensor, ...]],
    folder: Path,
    steps: int,
    rate: float = 1e-3,
    muon: float = 0.0,
    cooldown: float = 0.3,
    decay: float = 0.999,
    momentum: float = 0.9,
    stop: float = math.inf,
    save_seconds: float = 240,
    precision: str = "bf16",
) -> None:
    """Minimise `loss(*batch(step))` for `steps` steps and leave the averaged weights in `loss`.

    loss: a module whose forward returns the scalar to minimise; all its parameters that
    require a gradient are trained. rate: AdamW's; muon: Muon's, 0 for AdamW alone. cooldown: the
    last share of the steps, in which the rates fall to zero. momentum: AdamW's first beta. stop:
    the time.time() at which to save and raise TimeIsUp. State is kept in folder/state.pt, the log
    in folder/log.csv.
    """
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision=precision)
    first, state_file, state = 0, folder / "state.pt", {}
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        loss.load_state_dict(state["loss"])
        first = state["step"]
    weights = [p for p in loss.parameters() if p.requires_grad]
    both = optimizers(loss, rate, muon, momentum)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in both]
    average = EMAModel(weights, decay=decay, use_ema_warmup=True, inv_gamma=1, power=0.75)
    if "optimizers" in state:  # not in what begin_with() left
        for optimizer, its_state in zip(both, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        average.load_state_dict(state["average"])
    average.to(accelerator.device)
    model, *both = accelerator.prepare(loss, *both)
    model.train()

    def save(step: int) -> None:
        if accelerator.is_main_process:
            state = {
                "loss": loss.state_dict(), "optimizers": [o.state_dict() for o in both],
                "average": average.state_dict(), "step": step,
            }  # fmt: skip
            torch.save(state, state_file.with_suffix(".new"))
            state_file.with_suffix(".new").replace(state_file)  # a stop in between loses nothing

    saved = logged = time.time()
    total, count = 0.0, 0
    for step in range(first, steps):
        scale = min(1, (step + 1) / 200, (steps - step) / max(1, cooldown * steps))
        for optimizer, full in zip(both, rates, strict=True):
            optimizer.param_groups[0]["lr"] = full * scale
        value = model(*(x.to(accelerator.device) for x in batch(step)))
        accelerator.backward(value)
        accelerator.clip_grad_norm_(weights, 1.0)
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad()
        average.step(weights)
        total, count = total + value.item(), count + 1
        if (step + 1) % 50 == 0 and accelerator.is_main_process:
            row = [
                step + 1,
                f"{total / count:.5f}",
                f"{rate * scale:.2e}",
                f"{(time.time() - logged) / count:.3f}",
            ]
            new = not (folder / "log.csv").exists()
            with (folder / "log.csv").open("a", newline="") as file:
                csv.writer(file).writerows(
                    [["step", "loss", "rate", "seconds_per_step"], row] if new else [row]
                )
            print(f"{folder.name}: step {row[0]}, loss {row[1]}, {row[3]} s a step", flush=True)
            total, count, logged = 0.0, 0, time.time()
        if time.time() > min(stop, saved + save_seconds):
            save(step + 1)
            saved = time.time()
            if saved > stop:
                raise TimeIsUp(f"{folder.name}: time is up at step {step + 1}.")
    if steps > first:
        save(steps)
    average.copy_to(weights)


def begin_with(loss: nn.Module, folder: Path) -> None:
    """Let the next fit() in `folder` begin with these weights, at step 0.

    Raises ValueError if a run's state is there: it would be lost.
    """
    if (folder / "state.pt").exists():
        raise ValueError(f"{folder} holds the state of a run: go on with it, or move it away.")
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"loss": loss.state_dict(), "step": 0}, folder / "state.pt")


def load_average(loss: nn.Module, folder: Path) -> int:
    """Put an unfinished run's averaged weights into `loss`; return the step it had reached."""
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    loss.load_state_dict(state["loss"])
    weights = [p for p in loss.parameters() if p.requires_grad]
    if "average" in state:
        average = EMAModel(weights)
        average.load_state_dict(state["average"])
        average.copy_to(weights)
    return state["step"]
