"""The same cells on local worker processes, or whatever else `How` chooses.

What every way of running them keeps to: `run(jobs, how)` yields Events; each job ends once, when its cell is stored; a job whose process
was lost is tried `how.retries` times more; closing the generator ends at once all that it started, stored cells stay; a BenchError is for
what no other try would mend. `Hand` is the process boundary of a cell for whoever runs cells elsewhere.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace

from bench.execute import groups, local
from bench.execute.groups import said
from bench.execute.hand import Hand
from bench.execute.how import RETRIES, Asked, Event, How, chosen, limits
from bench.execute.threads import one_thread
from bench.jobs import Job

__all__ = ["RETRIES", "Asked", "Event", "Hand", "How", "chosen", "limits", "one_thread", "run", "said"]


def run(jobs: Sequence[Job], how: How) -> Generator[Event, None, None]:
    """Do the jobs and yield what happens."""
    placed = [replace(job, device=how.device, sharers=1 if how.cluster else max(how.workers, 1)) for job in jobs]
    if how.cluster:
        from bench.execute import cluster  # Dask: only for those who ask for it

        return cluster.run(placed, how)
    return local.run(groups.grouped(placed, how.workers) if how.grouped else placed, how)
