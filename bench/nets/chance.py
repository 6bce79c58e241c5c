"""torch's random numbers, kept apart training by training: of the CPU, and of the GPU that one runs on.

A training draws its order of rows from the CPU's generator and its dropout masks from its device's. On a CPU they are one.
Tested on CPUs, and on CUDA where there is one; mps is written from torch's documentation and was never run.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Dice:
    """How both generators stand. device: None where there is the CPU's alone."""

    cpu: Tensor
    device: Tensor | None

    @classmethod
    def now(cls, device: torch.device) -> "Dice":
        own = {"cuda": lambda: torch.cuda.get_rng_state(device), "mps": torch.mps.get_rng_state}.get(device.type)
        return cls(torch.get_rng_state(), own() if own else None)

    def put(self, device: torch.device) -> None:
        """Draw on from here."""
        torch.set_rng_state(self.cpu)
        if self.device is not None and device.type == "mps":
            torch.mps.set_rng_state(self.device)
        elif self.device is not None:
            torch.cuda.set_rng_state(self.device, device)

    def generators(self, device: torch.device) -> tuple[torch.Generator, torch.Generator]:
        """Generators that stand here: the CPU's and the device's, the same object where they are one."""
        cpu = torch.Generator()
        cpu.set_state(self.cpu)
        if self.device is None:
            return cpu, cpu
        other = torch.Generator(device)
        other.set_state(self.device)
        return cpu, other


@contextmanager
def apart(device: torch.device, start: int | Dice) -> Generator[None, None, None]:
    """What is drawn meanwhile starts from a seed or from where another training stood, and leaves no trace outside."""
    before = Dice.now(device)
    try:
        if isinstance(start, Dice):
            start.put(device)
        else:
            torch.manual_seed(start)
        yield
    finally:
        before.put(device)
