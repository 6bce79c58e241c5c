"""Memory that is kept between steps.

The C library gives freed blocks back to the system, above 128 KiB at once, and every step's activations are then mapped and zeroed
page by page again: a fifth of the step of a small network.
"""

import ctypes
import functools
import sys

LARGE = 32 << 20  # bytes from which a block is given back when it is freed
IDLE = 256 << 20  # bytes of free memory at the end of the heap above which it shrinks
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


@functools.cache
def keep() -> bool:
    """Once a process. False, and nothing happens, where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another library; TypeError: Windows has no library without a name
        return False
    return sys.platform == "linux" and bool(mallopt(_MMAP_THRESHOLD, LARGE)) and bool(mallopt(_TRIM_THRESHOLD, IDLE))
