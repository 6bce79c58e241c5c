"""A real scheduler and real workers, started as a user would, on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 240.0  # seconds, of a machine that has much else to do


class Dask:
    """`dask scheduler` and `dask worker` on 127.0.0.1. Everything ends with the `with`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder, self.settings = folder, settings  # of Dask, as environment variables
        self.processes: list[subprocess.Popen[bytes]] = []
        self.address = ""

    def __enter__(self) -> "Dask":
        self.folder.mkdir()
        self.scheduler = self._start(
            [
                *_dask("scheduler"),
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--dashboard-address",
                "127.0.0.1:0",
                "--scheduler-file",
                "s.json",
            ]
        )
        until(lambda: self._address() != "", self.scheduler)
        self.address = self._address()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def worker(self, *options: str, hidden: Path | None = None, path: str | None = None) -> "subprocess.Popen[bytes]":
        """A worker of one thread, in a process of its own that can be killed. hidden: a folder that it does not see. path: PYTHONPATH."""
        local = self.folder / f"worker{len(self.processes)}"
        command = [
            *_dask("worker"),
            self.address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(local),
        ]
        command += options
        if hidden is not None:
            command = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden), *command]
        process = self._start(command, path)
        log = Path(str(process.args_log))  # type: ignore[attr-defined]
        until(lambda: "Starting established connection" in log.read_text(errors="replace"), process)
        return process

    def _start(self, command: Sequence[str], path: str | None = None) -> "subprocess.Popen[bytes]":
        log = self.folder / f"{len(self.processes)}.log"
        environment = {**os.environ, **self.settings, **({} if path is None else {"PYTHONPATH": path})}
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=self.folder, stdout=stream, stderr=subprocess.STDOUT, env=environment)
        process.args_log = log  # type: ignore[attr-defined]
        self.processes.append(process)
        return process

    def _address(self) -> str:
        with suppress(OSError, ValueError):
            return str(json.loads((self.folder / "s.json").read_text())["address"])
        return ""


def _dask(verb: str) -> list[str]:
    return [sys.executable, "-m", "dask", verb]


def until(there: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for a condition, as long as the process lives that is to bring it about."""
    end = time.monotonic() + PATIENCE
    while not there():
        assert process.poll() is None, Path(str(process.args_log)).read_text()  # type: ignore[attr-defined]
        assert time.monotonic() < end, Path(str(process.args_log)).read_text()  # type: ignore[attr-defined]
        time.sleep(0.05)


def can_hide() -> bool:
    """Whether a process can be given a view of the file system in which a folder is empty."""
    command = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
