"""Claims of papers, tested on independent draws of a generator: which cells they need, and what the cells say of them.

The unit is a draw. In each, a method's score less that of the best of its rivals in the same draw is one number d_k, above 0
where it goes the way the paper says; n draws give the mean of d, its 95 % t interval (n - 1 degrees of freedom) and the p
value of mean 0. The best rival of a draw is the one that did best there, as a paper has one cohort and picks the best on it.

The rules, fixed before any run; E is the size the paper claims (0 where it claims a direction only):
    reproduced     the low end is above 0, the high end reaches E, and p, adjusted by Holm over the suite's claims, is below .05
    refuted        the high end is below E / 2
    inconclusive   anything else
A size is reached by the interval and not by its middle: of an effect that is exactly E the middle falls short half of the time,
however many draws there are. A null is a place where the effect should not be, or a control:
    absent         the high end is below E / 2
    present        the low end is above 0, and it is not absent
    undecided      anything else
Power: the probability that the low end is above 0 if the effect is E, from the noncentral t with the SD of the d_k.
A claim with a cell that failed or was declined, or with an undefined score, is not run: leaving draws out would choose among them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import metrics, registry
from bench.core import BenchError
from bench.draws import Draws
from bench.harness import Job, Plan
from bench.registry import Spec
from bench.store import DAMAGED, Store, cell_name
from bench.suites import Claim, Claims, Elsewhere, Entry, Null

LEVEL = 0.05
QUICK_DRAWS, QUICK_TEST, QUICK_LEAST = 2, 2000, 100
QUICK_SEEDS = 1_000_000  # how far its seeds lie from those of the run, whose draws it must not look at
QUICK_SHARE = 10  # a quick look learns from a tenth of the patients, but QUICK_LEAST

Key = tuple[str, Draws, str]  # dataset, protocol, method: the cells of an arm


class NotRun(Exception):
    """Why a claim has no verdict."""


@dataclass(frozen=True)
class Arm:
    """One method in one place, and what is read off it."""

    dataset: Spec
    protocol: Draws
    method: Spec
    metric: str

    @property
    def key(self) -> Key:
        return self.dataset.label, self.protocol, self.method.label


@dataclass(frozen=True)
class Case:
    """A claim or a null at one size. sides: (method, rivals) here and, for a contrast, there."""

    entry: Entry
    train: int
    sides: tuple[tuple[Arm, tuple[Arm, ...]], ...]

    @property
    def arms(self) -> list[Arm]:
        return [arm for own, rivals in self.sides for arm in (own, *rivals)]


@dataclass(frozen=True)
class Estimate:
    """mean, 95 % interval, p of mean 0 (two-sided) and power against the claimed effect, over n draws."""

    mean: float
    low: float
    high: float
    p: float
    power: float
    n: int


# ---- what is to be run


def cases(suite: Claims, *, quick: bool = False, seed: int | None = None) -> list[Case]:
    """Every claim followed by its nulls, at each of their sizes. seed: of the first draw, the suite's if None."""
    entries: list[Entry] = [e for claim in suite.claim for e in (claim, *(n for n in suite.null if n.of == claim.name))]
    base = suite.draws.seed if seed is None else seed
    out: list[Case] = []
    for entry in entries:
        for train in entry.train:
            places = [Elsewhere(), entry.than] if entry.than else [Elsewhere()]
            protocols = [_protocol(suite, entry, place.train or train, quick, base) for place in places]
            sides = tuple(_side(entry, at.dataset or entry.dataset, under) for at, under in zip(places, protocols, strict=True))
            out.append(Case(entry, protocols[0].train, sides))
    return out


def needs(of: Sequence[Case]) -> dict[tuple[Spec, Draws], list[Spec]]:
    """The methods wanted on each dataset under each protocol, each once."""
    wanted: dict[tuple[Spec, Draws], dict[str, Spec]] = {}
    for arm in (arm for case in of for arm in case.arms):
        wanted.setdefault((arm.dataset, arm.protocol), {})[arm.method.label] = arm.method
    return {place: list(methods.values()) for place, methods in wanted.items()}


def diagnosed(of: Sequence[Case], place: tuple[Spec, Draws]) -> bool:
    """Whether a claim reads a diagnosis of the cells in this place."""
    arms = [arm for case in of for arm in case.arms if (arm.dataset, arm.protocol) == place]
    return any(arm.metric.startswith("fact:diagnosis.") for arm in arms)


def check_outcomes(of: Sequence[Case], plans: Sequence[Plan]) -> None:
    """Refuse a metric of an outcome that its dataset has not, before anything is trained."""
    outcomes = {plan.spec.label: list(plan.cohort.task_names) for plan in plans}
    for arm in (arm for case in of for arm in case.arms):
        kind, _, task = arm.metric.partition(":")
        if kind in ("ap", "auroc") and task and task not in outcomes[arm.dataset.label]:
            raise BenchError(registry.unknown(f"outcome of '{arm.dataset.label}'", task, outcomes[arm.dataset.label]))


