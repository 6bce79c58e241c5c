"""multitask-bench: which multi-task method helps which patient outcome, by how much, and can you believe it?

import bench
outcome = bench.run("support2", "xgboost,hard_sharing", quick=True)
cohort = bench.Cohort.from_frame(frame, patient="id", outcomes=["aki", "death"])  # may stand in place of "support2"
outcome.scores, outcome.predictions, outcome.table()
bench.fit("orthtd", cohort).save("model")  # and later, elsewhere: bench.load_model("model").predict(frame_of_new_patients)
"""

from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.api import run
    from bench.cohorts.frames import Cohort
    from bench.estimator import as_estimator
    from bench.saved import Model, fit, load_model
    from bench.stored import Outcome, compare, make_report

__all__ = ["Cohort", "Model", "Outcome", "as_estimator", "compare", "fit", "load_model", "make_report", "run"]
__version__ = "0.1.0"

_root = _Path(__file__).resolve().parent.parent
if (_root / "pyproject.toml").is_file() and str(_root) not in __path__:
    __path__.append(str(_root))  # a checkout: methods/ and datasets/ stand beside bench/, never importable by themselves


def __getattr__(name: str) -> object:
    """`bench.run` and its like on demand: importing bench alone loads neither pandas nor torch."""
    if name not in __all__:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    from importlib import import_module

    homes = {
        "run": "bench.api", "Cohort": "bench.cohorts.frames", "as_estimator": "bench.estimator",
        **dict.fromkeys(("Model", "fit", "load_model"), "bench.saved"),
    }  # fmt: skip
    home = homes.get(name, "bench.stored")
    return getattr(import_module(home), name)
