"""A worker process as its parent sees it: messages in and out, what it printed, what it holds, and its end."""

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from bench.execute.threads import ONE_THREAD

TAIL = 16_384  # bytes kept of what it printed


class Process:
    """`python -m bench.execute.worker`, leader of a process group of its own, which its children belong to and end with."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.execute.worker"]
        environment = {**os.environ, **ONE_THREAD, "PYTHONHASHSEED": "0", "TOKENIZERS_PARALLELISM": "false"}
        environment["PANDAS_COPY_ON_WRITE"] = "1"  # as pandas 3 always does: what a method writes into a frame stays in its copy
        pipe = subprocess.PIPE
        self.popen = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, process_group=0)
        self.printed = b""
        self._part = b""  # of a message
        self._selector = selectors.DefaultSelector()
        for stream in (self.popen.stdout, self.popen.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)
        self._ended = False
        self._cut = False  # whether it was ended from here
        self._open = True  # until it closed its side, or said what is no message

    @property
    def gone(self) -> bool:
        return not self._open or self.popen.poll() is not None

    def send(self, message: Mapping[str, Any]) -> None:
        assert self.popen.stdin is not None
        with suppress(OSError):  # it died between two jobs: seen when it is listened to
            self.popen.stdin.write((json.dumps(message) + "\n").encode())
            self.popen.stdin.flush()

    def hear(self, wait: float) -> list[dict[str, Any]]:
        """The messages that have come, after waiting at most so many seconds for anything."""
        said = b""
        while ready := self._selector.select(wait):
            wait = 0.0
            for key, _ in ready:
                with suppress(BlockingIOError):
                    data = os.read(key.fd, 2**20)
                    if not data:
                        self._selector.unregister(key.fileobj)
                    if key.fileobj is self.popen.stdout:
                        self._open &= bool(data)
                        said += data
                    else:
                        self.printed = (self.printed + data)[-TAIL:]
            if b"\n" in said:
                break
        *lines, self._part = (self._part + said).split(b"\n")
        try:
            return [dict(json.loads(line)) for line in lines]
        except ValueError:
            self._open = False
            return []

    def holds(self) -> int:
        """Bytes of memory of the group: proportional shares where several processes share pages and the system tells, else resident."""
        members = [pid for pid in psutil.pids() if _group(pid) == self.popen.pid]
        return sum(_bytes(pid, shared=len(members) > 1) for pid in members)

    def kill(self) -> None:
        """End it and all that it started. Once: later its number may be another process's."""
        if self._ended:
            return
        if not self._open:  # it ends by itself, most likely: its reason is the better one
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(2)
        self._cut = self._cut or self.popen.poll() is None
        with suppress(psutil.Error):
            for child in psutil.Process(self.popen.pid).children(recursive=True):  # a child may have left the group
                with suppress(psutil.Error):
                    child.kill()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        self._ended = True

    def close(self) -> None:
        self._selector.close()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            with suppress(OSError):
                assert stream is not None
                stream.close()

    def why(self) -> str:
        """Of one that is gone: what it died of, as far as it can be told."""
        code = self.popen.wait()
        if self._cut:
            return "the worker process stopped answering"
        if code == -signal.SIGKILL:
            return (
                "the worker process was killed, probably because the machine was out of memory: fewer --workers leave each more, "
                "--cell-memory stops the one that takes too much"
            )
        if code < 0:
            return f"the worker process died ({signal.Signals(-code).name}: {signal.strsignal(-code)})"
        said = [line.strip() for line in self.printed.decode(errors="replace").splitlines() if line.strip()]
        return f"the worker process died (exit status {code}){': ' + said[-1] if said else ''}"


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return -1


def _bytes(pid: int, shared: bool) -> int:
    with suppress(psutil.Error):  # it may end at any moment
        process = psutil.Process(pid)
        if shared and psutil.LINUX:
            with suppress(psutil.AccessDenied):
                return int(process.memory_full_info().pss)
        return int(process.memory_info().rss)
    return 0
