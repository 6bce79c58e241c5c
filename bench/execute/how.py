"""How cells are run: by how many processes, within which limits, and how often a lost one is tried again."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

from bench import devices
from bench.core import BenchError
from bench.jobs import Job, Limits

RETRIES = 2  # more tries of a cell whose process was lost

LEAST = 10**7  # bytes of a limit: an interpreter alone takes more, so that a smaller one is a forgotten unit

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(frozen=True)
class How:
    """workers: processes of one thread each; 0 = this process, which no limit can be set on. device: of networks, auto = a GPU when there
    is one. group: whether folds and repeats of one network are trained as one; None: on a GPU. cluster: where else cells are run, see
    `bench.execute.cluster`; its workers say how many at a time.
    """

    workers: int = 1
    limits: Limits = field(default_factory=Limits)
    retries: int = RETRIES
    device: str = "cpu"
    group: bool | None = None
    cluster: str = ""

    @property
    def grouped(self) -> bool:
        return self.device != "cpu" and not self.cluster if self.group is None else self.group

    def following(self, record: Mapping[str, Any], tries: int) -> int | None:
        """Which try of a cell comes after this one; None if none does. One that was lost in a trial of its settings does not count: the
        search goes on, and a trial cannot be lost for ever.
        """
        if record["status"] != "lost" or (tries > self.retries and not record.get("in_trial")):
            return None
        return tries if record.get("in_trial") else tries + 1

    def __post_init__(self) -> None:
        for name in ("workers", "retries"):
            if getattr(self, name) < 0:
                raise BenchError(f"{name} must be 0 or more, but is {getattr(self, name)}")
        if self.cluster and self.group:
            raise BenchError("a group is trained by one process, the cells of a cluster by many: leave --group or --cluster out")
        if not self.workers and self.limits != Limits():
            raise BenchError(
                "a cell's time and memory are watched from outside: --cell-timeout and --cell-memory need --workers 1 or more"
            )


class Event(NamedTuple):
    """What happens to a job.

    start: it was taken up. step: an epoch or round ended: data has step and score. again: its process was lost and it waits for the
    next try: data is the record of the lost one. end: its cell is stored, once for every job: data is the record, whose `status` is
    done, declined, failed, or lost after the last try. The job is the one that `run` was given, with its device, whatever the try.
    """

    kind: Literal["start", "step", "again", "end"]
    job: Job
    data: Mapping[str, Any]


class Asked(TypedDict, total=False):
    """How cells are run, as a user asks for it.

    workers: processes of one thread each, as many as processors; 0 = in this process. cell_timeout: seconds, or as in 90s, 10m, 2h;
    cell_memory: bytes, or as in 4GB: a cell that takes more is stopped, and tried again when there is more. retries: further tries of a
    cell whose process was lost, 2. device: auto (a GPU when there is one), cpu, cuda, cuda:1 or mps, of networks. group: train folds and
    repeats of one network as one; None: on a GPU. shard: as "3/16", the cells of one of several machines, and no tables: see
    `bench.execute.shards` and `Outcome.part`. cluster: the address of a Dask scheduler, or a TOML file for SLURM, in the place of local
    workers: see `bench.execute.cluster`.
    """

    workers: int | None
    cell_timeout: str | float | None
    cell_memory: str | float | None
    retries: int
    device: str
    group: bool | None
    shard: str | None
    cluster: str | None


def chosen(asked: Asked, precision: str = "float32") -> How:
    """A cluster's workers look for a device themselves: here there may be none. TypeError for a word that `Asked` has not."""
    if unknown := set(asked) - set(Asked.__annotations__):
        raise TypeError(f"unexpected keyword argument: {', '.join(sorted(unknown))}")
    workers, device, cluster = asked.get("workers"), asked.get("device", "auto"), asked.get("cluster")
    if cluster is not None and workers is not None:
        raise BenchError("the workers of a cluster say how many cells run at a time: leave --workers out")
    if cluster is not None and asked.get("shard") is not None:
        raise BenchError(
            "--shard is for machines that know nothing of each other, --cluster for those that do: give one of the two"
        )
    if cluster is not None:
        _check_address(cluster)
    found = device if cluster is not None else devices.resolve(device, precision)
    within = limits(asked.get("cell_timeout"), asked.get("cell_memory"))
    count = processors() if workers is None else workers
    return How(count, within, asked.get("retries", RETRIES), found, asked.get("group"), cluster or "")


def _check_address(cluster: str) -> None:
    """Before anything is read: what cannot be one need not be waited for."""
    if cluster.endswith(".toml"):
        if not Path(cluster).is_file():
            raise BenchError(f"--cluster {cluster} cannot be read: there is no such file")
    elif not re.fullmatch(r"\w+://\S+:\d+", cluster):
        raise BenchError(
            f"--cluster takes a scheduler's address, as in tcp://10.0.0.1:8786, or a file (.toml) for SLURM, but got '{cluster}'"
        )


def limits(timeout: str | float | None, memory: str | float | None) -> Limits:
    """timeout: seconds, or 90s, 10m, 2h, 1d. memory: bytes, or as in 500MB, 4GB, 4GiB. BenchError for anything else."""
    seconds = None if timeout is None else _amount("cell-timeout", timeout, {"": 1, **_SECONDS}, "seconds, or as in 90s, 10m, 2h")
    size = None if memory is None else _amount("cell-memory", memory, _BYTES, "bytes, or as in 500MB, 4GB, 4GiB")
    if size is not None and size < LEAST:
        raise BenchError(
            f"cell-memory must be {LEAST // 10**6}MB or more, but is '{memory}'. A number without a unit is of bytes, as in 4GB."
        )
    return Limits(seconds, None if size is None else int(size))


def _amount(name: str, value: str | float, units: Mapping[str, int], form: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
    if found is None or found[2] not in units or float(found[1]) <= 0:
        raise BenchError(f"{name} must be more than 0 {form}, but is '{value}'")
    return float(found[1]) * units[found[2]]


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
