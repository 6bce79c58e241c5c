"""Taking turns at a file that several processes read, change and write, maybe on several machines."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.store.locks import looks

TURN = ".turn"


@contextmanager
def turn(root: Path) -> Generator[None]:
    """While this lasts, no other process has its turn in this folder. The system ends a turn with its process, however that ends.

    Where the file system has no locks there are no turns, and of two that write at the same moment one wins.
    """
    if looks():
        yield
        return
    handle = -1
    with suppress(OSError):  # whoever cannot write there is told so by the write
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / TURN, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if handle >= 0:
            os.close(handle)
