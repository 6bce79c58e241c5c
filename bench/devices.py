"""Where networks are trained: the CPU, or a GPU that the processes of a run share. torch is loaded only where there may be one."""

import sys
from pathlib import Path

from bench.core import BenchError

SIGNS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of a driver: NVIDIA's, AMD's, and either's under Windows' Linux


def resolve(name: str, precision: str = "float32") -> str:
    """As torch writes it: cpu, cuda:0, mps. auto: a GPU when there is one. BenchError for what is not there, or cannot hold the precision."""
    if name == "cpu" or (name == "auto" and not _perhaps()):
        return "cpu"
    there = found()
    chosen = (there[0] if name == "auto" else {"cuda": "cuda:0", "mps:0": "mps"}.get(name, name)).lower()
    if chosen not in there:
        raise BenchError(f"device must be auto or one of what is here ({', '.join(reversed(there))}), but is '{name}'")
    if chosen == "mps" and precision == "float64":
        raise BenchError("precision=float64 is not to be had on mps. Add --device cpu.")
    return chosen


def wanted(name: str) -> bool:
    """Whether a GPU is asked for, not only taken where there is one."""
    return name.lower() not in ("auto", "cpu")


def found() -> list[str]:
    """GPUs first, the CPU last."""
    import torch

    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*gpus, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def share(device: str, processes: int) -> None:
    """Take at most an equal part of a GPU's memory, and give back what an earlier cell left idle: others stand beside this one."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(1 / max(processes, 1), torch.device(device))


def no_memory(error: BaseException) -> bool:
    """Whether there was no room: on the machine, or on a GPU that cells share (torch.OutOfMemoryError). Alone it may fit."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _perhaps() -> bool:
    return sys.platform in ("darwin", "win32") or any(Path(sign).exists() for sign in SIGNS)
