"""The cohort of the contract, for every test that needs patients; and the longest files first."""

import gc
import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy or torch starts its threads
os.environ.setdefault("PANDAS_COPY_ON_WRITE", "1")  # as workers have it; pandas 3 knows nothing else

from collections.abc import Callable

import pytest

from bench import doctor
from bench.contract.cohort import make
from bench.core import Cohort

needed = (need for need in doctor._declared()["extras"]["test"] if need.name != doctor.DISTRIBUTION)
if lacking := [str(need) for need in needed if not doctor._has(need)]:
    raise pytest.UsageError(f"the tests need {', '.join(lacking)}: pip install -e '.[test]'")

# Where a container forbids it, every interpreter that a test starts would compile the suite anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
gc.set_threshold(50_000)  # as the command does
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it starts ignored, and children would inherit that

MakeCohort = Callable[..., Cohort]
# Files of twenty seconds and more of the processor, the longest first: begun last, one of them would run alone at the end.
LONG = ("readme", "contract", "faults_run", "cluster", "docs", "run", "saved", "faults_tuning", "joint_trees", "suite_runs", "run_faults", "tune_runs",
        "results_reading", "learning_runs", "wheel", "null_rates", "shards", "faults_cells", "parts")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}.py": i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))  # stable: all others in their order


@pytest.fixture(scope="session")
def make_cohort() -> MakeCohort:
    """make_cohort(n=500, tasks=3, seed=0, signal=3.0, missing_labels=0.1, weighted=False, nested=False): each combination is made once."""
    return make


@pytest.fixture(scope="session")
def small_cohort() -> Cohort:
    """500 patients, 3 tasks."""
    return make()
