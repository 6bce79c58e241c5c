"""A Dask cluster that SLURM starts: `bench run --cluster slurm.toml`.

jobs = 10               how many SLURM jobs; all else is what dask_jobqueue.SLURMCluster takes
cores = 4               of a job: so many cells at a time, of one thread each
memory = "16GB"
walltime = "08:00:00"
"""

import inspect
import shutil
from pathlib import Path
from typing import Any

from bench import toml
from bench.core import BenchError
from bench.registry import unknown


def read(path: Path) -> tuple[int, dict[str, Any]]:
    """The number of jobs, and the arguments of SLURMCluster."""
    content = toml.read(path)
    jobs = content.pop("jobs", None)
    if not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1:
        raise BenchError(
            f"{path} needs jobs = 10, how many SLURM jobs to start, 1 or more, but has {jobs if jobs is not None else 'none'}"
        )
    known = arguments()
    for name in content:
        if name not in known:
            raise BenchError(f"{path}: {unknown('argument of SLURMCluster', name, known)}")
    return jobs, content


def arguments() -> list[str]:
    """What SLURMCluster takes: its own and its jobs' arguments."""
    cluster, job = _jobqueue()
    found = {
        name
        for one in (*cluster.__mro__, *job.__mro__)
        for name, p in inspect.signature(one.__init__).parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    return sorted(found - {"self", "args", "kwargs", "scheduler", "loop", "asynchronous", "job_cls"})


def cluster(path: Path) -> tuple[int, Any]:
    """The number of jobs and the cluster, whose scheduler runs here, and no job yet: `job_script()` shows what would be submitted."""
    jobs, given = read(path)
    made, _ = _jobqueue()
    try:
        return jobs, made(**{"processes": 1, **given})
    except (TypeError, ValueError) as error:
        raise BenchError(f"{path}: {' '.join(str(error).split())}") from None


def started(path: Path) -> Any:
    if shutil.which("sbatch") is None:
        raise BenchError(f"--cluster {path} submits jobs with sbatch, which is not on this machine. Start it where SLURM is.")
    jobs, made = cluster(path)
    made.scale(jobs=jobs)
    return made


def _jobqueue() -> tuple[Any, Any]:
    try:
        from dask_jobqueue.slurm import SLURMCluster, SLURMJob
    except ImportError as error:
        raise BenchError(f"--cluster with a file needs dask-jobqueue ({error}): pip install -e '.[cluster]'") from None
    return SLURMCluster, SLURMJob
