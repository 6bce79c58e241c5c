"""TabPFN: a Transformer pretrained on synthetic tables reads the training rows as its context; one fit per outcome.

Hollmann et al., "Accurate predictions on small data with a tabular foundation model", Nature 2025: p(y | x, training rows) comes
from one forward pass of a network whose weights were learned once, on tables drawn from a prior; nothing is trained here.
The package is optional: `pip install -e '.[tabpfn]'`. Its weights need a licence: accept it at https://ux.priorlabs.ai and set
TABPFN_TOKEN, or name a file with `weights=`, or put it in the package's cache (TABPFN_MODEL_CACHE_DIR), of which the last
classifier by name is taken. Without package, weights or token the method declines; without a token nothing is ever downloaded.
Published: package, weights (TabPFN 2.5 and later under a non-commercial licence) and results on public tables; OrthTD lists it
among its baselines.
Departures: single-target models, T of them. Inputs are those of the tree models (`prep.flatten`), missing values and codes as
they are. At most `rows` rows with a known outcome are the context, the package's practical limit on a CPU: a draw stratified by
class. The package takes no weights, so weighted rows are drawn with replacement, in proportion. Validation rows are not used.
Telemetry is off.
Cost: on a CPU minutes per cell of surgical, on a GPU seconds (not measured here: no licence).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from bench import prep
from bench.core import Cohort, Count, Rows, Run, Unsupported
from bench.pertask import Data, PerTask, fit_per_task

SUFFIXES = (".ckpt", ".safetensors")
LICENCE = "accept the licence at https://ux.priorlabs.ai and set TABPFN_TOKEN, or give a file with weights=PATH"


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """One outcome's classifier with its training rows. parameters: numbers it holds of them; its weights are not fitted."""

    classifier: Any
    parameters: int
    steps: int = 1
    at_cap: bool = False
    scores: Sequence[float] = ()

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self.classifier.predict_proba(x))[:, 1]  # classes are sorted: 0, 1


@dataclass(frozen=True, kw_only=True)
class TabPFN:
    """rows: of the context, at most. members: forward passes averaged. weights: a checkpoint file; "" = the package's own."""

    family: ClassVar[str] = "tabular deep"

    rows: Annotated[int, Ge(2)] = 1000
    members: Count = 8
    weights: str = ""

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> PerTask:
        path = self._weights()
        os.environ.setdefault("TABPFN_DISABLE_TELEMETRY", "1")  # read when the package is imported
        os.environ.setdefault("TABPFN_NO_BROWSER", "1")  # a worker cannot log in
        package: Any = import_module("tabpfn")
        flat = prep.flatten(train)
        settings: dict[str, Any] = {
            "n_estimators": self.members, "categorical_features_indices": np.flatnonzero(flat.categorical).tolist(),
            "model_path": path, "device": run.device, "random_state": run.seed % 2**31, "ignore_pretraining_limits": True,
        }  # fmt: skip

        def context(data: Data, held_out: Data) -> Context:
            del held_out
            take = drawn(data, self.rows, np.random.default_rng(run.seed))
            classifier = package.TabPFNClassifier(**settings).fit(data.x[take], data.y[take].astype(int))
            return Context(classifier, data.x[take].size)

        try:
            fitted = fit_per_task(flat, train, valid, run, context)
        except import_module("tabpfn.errors").TabPFNLicenseError as error:
            raise Unsupported(f"tabpfn needs the licence of its weights, which the token does not hold: {LICENCE}") from error
        return replace(fitted, facts={**fitted.facts, "weights": Path(path).name})

    def _weights(self) -> str:
        """What the classifier takes as `model_path`, "auto" where the environment's token allows a download."""
        if find_spec("tabpfn") is None:
            raise Unsupported("tabpfn needs a package that is not installed: pip install -e '.[tabpfn]'")
        if self.weights:
            if not Path(self.weights).is_file():
                raise Unsupported(f"tabpfn needs its weights, but {self.weights!r} is no file: {LICENCE}")
            return self.weights
        cached = sorted(p for p in _cache().glob("tabpfn-v*") if p.suffix in SUFFIXES and "regressor" not in p.name)
        if cached:
            return str(cached[-1])
        if not os.environ.get("TABPFN_TOKEN", "").strip():
            raise Unsupported(f"tabpfn needs its weights, but {_cache()} holds none and TABPFN_TOKEN is not set: {LICENCE}")
        return "auto"


def _cache() -> Path:
    """Where the package keeps what it downloads (Linux)."""
    own, general = os.environ.get("TABPFN_MODEL_CACHE_DIR", ""), os.environ.get("XDG_CACHE_HOME", "")
    return Path(own) if own else (Path(general) if general else Path.home() / ".cache") / "tabpfn"


def drawn(data: Data, size: int, rng: np.random.Generator) -> Rows:
    """At most `size` rows, the classes in proportion to their weight and each at least once; weighted rows with replacement."""
    size = min(size, len(data.y))
    events = int(np.clip(round(size * data.prevalence), 1, size - 1))
    weighted = bool(np.ptp(data.w) > 0)

    def of(label: int, count: int) -> Rows:
        rows = np.flatnonzero(data.y == label)
        return rng.choice(rows, count, replace=weighted, p=data.w[rows] / data.w[rows].sum() if weighted else None)

    return np.concatenate([of(0, size - events), of(1, events)])


METHOD = TabPFN
