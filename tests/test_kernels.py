"""The compiled loops against those of numpy, on any number of threads, on a read-only disk, and where there is no numba."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from bench import bootstrap, kernels

ROOT = Path(__file__).parent.parent

# Prints a digest of all sums: 5 folds, 3 outcomes (one weighted, one with groups' rows unknown), 4 methods (ties, one absent).
DIGEST = """
import hashlib, sys
from dataclasses import fields
import numpy as np
from bench import bootstrap

rng = np.random.default_rng(0)
n = 1500
unit = rng.permutation(n) // 2
fold = (np.arange(n // 2) % 5)[unit]
y = np.where(rng.random((n, 3)) < 0.1, np.nan, rng.random((n, 3)) < [0.3, 0.1, 0.05])
w = np.where(np.isnan(y), 0, np.where([False, True, False], rng.uniform(1, 2, (n, 3)), 1))
p = np.round(rng.random((4, n, 3)), 2)
p[2] = rng.random((n, 3))
p[3][fold == 1] = np.nan
cells = [bootstrap.Cell(0, f, unit[fold == f], y[fold == f], w[fold == f], p[:, fold == f]) for f in range(5)]
counts, _ = bootstrap.draw(fold[:n:2], 700, 0)
found = bootstrap.sums(cells, counts)
whole = b"".join(np.ascontiguousarray(getattr(found, f.name)).tobytes() for f in fields(found))
print(hashlib.sha256(whole).hexdigest(), "numba" in sys.modules)
"""


def printed(code: str, cwd: Path = ROOT, **variables: str) -> str:
    """What Python prints for this code in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(cwd), **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def sums_of(seed: int, compiled: bool, weighted: bool) -> tuple[bootstrap.Sums, int]:
    rng = np.random.default_rng(seed)
    n = 800
    fold = rng.integers(0, 3, n)
    y = (rng.random((n, 2)) < [0.3, 0.05]).astype(float)
    y[rng.random((n, 2)) < 0.2] = np.nan
    w = np.where(np.isnan(y), 0, rng.uniform(1, 3, (n, 2)) if weighted else 1)
    p = np.stack([rng.random((n, 2)), rng.integers(0, 9, (n, 2)) / 9])
    cells = [bootstrap.Cell(0, f, np.flatnonzero(fold == f), y[fold == f], w[fold == f], p[:, fold == f]) for f in range(3)]
    return bootstrap.sums(cells, bootstrap.draw(fold, 200, seed)[0], compiled=compiled), n


@pytest.mark.parametrize("weighted", [False, True])
def test_both_paths_give_the_same_numbers(weighted: bool) -> None:
    fast, _ = sums_of(0, True, weighted)
    plain, _ = sums_of(0, False, weighted)
    for field in fields(fast):
        got, expected = getattr(fast, field.name), getattr(plain, field.name)
        assert (expected > 0).all()
        assert got / expected == pytest.approx(np.ones(got.shape), abs=1e-12)


def test_without_weights_the_counts_are_exact() -> None:
    fast, plain = sums_of(1, True, False)[0], sums_of(1, False, False)[0]
    for name in ("pairs", "events", "rows"):
        assert np.array_equal(getattr(fast, name), getattr(plain, name))
        assert np.array_equal(getattr(fast, name) % 1, np.zeros_like(getattr(fast, name)))
    assert np.array_equal(fast.concordant % 0.5, np.zeros_like(fast.concordant))  # whole pairs, tied ones half
    assert np.array_equal(fast.concordant, plain.concordant)


def test_the_loops_and_their_caller_agree_about_the_width() -> None:
    assert kernels.LANES == bootstrap.BLOCK


def test_counts_of_many_draws_do_not_overflow() -> None:
    # one event and one other row, each drawn 60,000 times: 3.6e9 pairs, beyond 32 bits
    cell = bootstrap.Cell(0, 0, np.arange(2), np.array([[1.0], [0]]), np.ones((2, 1)), np.array([[[0.9], [0.1]]]))
    got = bootstrap.sums([cell], np.full((2, 1), 60_000, np.uint16), compiled=True)
    assert got.concordant.item() == got.pairs.item() == 3.6e9
    assert got.precision.item() == 60_000


def test_any_number_of_threads_gives_the_same_bits() -> None:
    one, three = (printed(DIGEST, NUMBA_NUM_THREADS=threads) for threads in ("1", "3"))
    assert one == three
    assert one.endswith("True")


SMALL = """
import sys
sys.modules.update({"numba": None} if BLOCKED else {})
import numpy as np
from bench import bootstrap, jackknife

y, p = np.array([[1.0], [0], [1], [0]]), np.array([[[0.9], [0.8], [0.7], [0.6]]])
cell = bootstrap.Cell(0, 0, np.arange(4), y, np.ones((4, 1)), p)
one = np.ones((4, 1), np.uint16)
plain = bootstrap.sums([cell], one, compiled=False)
print("numba" in sys.modules and not BLOCKED, plain.concordant.item(), end=" ")
print(bootstrap.sums([cell], one).concordant.item(), end=" ")
try:
    print(bootstrap.sums([cell], one, compiled=True).concordant.item())
except ImportError:
    print("missing")
"""


def test_without_numba_the_sums_are_numpy_s() -> None:
    # .9 beats both others, .7 one of them: 3 of 4 pairs
    assert printed("BLOCKED = True" + SMALL) == "False 3.0 3.0 missing"


def test_a_package_on_a_read_only_disk_still_runs(tmp_path: Path) -> None:
    # permissions do not stop root: a file stands where the cache folder would be made, and the user's own cache is /dev/null
    package = tmp_path / "bench"
    package.mkdir()
    (package / "__pycache__").write_text("")
    for name in ("__init__.py", "core.py", "bootstrap.py", "kernels.py", "jackknife.py"):
        (package / name).write_text((ROOT / "bench" / name).read_text("utf-8"), "utf-8")
    home = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null", "NUMBA_CACHE_DIR": "", "NUMBA_OPT": "0"}
    code = "BLOCKED = False" + SMALL + "from bench import kernels; print(kernels.__file__, kernels.scan.stats.cache_path)"
    *results, file, cache = printed(code, tmp_path, **home).split()
    assert results == ["False", "3.0", "3.0", "3.0"]  # numba is not imported before it is wanted
    assert Path(file) == package / "kernels.py"
    assert cache == "None"
