"""The best device and number format at hand.

Built in chapter 1. Set the environment variable IMAGEGEN_DEVICE (cpu, cuda, cuda:1, mps) to choose
the device yourself; it is read each time a device is asked for.
"""

import os
import platform
import re
from pathlib import Path

import torch

VARIABLE = "IMAGEGEN_DEVICE"


def best_device() -> str:
    """The device to draw on: "cuda", "mps" or "cpu", or what IMAGEGEN_DEVICE names.

    Raises ValueError when IMAGEGEN_DEVICE names a device that is not there.
    """
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen:
        return check_device(chosen, f"{VARIABLE}={chosen}")
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def check_device(device: str | torch.device, named: str | None = None) -> str:
    """The device's name as PyTorch writes it; ValueError with one sentence if it is not there.

    named: how the reader named the device, for the sentence.
    """
    name = str(device).lower()
    named = named or f"device={name!r}"
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
        raise ValueError(f"{named} is no device of this course: use cpu, cuda, cuda:1 or mps.")
    if name == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"{named} needs an Apple GPU, but PyTorch finds none here: use cpu.")
    number = int(name.partition(":")[2] or 0)
    if name.startswith("cuda") and number >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"{named} is not there: PyTorch finds {count} CUDA GPUs here.")
    return name


def best_dtype(device: str) -> torch.dtype:
    """The number format for large models: half precision on a GPU, float32 on a CPU.

    bfloat16 has float32's range, so nothing overflows to black pictures; GPUs before Ampere
    (compute capability 8) only emulate it, and get float16.
    """
    if device.startswith("cuda"):
        capability, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if capability >= 8 else torch.float16
    return torch.float16 if device == "mps" else torch.float32


def describe_device(device: str | None = None) -> str:
    """One sentence: the device, or else best_device(), what it is, and why it was chosen."""
    why = f"{VARIABLE} asks for it" if os.environ.get(VARIABLE, "").strip() else None
    why = "it was asked for" if device else why
    device = check_device(device) if device else best_device()
    dtype = str(best_dtype(device)).removeprefix("torch.")
    if device.startswith("cuda"):
        gpu = torch.cuda.get_device_properties(device)
        name = f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GB"
    else:
        name = (
            "Apple GPU" if device == "mps" else f"{cpu_name()}, {torch.get_num_threads()} threads"
        )
    why = why or ("no GPU was found" if device == "cpu" else "a GPU draws fastest")
    return f"Device {device} ({name}), chosen because {why}; large models in {dtype}."


def cpu_name() -> str:
    """The processor's name as its maker writes it, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(errors="replace"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
