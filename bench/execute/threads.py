"""How many threads the libraries of a process use."""

from collections.abc import Generator
from contextlib import contextmanager

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS",
    ),
    "1",
)  # fmt: skip
"""The environment of a process that is to use one, before it starts."""


@contextmanager
def one_thread() -> Generator[None]:
    """One for each library of this process for a while: the processors are the workers'."""
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        numba.set_num_threads(before)
