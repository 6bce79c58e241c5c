"""What tuning tried for a cell, as it is stored while the cell is tuned: the trials that ended, and the one that is under way.

A trial that its process is lost in is repeated in another one, and counts as failed when it is lost a second time: what killed the first
may have been the machine. One that was under way when the whole run was stopped is repeated, however often: that is no fault of its own.
"""

import base64
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.core import JSON, BenchError

State: TypeAlias = Literal["done", "pruned", "failed"]

LOSSES = 2  # of a process or of memory in one trial, at which it counts as failed


@dataclass(frozen=True, slots=True)
class Trial:
    """settings: those that were searched, all of them. steps: (epoch, score) as reported, where that is a score of all tasks.

    rows: float32 of `tune.grouped` losses, as text; "" if there are none. error: why it failed. seconds: with drawing the settings.
    """

    settings: Mapping[str, JSON]
    state: State
    score: float | None
    seconds: float
    steps: Sequence[tuple[int, float]] = ()
    rows: str = ""
    error: str = ""

    @property
    def losses(self) -> NDArray[np.float64]:
        return np.frombuffer(base64.b85decode(self.rows), "<f4").astype(np.float64)


def begun(settings: Mapping[str, JSON], before: Mapping[str, Any]) -> dict[str, Any]:
    """The mark of a trial that begins now in this process. before: its mark where an earlier process was at it, else empty."""
    losses = before.get("losses", 0) if before.get("settings") == settings else 0
    return {"settings": dict(settings), "pid": os.getpid(), "since": time.monotonic(), "losses": losses}


def at_one(record: Mapping[str, Any], pid: int) -> bool:
    """Whether this process was at a trial when the record was written."""
    return record.get("under_way", {}).get("pid") == pid


def lost(mark: Mapping[str, Any], why: str, losses: int = 1) -> dict[str, Any]:
    """The mark after that many losses more. since: of a clock that all processes of a machine share."""
    seconds = round(max(time.monotonic() - mark["since"], 0.0), 3)
    return {**mark, "losses": mark["losses"] + losses, "error": why, "seconds": seconds}


def said(error: BaseException) -> str:
    """What a record keeps of an error: its kind, unless it is one of ours, which speak for themselves."""
    return str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
