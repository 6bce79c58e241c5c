"""What else a fitted model is shown: the test rows with modalities missing at random, and the rows of another cohort.

A modality is missing as a whole: `present` is False and its content is gone, in a table NaN, in a series no events, in a text "".
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import BenchError, Cohort, Inputs, Modality, Rows, Series, Tabular, Text
from bench.registry import Spec

MASKS = 2  # of the random streams of a cell: those of the missing modalities


@dataclass(frozen=True)
class View:
    """Predictions besides those of test and validation rows. name: as stored. missing: the probability that a modality is.

    external: the dataset they are of, with the digest of its cohort.
    """

    name: str
    missing: float = 0.0
    external: Spec | None = None
    digest: str = ""

    @staticmethod
    def of_missing(rate: float) -> "View":
        return View(f"test:missing={rate:g}", rate)

    @staticmethod
    def of_external(spec: Spec, digest: str) -> "View":
        return View(f"external:{spec.label}", external=spec, digest=digest)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "View":
        spec = value["external"]
        return View(value["name"], value["missing"], None if spec is None else Spec(**spec), value["digest"])


def rates(given: str | float | Sequence[float]) -> list[float]:
    """Probabilities as the user gives them, without 0, which is the test itself. BenchError where one is none."""
    parts: Sequence[Any] = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int | float) else given
    found: list[float] = []
    for part in parts:
        try:
            rate = float(part)
        except ValueError:
            rate = np.nan
        if not 0 <= rate <= 1:
            raise BenchError(f"missing must be probabilities from 0 to 1, separated by commas, but one is '{part}'")
        found.append(rate)
    return sorted({rate for rate in found if rate})


def dropped(cohort: Cohort, names: Sequence[str]) -> Cohort:
    """The cohort when no row has these modalities."""
    if not names:
        return cohort
    nobody = np.zeros(len(cohort), bool)
    digest = hashlib.sha256("/".join([cohort.digest, "without", *names]).encode()).hexdigest()
    return replace(cohort, inputs=_kept(cohort.inputs, dict.fromkeys(names, nobody)), digest=digest)


def narrowed(cohort: Cohort, outcomes: Sequence[str]) -> Cohort:
    """The cohort with these outcomes alone, in its own order; as it is for none named. What they imply of others is left out."""
    if not outcomes:
        return cohort
    kept = [t for t, name in enumerate(cohort.task_names) if name in outcomes]
    tasks = tuple(cohort.tasks[t] for t in kept)
    names = [task.name for task in tasks]
    implied = [tuple(name for name in task.implies if name in names) for task in tasks]
    return replace(
        cohort,
        tasks=tuple(replace(task, implies=implies) for task, implies in zip(tasks, implied, strict=True)),
        labels=cohort.labels[:, kept],
        weights=None if cohort.weights is None else cohort.weights[:, kept],
        digest=hashlib.sha256("/".join([cohort.digest, "outcomes", *names]).encode()).hexdigest(),
    )


def masked(inputs: Inputs, rows: Rows, rate: float, seed: int, repeat: int) -> tuple[Inputs, float]:
    """The inputs when each modality of a row is missing with this probability, and the share of modalities that is.

    rows: where the inputs stand in the cohort. A row that has a modality keeps one, drawn once for all rates: it is the one whose
    number, uniform in 0..1, is largest, and another is missing if its number is below the rate. So what is missing at .25 is
    missing at .5, whatever the method, and of few modalities fewer are missing than the rate says: hence the share.
    """
    there = np.column_stack([modality.present for modality in inputs.modalities.values()])  # (n, M)
    stream = np.random.default_rng(np.random.SeedSequence([seed, repeat, MASKS]))
    drawn = stream.random((int(rows.max(initial=-1)) + 1, there.shape[1]))[rows]  # a row's numbers depend on its place alone
    number = np.where(there, drawn, -1.0)
    kept = there & ((number >= rate) | (number == number.max(axis=1, keepdims=True)))
    share = float(1 - kept.sum() / there.sum()) if there.any() else 0.0
    return _kept(inputs, dict(zip(inputs.modalities, kept.T, strict=True))), share


def _kept(inputs: Inputs, rows: Mapping[str, NDArray[np.bool_]]) -> Inputs:
    """With each of the named modalities in these rows alone."""
    return replace(
        inputs, modalities={name: _only(m, rows[name]) if name in rows else m for name, m in inputs.modalities.items()}
    )


def _only(modality: Modality, kept: NDArray[np.bool_]) -> Modality:
    present = modality.present & kept
    if isinstance(modality, Tabular):
        frame = modality.frame.astype(dict.fromkeys(modality.frame.select_dtypes("bool").columns, float))
        return Tabular(frame.reindex(np.where(kept, np.arange(len(kept)), -1)), present)  # -1: a row of NaN
    if isinstance(modality, Text):
        return Text(np.where(kept, modality.strings, ""), present)
    counts = np.where(kept, np.diff(modality.offsets), 0)
    events = np.repeat(kept, np.diff(modality.offsets))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Series(
        offsets,
        modality.time[events],
        modality.channel[events],
        modality.value[events],
        modality.channels,
        modality.units,
        present,
    )
