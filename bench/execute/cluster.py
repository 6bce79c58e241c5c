"""The same cells on a Dask cluster: `bench run --cluster tcp://scheduler:8786`, or a TOML file that says how SLURM starts one.

A task is a cell, done by `bench.execute.remote` in the same child process as on one machine, so limits and faults are the same. The
client hands out a few cells more than there are threads: a scheduler that dies has little to lose, and 100,000 cells are no burden to it.
"""

import itertools
import logging
import queue
import sys
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import devices, registry
from bench.core import BenchError
from bench.execute.how import Event, How
from bench.execute.luggage import Luggage
from bench.jobs import Job, lose_cell
from bench.store import Store, cell_name

PATIENCE = 10.0  # seconds a scheduler has to answer
TICK = 1.0  # seconds between two looks at the cluster where nothing happens
AHEAD = 2  # cells handed out per thread


def run(jobs: Sequence[Job], how: How) -> Generator[Event, None, None]:
    """As `bench.execute.run`. Raises BenchError when the scheduler is gone: what is stored stays."""
    if not jobs:
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        session = _Session(jobs, how, Luggage(Path(folder)))
        try:
            session.open()
            yield from session.events()
        finally:
            session.close()


@dataclass
class _Task:
    """A cell under way. number: its place among the jobs."""

    number: int
    job: Job
    tries: int
    future: Any = None
    near: str = ""  # the worker that asked for its files


