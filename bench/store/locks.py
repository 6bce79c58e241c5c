"""Who writes to a results folder now. A run holds it, together with other runs; who removes files must have it alone.

The system lets go of a lock when its process ends, however it ends: there is no mark that a `kill -9` leaves behind.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from bench.core import BenchError

LOCK = ".lock"
_holding: ContextVar[tuple[ExitStack, set[Path]] | None] = ContextVar("holding", default=None)
_looking: ContextVar[bool] = ContextVar("looking", default=False)


@contextmanager
def writing() -> Generator[None]:
    """While this lasts, every results folder that is opened to be written to is held."""
    with ExitStack() as stack:
        token = _holding.set((stack, set()))
        try:
            yield
        finally:
            _holding.reset(token)


@contextmanager
def looking() -> Generator[None]:
    """While this lasts every write to a results folder of this thread comes to nothing: cells can be planned and nothing is touched."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


def looks() -> bool:
    return _looking.get()


def hold(root: Path) -> None:
    """Until the `writing` around it ends. Waits while files are removed. A folder that cannot be locked is left unheld."""
    held = _holding.get()
    if looks() or held is None or root.resolve() in held[1]:
        return
    with suppress(OSError):  # whoever cannot write there is told so by the write
        root.mkdir(parents=True, exist_ok=True)
        held[0].enter_context(_locked(root, fcntl.LOCK_SH))
        held[1].add(root.resolve())


@contextmanager
def alone(root: Path) -> Generator[None]:
    """BenchError while another process holds the folder, or where nobody can tell."""
    with ExitStack() as stack:
        try:
            stack.enter_context(_locked(root, fcntl.LOCK_EX | fcntl.LOCK_NB))
        except BlockingIOError:
            raise BenchError(f"a run writes to {root} now, so nothing is removed. Try again when it has ended.") from None
        except OSError as error:
            raise BenchError(f"cannot lock {root}, so nothing is removed: {error}") from None
        yield


@contextmanager
def _locked(root: Path, how: int) -> Generator[None]:
    # Opened to be read where that will do: a file system with a file that is open to be written to cannot be made read-only
    mode = os.O_RDWR if how & fcntl.LOCK_EX else os.O_RDONLY
    handle = os.open(root / LOCK, mode | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)
