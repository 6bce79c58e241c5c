"""What a Dask worker does for `bench.execute.cluster`: one cell a task, in the same child process as on one machine.

Everything a cell needs comes with the task as JSON, or once per worker by its sha256: cohorts as `bench.cohorts.parcel` packs them, and
the files of methods and datasets that lie outside the suite. No object of a plug-in crosses.
"""

import functools
import hashlib
import platform
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from distributed import get_worker

import bench
from bench import devices, plugins
from bench.core import BenchError
from bench.execute.hand import Ended, Hand
from bench.jobs import Job, Limits
from bench.registry import Spec

_lock = threading.Lock()
_hands: dict[int, tuple[str, Limits, Hand]] = {}  # of each thread, with the run whose cells it does
_stopped: set[str] = set()  # runs


def versions(names: Sequence[str]) -> dict[str, str]:
    """What decides what a cell is: this code, Python, and the libraries of these names; "none" for one that is not there."""
    return {"multitask-bench": _code(), "Python": platform.python_version(), **{name: _version(name) for name in names}}


@functools.cache  # of the code that is loaded: a worker that is older than its files must be started again
def _code() -> str:
    sha = hashlib.sha256()
    for name, path in sorted(_files().items()):
        sha.update(f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return f"{bench.__version__} (code {sha.hexdigest()[:8]})"


def _files() -> dict[str, Path]:
    own, *roots = map(Path, bench.__path__)
    files = {path.relative_to(own).as_posix(): path for path in own.rglob("*.py")}
    for root in roots:  # a checkout, where methods and datasets stand beside the package
        files |= {
            path.relative_to(root).as_posix(): path for kind in ("methods", "datasets") for path in (root / kind).glob("*.py")
        }
    return files


def _version(name: str) -> str:
    try:
        code = plugins.code(name)
        return metadata.version(name) + (f" (code {code})" if code else "")
    except metadata.PackageNotFoundError:
        return "none"


def differing(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What the other machine has otherwise, in words; "" if nothing."""
    return ", ".join(
        f"{name} {there.get(name, 'none')} (here {value})" for name, value in here.items() if there.get(name) != value
    )


def cell(task: Mapping[str, Any]) -> dict[str, Any]:
    """Do a cell. What became of it: {"event": ...} with

    end: `record`, and `files` where the results folder is not seen from here. need: `files` by sha256 that must be sent first. differs:
    this machine has other code. stop: an `error` that no other try would mend. stopped: by `stop`.
    """
    if why := differing(
        task["versions"], versions([name for name in task["versions"] if name not in ("multitask-bench", "Python")])
    ):
        return {"event": "differs", "error": why, "worker": get_worker().address}
    home = _home(get_worker())
    missing = [digest for digest in task["sent"] if not (home / digest).exists()]
    if missing:
        return {"event": "need", "files": missing, "worker": get_worker().address}
    job = _here(Job.from_json(task["job"]), task["sent"], task["cohorts"], home)
    job = replace(job, sharers=sharers(job.device, get_worker()))
    try:
        if _sees(task["token"]):
            return {"event": "end", "record": _done(job, task), "files": None}
        with tempfile.TemporaryDirectory(dir=home) as root:
            folder = Path(root, "cell")
            folder.mkdir()
            for name, data in task["before"].items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
            record = _done(replace(job, root=root, folder=str(folder)), task)
            files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            return {"event": "end", "record": record, "files": files}
    except Ended:
        return {"event": "stopped"}
    except BenchError as error:
        return {"event": "stop", "error": f"on the worker at {get_worker().address}: {error}"}


def sharers(device: str, dask_worker: Any) -> int:
    """How many cells this worker may have on its GPU at once: one a thread, or as many as it announces GPUs where all cells ask for one."""
    resources, threads = dask_worker.state.total_resources, dask_worker.state.nthreads
    return max(1, min(threads, int(resources.get("GPU", 1)))) if devices.wanted(device) else threads


def held(digests: Sequence[str], dask_worker: Any) -> list[str]:
    """Those of these files that this worker has."""
    return [digest for digest in digests if (_home(dask_worker) / digest).exists()]


def receive(digest: str, name: str, offset: int, data: bytes, last: bool, dask_worker: Any) -> None:
    """A piece of a file that is sent to this worker."""
    home = _home(dask_worker)
    part = home / f"{digest}.part"
    with part.open("wb" if offset == 0 else "ab") as file:
        file.write(data)
    if last:
        if hashlib.sha256(part.read_bytes()).hexdigest() != digest:
            raise BenchError(f"{name} did not arrive as it was sent")
        folder = Path(tempfile.mkdtemp(dir=home))
        part.rename(folder / name)
        folder.rename(home / digest)


def stop(run: str) -> None:
    """End what is done for a run: its cells under way, and the child processes kept for it."""
    _stopped.add(run)
    with _lock:
        for key, (whose, _, hand) in list(_hands.items()):
            if whose == run:
                hand.end()
                del _hands[key]


def _done(job: Job, task: Mapping[str, Any]) -> Mapping[str, Any]:
    topic, key = task["topic"], task["key"]
    worker = get_worker()
    hand = _hand(task["run"], Limits(**task["limits"]))
    worker.log_event(topic, {"key": key})

    def report(step: int, score: float) -> None:
        worker.log_event(topic, {"key": key, "step": step, "score": float(score)})

    return hand.do(job, report)


def _hand(run: str, limits: Limits) -> Hand:
    """Of this thread: a child process ends with the thread that started it."""
    key = threading.get_ident()
    with _lock:
        if run in _stopped:
            raise Ended
        whose, under, hand = _hands.get(key, ("", limits, None))
        if hand is None or (whose, under) != (run, limits):
            if hand is not None:
                hand.end()
            hand = Hand(limits)
            _hands[key] = run, limits, hand
        return hand


def _home(worker: Any) -> Path:
    """Where a worker keeps what it was sent; removed with the worker's own folder."""
    folder = Path(worker.local_directory) / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sees(token: tuple[str, str]) -> bool:
    """Whether the results folder of the run is seen from here: a file there says what it should."""
    path, content = token
    try:
        return Path(path).read_text("utf-8") == content
    except (OSError, UnicodeDecodeError):
        return False


def _here(job: Job, sent: Mapping[str, str], cohorts: Mapping[str, str], home: Path) -> Job:
    """The job with the paths of this machine. sent: sha256 -> the file's name; cohorts: a dataset's label -> sha256."""

    def of(spec: Spec) -> Spec:
        path = str(home / spec.sha256 / sent[spec.sha256]) if spec.path else ""
        digest = cohorts.get(spec.label, "") if spec.kind == "datasets" else ""
        return replace(spec, path=path, data=str(home / digest / sent[digest]) if digest else "")

    views = tuple(view if view.external is None else replace(view, external=of(view.external)) for view in job.views)
    return replace(job, dataset=of(job.dataset), method=of(job.method), views=views)
