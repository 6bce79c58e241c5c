"""Which cells are trained as one: those of one method on one dataset under one protocol, when asked or on a GPU."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench import registry
from bench.draws import Draws
from bench.jobs import Job

NO_NETWORK = "it is no network"
LARGEST = 25  # cells of a group: 5 folds of 5 repeats. Each has its prepared rows in memory


def grouped(jobs: Sequence[Job], workers: int) -> list[Job]:
    """The jobs, in their order but for those that stand in the `others` of one before them.

    A group is no larger than leaves every worker one, if there are cells enough. Draws make a cohort each, and stay single.
    """
    together: dict[tuple[Any, ...], list[Job]] = {}
    for i, job in enumerate(jobs):
        place = (i,) if why_not(job) else (job.root, job.folder, job.views, job.diagnosed_by)
        together.setdefault(place, []).append(job)
    most = min(LARGEST, max(-(-len(jobs) // max(workers, 1)), 1))
    parts = [
        cells[i : i + size]
        for cells in together.values()
        if (size := _even(len(cells), most))
        for i in range(0, len(cells), size)
    ]
    return [_led(part) for part in parts]


def why_not(job: Job) -> str:
    """Why a job's cells are trained one by one; "" if they can be trained as one."""
    if isinstance(job.protocol, Draws):
        return "each draw is a cohort of its own"
    if job.protocol.tuning:
        return "each fold has settings of its own"
    if job.device.startswith("mps"):
        return "masks of several networks are drawn on a CPU or CUDA alone"
    method: Any = registry.method(job.method)
    return str(method.alone) if hasattr(method, "fit_group") else NO_NETWORK


def said(jobs: Sequence[Job]) -> list[str]:
    """One notice of all networks whose cells are trained one by one though groups were asked for."""
    reasons = {job.method.label: why_not(job) for job in {job.method: job for job in jobs}.values()}
    alone = [f"{label} ({why})" for label, why in reasons.items() if why not in ("", NO_NETWORK)]
    return [f"cells of these are trained one by one, not as a group: {', '.join(alone)}"] if alone else []


def _even(count: int, most: int) -> int:
    """The size of equal parts of at most so many."""
    return -(-count // -(-count // most))


def _led(part: Sequence[Job]) -> Job:
    first, *others = part
    return replace(first, others=tuple((job.repeat, job.fold, job.digest, job.split_digest) for job in others))
