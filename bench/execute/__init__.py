"""The same cells on local worker processes, or whatever else `How` chooses.

What every way of running them keeps to: `run(jobs, how)` yields Events; each job ends once, when its cell is stored; a job whose process
was lost is tried `how.retries` times more; closing the generator ends at once all that it started, stored cells stay; a BenchError is for
what no other try would mend. `Hand` is the process boundary of a cell for whoever runs cells elsewhere.
"""

from collections.abc import Generator, Sequence

from bench.execute import local
from bench.execute.hand import Hand
from bench.execute.how import RETRIES, Event, How, limits
from bench.jobs import Job

__all__ = ["RETRIES", "Event", "Hand", "How", "limits", "run"]


def run(jobs: Sequence[Job], how: How) -> Generator[Event, None, None]:
    """Do the jobs and yield what happens."""
    if how.cluster:
        from bench.execute import cluster  # Dask: only for those who ask for it

        return cluster.run(jobs, how)
    return local.run(jobs, how)