def _protocol(suite: Claims, entry: Entry, train: int, quick: bool, seed: int) -> Draws:
    test, count, rows = suite.draws.test, suite.draws.count, entry.rows or train + suite.draws.test
    if quick:
        full = train + test
        train, test, count = max(QUICK_LEAST, train // QUICK_SHARE), min(QUICK_TEST, test), QUICK_DRAWS
        rows, seed = math.ceil(rows * (train + test) / full), seed + QUICK_SEEDS
    return Draws(train, test, rows, count, seed, quick, entry.train_site, entry.test_site)


def _side(entry: Entry, dataset: str, protocol: Draws) -> tuple[Arm, tuple[Arm, ...]]:
    place = _one("datasets", dataset)
    rivals = tuple(Arm(place, protocol, _one("methods", m), entry.against_metric or entry.metric) for m in entry.against)
    return Arm(place, protocol, _one("methods", entry.method), entry.metric), rivals


def _one(kind: registry.Kind, text: str) -> Spec:
    found = registry.parse(kind, text)
    if len(found) != 1:
        raise BenchError(f"a claim names one of the {kind} at a time, but got '{text}'")
    return found[0]


# ---- what the cells say


class Cells:
    """The scores of stored cells; each is read once."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.jobs: dict[Key, list[Job]] = {}
        for job in (job for plan in plans for job in (*(job for job, _ in plan.stored), *plan.missing)):
            assert isinstance(job.protocol, Draws)
            self.jobs.setdefault((job.dataset.label, job.protocol, job.method.label), []).append(job)
        self.read: dict[tuple[Key, str], NDArray[np.float64]] = {}

    def scores(self, arm: Arm) -> NDArray[np.float64]:
        """(draws,) Raises NotRun where a cell has none."""
        if (arm.key, arm.metric) not in self.read:
            jobs = sorted(self.jobs[arm.key], key=lambda job: job.repeat)
            self.read[arm.key, arm.metric] = np.array([_score(job, arm.metric) for job in jobs])
        return self.read[arm.key, arm.metric]

    def failed(self) -> pd.DataFrame:
        """The cells that ended in an error: dataset, method, repeat, fold, error."""
        rows: list[tuple[object, ...]] = []
        for job in (job for jobs in self.jobs.values() for job in jobs):
            record = _record(job)
            if record["status"] not in ("done", "declined"):
                rows.append((job.dataset.label, job.method.label, job.repeat, job.fold, record["error"]))
        return pd.DataFrame(rows, columns=["dataset", "method", "repeat", "fold", "error"])


def _score(job: Job, metric: str) -> float:
    record = _record(job)
    if record["status"] != "done":
        raise NotRun(f"{job.method.label} on {job.dataset.label}, draw {job.repeat}: {record['status']}: {record['error']}")
    kind, _, which = metric.partition(":")
    kept = {"seconds": (record, "seconds"), "fact": (record["facts"], which)}
    value = _fact(*kept[kind]) if kind in kept else _predicted(job, kind, which)
    if not math.isfinite(value):
        raise NotRun(f"{job.method.label} on {job.dataset.label}, draw {job.repeat}: {metric} is undefined")
    return value


def _record(job: Job) -> Mapping[str, Any]:
    return Store(Path(job.root)).cell(Path(job.folder), job.repeat, job.fold) or {"status": "missing", "error": DAMAGED}


def _fact(facts: Any, path: str) -> float:
    """The number at a dotted path, whose parts may hold *; the mean of several or of a list; NaN where one is missing."""
    found = [facts]
    for part in path.split("."):
        found = [value for each in found if isinstance(each, Mapping) for key, value in each.items() if fnmatchcase(key, part)]
    values = [v for each in found for v in (each if isinstance(each, list) else [each])]
    return float(np.mean(values)) if values and all(isinstance(v, int | float) for v in values) else math.nan


def _predicted(job: Job, kind: str, task: str) -> float:
    """A metric of the test rows: of one outcome, or its mean over all."""
    frame = pd.read_parquet(Path(job.folder) / f"{cell_name(job.repeat, job.fold)}.parquet")
    test = frame[frame["view"] == "test"]
    tasks = [c[2:] for c in test.columns if c.startswith("y:")]
    of = metrics.auroc if kind == "auroc" else metrics.average_precision
    return float(np.mean([of(test[f"y:{t}"].to_numpy(), test[f"p:{t}"].to_numpy()) for t in ([task] if task else tasks)]))


def gains(case: Case, cells: Cells) -> list[NDArray[np.float64]]:
    """A side each: (rivals, draws), the gain over every rival by itself, above 0 where it goes the claimed way."""
    sign = 1.0 if case.entry.direction == "up" else -1.0

    def oriented(arm: Arm) -> NDArray[np.float64]:
        values = cells.scores(arm)
        if case.entry.scale == "difference":
            return sign * values
        if (values <= 0).any():
            raise NotRun(f"a ratio needs values above 0, but {arm.metric} of {arm.method.label} has {values.min():g}")
        return sign * np.log(values)

    return [oriented(own) - np.stack([oriented(arm) for arm in rivals]) for own, rivals in case.sides]


def differences(case: Case, cells: Cells) -> NDArray[np.float64]:
    """(draws,) the gain over the best rival of the draw; less the gain there for a contrast."""
    here, *there = (gain.min(axis=0) for gain in gains(case, cells))
    return here - there[0] if there else here


def each(case: Case, cells: Cells) -> tuple[tuple[str, float], ...]:
    """Every rival with the mean of the differences to it alone: what `differences` is with no other rival."""
    here, *there = gains(case, cells)
    means = (here - there[0] if there else here).mean(axis=1)
    return tuple(zip(_rivals(case), means.tolist(), strict=True))


# ---- verdicts


def estimate(d: NDArray[np.float64], effect: float) -> Estimate:
    """The t interval of the mean of d, its p value and its power. Equal d (SD 0): the mean itself, p 0 or 1."""
    from scipy import stats  # here, since it takes a second to import and every command reads this file

    n, mean, error = len(d), float(d.mean()), float(d.std(ddof=1) / math.sqrt(len(d)))
    half = float(stats.t.ppf(1 - LEVEL / 2, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1)) if error > 0 else float(mean == 0)
    return Estimate(mean, mean - half, mean + half, p, power(effect, error * math.sqrt(n), n), n)


def power(effect: float, sd: float, n: int) -> float:
    """P(low end of the interval > 0) of n draws whose differences have mean `effect` and this SD. NaN for no effect."""
    from scipy import stats

    if effect <= 0:
        return math.nan
    return float(stats.nct.sf(stats.t.ppf(1 - LEVEL / 2, n - 1), n - 1, effect * math.sqrt(n) / sd)) if sd > 0 else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values, in the order given (Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    order = np.argsort(p, kind="stable")
    raised = np.asarray(p, float)[order] * (len(p) - np.arange(len(p)))
    out = np.empty(len(p))
    out[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return out.tolist()


def verdict(low: float, high: float, effect: float, p_adjusted: float) -> str:
    if low > 0 and high >= effect and p_adjusted < LEVEL:
        return "reproduced"
    return "refuted" if high < effect / 2 else "inconclusive"


def null_verdict(low: float, high: float, effect: float) -> str:
    if high < effect / 2:
        return "absent"
    return "present" if low > 0 else "undecided"


def claimed(entry: Entry) -> float:
    """The claimed effect on the scale of the differences."""
    if entry.effect is None:
        return 0.0
    return math.log(entry.effect) if entry.scale == "ratio" else entry.effect


def judge(of: Sequence[Case], cells: Cells) -> pd.DataFrame:
    """A row a case: kind, name, of, paper, text, dataset, train, draws, method, against, metric, unit, effect, low, high, claimed, p,
    p_holm, power, each, verdict, expected, reason.

    unit: `points` (fractions; AP and AUROC), `ratio` (effect, low, high, claimed, each: logs) or `value`. NaN or (): there is none.
    """
    rows: list[dict[str, Any]] = []
    for case in of:
        row = _about(case)
        try:
            found = estimate(differences(case, cells), row["claimed"])
            row |= {"effect": found.mean, "low": found.low, "high": found.high, "p": found.p, "power": found.power}
            row["each"] = each(case, cells)
        except NotRun as reason:
            row["reason"] = str(reason)
        rows.append(row)
    family = [row for row in rows if row["kind"] == "claim"]
    adjusted = holm([1.0 if row["reason"] else row["p"] for row in family])  # what was not run still belongs to the family
    for row, p in zip(family, adjusted, strict=True):
        if not row["reason"]:
            row |= {"p_holm": p, "verdict": verdict(row["low"], row["high"], row["claimed"], p)}
    for row in rows:
        if row["kind"] == "null" and not row["reason"]:
            row["verdict"] = null_verdict(row["low"], row["high"], row["claimed"])
    return pd.DataFrame(rows)


def _rivals(case: Case) -> list[str]:
    """Their names, with the metric where it is not the method's own."""
    own, rivals = case.sides[0]
    return [arm.method.label + (f" ({arm.metric})" if arm.metric != own.metric else "") for arm in rivals]


def _about(case: Case) -> dict[str, Any]:
    entry, own = case.entry, case.sides[0][0]
    null = entry if isinstance(entry, Null) else None
    there = [side[0] for side in case.sides[1:]]
    return {
        "kind": "null" if null else "claim",
        "name": entry.name,
        "of": null.of if null else "",
        "paper": entry.paper if isinstance(entry, Claim) else "",
        "text": entry.text,
        "dataset": " less ".join(dict.fromkeys(arm.dataset.label for arm in (own, *there))),
        "train": " less ".join(dict.fromkeys(str(arm.protocol.train) for arm in (own, *there))),
        "draws": own.protocol.repeats,
        "method": own.method.label,
        "against": ", ".join(_rivals(case)),
        "metric": entry.metric,
        "unit": "ratio" if entry.scale == "ratio" else "points" if entry.metric.startswith(("ap", "auroc")) else "value",
        **dict.fromkeys(("effect", "low", "high", "claimed", "p", "p_holm", "power"), math.nan),
        "claimed": claimed(entry),
        "each": (),
        "verdict": "not run",
        "expected": null.expect if null else "",
        "reason": "",
    }