class _Session:
    """A run's cells on a cluster."""

    def __init__(self, jobs: Sequence[Job], how: How, luggage: Luggage) -> None:
        self.how, self.luggage = how, luggage
        self.total, self.ended = len(jobs), 0
        self.todo = deque(_Task(number, job, 1) for number, job in enumerate(jobs))
        self.tasks: dict[str, _Task] = {}  # those that are handed out, by key
        self.inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.id = uuid.uuid4().hex
        self.keys = itertools.count()
        self.client: Any = None
        self.cluster: Any = None
        self.workers: Mapping[str, Any] = {}
        self.looked = -TICK
        self.waiting = False
        names = {name for job in jobs for name in _mapping(job.about.get("versions"))} | {"numpy", "pandas", "pyarrow"}
        self.names = sorted(names)
        self.versions: dict[str, str] = {}
        self.gpu = devices.wanted(how.device)
        self.store = Store(Path(jobs[0].root))
        self.token = self.store.aside()  # a dead run's is removed

    def open(self) -> None:
        """Connect, compare versions, and say where the cells are run."""
        self.client, self.cluster = _connected(self.how.cluster)
        for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what becomes of the cluster is said here, in a line
        from bench.execute import remote

        self.versions = remote.versions(self.names)
        for worker, found in self.client.run(remote.versions, self.names, on_error="return").items():
            self._compare(worker, found)
        self.token.parent.mkdir(parents=True, exist_ok=True)
        self.token.write_text(self.id, "utf-8")
        self.client.subscribe_topic(f"bench-{self.id}", lambda event: self.inbox.put(("said", event[1])))
        self._look()
        threads = sum(worker["nthreads"] for worker in self.workers.values())
        say(
            f"cluster: {len(self.workers)} worker{'s' * (len(self.workers) != 1)}, {threads} cell{'s' * (threads != 1)} at a time. Dashboard: {self.client.dashboard_link}"
        )

    def events(self) -> Generator[Event, None, None]:
        while self.ended < self.total:
            self._look()
            self._hand_out()
            try:
                kind, value = self.inbox.get(timeout=TICK)
            except queue.Empty:
                continue
            if kind == "said":
                yield from self._said(value)
            else:
                yield from self._settled(value)

    def close(self) -> None:
        """End what is under way, everywhere."""
        with suppress(Exception):
            if self.client is not None and self.client.status == "running":
                from bench.execute import remote

                self.client.cancel([task.future for task in self.tasks.values()])
                self.client.run(remote.stop, self.id, on_error="ignore")
        for one in (self.client, self.cluster):
            with suppress(Exception):
                if one is not None:
                    one.close(timeout=2)
        with suppress(OSError):
            self.token.unlink()

    def _look(self) -> None:
        """At who is there, now and then. BenchError when nobody answers."""
        if time.monotonic() - self.looked < TICK:
            return
        self._there()
        try:
            self.workers = self.client.scheduler_info()["workers"]
        except Exception:
            raise self._gone() from None
        self.looked = time.monotonic()
        if not self.workers and not self.waiting:
            say(f"waiting for workers: none is at {self.how.cluster} yet")
        self.waiting = not self.workers
        if (
            self.gpu
            and self.workers
            and not self.tasks
            and not any(w["resources"].get("GPU", 0) >= 1 for w in self.workers.values())
        ):
            raise BenchError(
                f"--device {self.how.device} needs workers that say what they have, but none of the {len(self.workers)} at {self.how.cluster} "
                'announces a GPU. Start those with one as in `dask worker ... --resources "GPU=1"`; --device auto takes what each has.'
            )

    def _there(self) -> None:
        if self.client.status != "running":
            raise self._gone()

    def _gone(self) -> BenchError:
        return BenchError(
            f"the scheduler at {self.how.cluster} is gone. {self.ended:,} of the {self.total:,} cells that were missing are stored. Start it and "
            "its workers again, then the same command: it goes on from there."
        )

    def _hand_out(self) -> None:
        threads = sum(worker["nthreads"] for worker in self.workers.values())
        while self.todo and len(self.tasks) < max(1, AHEAD * threads):
            self._submit(self.todo.popleft())

    def _submit(self, task: _Task) -> None:
        from bench.execute import remote

        self._there()
        key = f"bench-{self.id[:8]}-{task.job.name}-{next(self.keys)}"
        sent, cohorts = self.luggage.of(task.job)
        content = {
            "run": self.id, "key": key, "topic": f"bench-{self.id}", "job": replace(task.job, tries=task.tries).json(),
            "limits": asdict(self.how.limits), "versions": self.versions, "sent": sent, "cohorts": cohorts,
            "token": (str(self.token), self.id), "before": _before(task.job),
        }  # fmt: skip
        where = {"workers": [task.near], "allow_other_workers": True} if task.near in self.workers else {}
        self.tasks[key] = task
        task.future = self.client.submit(remote.cell, content, key=key, pure=False, resources=self._resources(task.job), **where)
        task.future.add_done_callback(lambda future: self.inbox.put(("settled", future.key)))

    def _resources(self, job: Job) -> dict[str, float] | None:
        """What the method needs besides a thread, where a worker announces as much: else it takes what there is. A GPU that the user asks
        for is needed anyway."""
        asked = {"GPU": 1.0} if self.gpu else {}
        needs: dict[str, float] = {**asked, **getattr(registry.method(job.method), "needs", {})}
        enough = any(all(w["resources"].get(name, 0) >= least for name, least in needs.items()) for w in self.workers.values())
        return (needs if enough else asked) or None

    def _said(self, message: Mapping[str, Any]) -> Generator[Event, None, None]:
        task = self.tasks.get(message["key"])
        if task is not None and "step" in message:
            yield Event("step", task.job, {"step": message["step"], "score": message["score"]})
        elif task is not None:
            yield Event("start", task.job, {"tries": task.tries})

    def _settled(self, key: str) -> Generator[Event, None, None]:
        task = self.tasks.pop(key, None)
        if task is None:
            return
        self._there()
        found = self._outcome(task)
        event = found["event"]
        if event == "end":
            yield from self._end(task, found["record"], found["files"])
        elif event == "need":
            self._send(found["files"], found["worker"])
            self.todo.appendleft(replace(task, near=found["worker"], future=None))
        elif event == "differs":
            self._compare(found["worker"], found["error"])
        elif event == "lost":
            yield from self._end(task, lose_cell(replace(task.job, tries=task.tries), found["error"]), None, last=True)
        else:
            raise BenchError(found.get("error", "the cells were stopped on a worker"))

    def _outcome(self, task: _Task) -> Mapping[str, Any]:
        """What a task gave, or how it ended without giving anything."""
        from distributed import CancelledError, KilledWorker

        try:
            return task.future.result()
        except KilledWorker as error:
            n = error.allowed_failures + 1
            who = (
                "the Dask worker died while this cell was with it"
                if n == 1
                else f"{n} Dask workers died while this cell was with them"
            )
            return {"event": "lost", "error": who}
        except CancelledError:
            raise self._gone() from None
        except Exception as error:
            self._there()
            if isinstance(error, OSError) and task.future.status != "error":  # of the connection, not of the task
                raise self._gone() from None
            raise BenchError(f"a worker of {self.how.cluster} cannot run cells: {type(error).__name__}: {error}") from None

    def _end(
        self, task: _Task, record: Mapping[str, Any], files: Mapping[str, bytes] | None, last: bool = False
    ) -> Generator[Event, None, None]:
        """The cell is stored, here if not there. A lost one is tried again, unless Dask has done so."""
        if files is not None:
            self.store.save_made(Path(task.job.folder), files)
        following = None if last else self.how.following(record, task.tries)
        if following is not None:
            self.todo.append(replace(task, tries=following, future=None))
            yield Event("again", task.job, record)
        else:
            self.ended += 1
            yield Event("end", task.job, record)

    def _send(self, digests: Iterable[str], worker: str) -> None:
        """A worker that is gone meanwhile is no matter: the cell goes to another one, which asks again."""
        from bench.execute import remote

        held = self._on(worker, remote.held, list(digests))
        for digest in digests:
            if held is not None and digest not in held:  # else another thread of the same worker asked first
                for piece in self.luggage.pieces(digest):
                    self._on(worker, remote.receive, digest, *piece)

    def _on(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function gives on a worker, beside its cells; None where the worker is gone."""
        self._there()
        try:
            found = self.client.run(function, *arguments, workers=[worker], on_error="return").get(worker)
        except (OSError, ValueError, KeyError):  # no such worker
            return None
        if isinstance(found, OSError) and worker not in self.client.scheduler_info()["workers"]:
            return None
        if isinstance(found, Exception):
            raise BenchError(f"the worker at {worker} cannot be sent what it needs: {type(found).__name__}: {found}")
        return found

    def _compare(self, worker: str, found: object) -> None:
        """BenchError where a worker would run other code than the cells are stored under."""
        from bench.execute import remote

        if isinstance(found, BaseException):
            raise BenchError(
                f"the worker at {worker} cannot load multitask-bench ({type(found).__name__}: {found}). Install the same version there."
            )
        why = remote.differing(self.versions, _mapping(found)) if isinstance(found, Mapping) else str(found)
        if why:
            raise BenchError(
                f"cells are stored under the code and libraries of this machine, but the worker at {worker} has "
                f"{why}. Install the same there, then start the workers again."
            )


def _before(job: Job) -> dict[str, bytes]:
    """What is stored of a cell that is made again: it may have views to keep, and trials of its settings."""
    folder, name = Path(job.folder), cell_name(job.repeat, job.fold)
    paths = [folder / f"{name}.json", folder / f"{name}.parquet", folder / "trials" / f"{name}.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.exists()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _connected(address: str) -> tuple[Any, Any]:
    """A client of the scheduler, and the cluster that was started for it, if any."""
    try:
        from distributed import Client
    except ImportError as error:
        raise BenchError(f"--cluster needs Dask ({error}): pip install -e '.[cluster]'") from None
    if address.endswith(".toml"):
        from bench.execute import slurm

        cluster = slurm.started(Path(address))
        return Client(cluster, set_as_default=False), cluster
    try:
        return Client(address, set_as_default=False, timeout=PATIENCE), None
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise BenchError(f"no scheduler answers at {address} ({said}). `dask scheduler` starts one.") from None


def say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)
