"""Stored predictions as arrays, and the one set of stratified estimates that tables, intervals and tests share.

A number that cannot be defined is NaN: average precision with fewer than 10 events in every fold, everything but AUROC with
fewer than 20 events in all. Unknown labels are left out. A method without predictions of a cell is estimated on the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import jackknife, metrics
from bench.bootstrap import Cell, Counts, Sums, Vector, class_sums, draw, present, sums
from bench.core import BenchError

Mask: TypeAlias = NDArray[np.bool_]

BAYES = "(bayes)"  # the planted probabilities of a synthetic cohort: shown, never ranked
INTERVAL_EVENTS = 5  # under this many events an interval would be of the draws rather than of the method
MOST_RESAMPLES = 200_000  # gigabytes of counts; Holm over 28 methods asks for 104,000
METRICS = ("auroc", "ap", "brier", "log_loss")  # the axis K of every array
PRIMARY = METRICS[:2]  # ranked, tested as a family, marked
AP = METRICS.index("ap")
MEAN = "mean"  # the task name of the average over outcomes


@dataclass(frozen=True, eq=False)
class Evidence:
    """A run's predictions as arrays, with their resamples: what every statement is computed from.

    labels: (M) methods, BAYES last where the cohort has planted probabilities. families: of methods. cells: the test folds.
    valid: the validation rows of the same repeats and folds, in the same order, unit -1; [] where one of them has none.
    rows: the rows of the cohort behind each test cell. counts: (U, 1 + B) how often each unit is drawn; column 0 is all ones,
    the observed sample. redraws: resamples drawn again because they did not define every outcome.
    """

    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    families: Mapping[str, str]
    reference: str
    cells: list[Cell]
    valid: list[Cell]
    rows: list[NDArray[np.int64]]
    cohort: pd.DataFrame
    counts: Counts
    redraws: int
    parts: Sums
    plan: "Plan"
    found: "Estimates"

    @property
    def resamples(self) -> int:
        return self.counts.shape[1] - 1

    @property
    def stratum(self) -> NDArray[np.int64]:
        """(U,) within which a unit was drawn: its cell in the first repeat that holds it."""
        return _strata(self.cells)

    @property
    def methods(self) -> tuple[str, ...]:
        """Without the planted probabilities."""
        return tuple(label for label in self.labels if label != BAYES)


def gather(
    predictions: pd.DataFrame,
    cohort: pd.DataFrame,
    tasks: Sequence[str],
    methods: Sequence[str],
    reference: str,
    *,
    families: Mapping[str, str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Evidence | None:
    """Read the predictions and draw the resamples; None where no cell has test predictions.

    predictions: method, repeat, fold, row, view, y:<task>, p:<task>. cohort: row, group, maybe weight:<task>, truth:<task>.
    BenchError when methods disagree about the rows or labels of a cell, a prediction is not finite, an outcome is called
    `mean`, or resamples lie outside 2 to 200,000.
    """
    if MEAN in tasks:
        raise BenchError(f"'{MEAN}' is the name of the average over outcomes, but an outcome is called so. Rename it.")
    if not 2 <= resamples <= MOST_RESAMPLES:
        raise BenchError(f"resamples must lie between 2 and {MOST_RESAMPLES:,}, 2,000 for a result, but is {resamples:,}")
    if predictions.empty or not (predictions["view"] == "test").any():
        return None
    with_truth = all(f"truth:{task}" in cohort for task in tasks)
    labels = (*methods, BAYES) if with_truth else tuple(methods)
    cells, rows = read_cells(predictions, cohort, tasks, labels, "test")
    valid, _ = read_cells(predictions, cohort, tasks, labels, "valid")
    alike = [(cell.repeat, cell.fold) for cell in valid] == [(cell.repeat, cell.fold) for cell in cells]
    plan = Plan.of(cells, labels, reference)
    drawn, redraws = draw(_strata(cells), resamples, seed, plan.defined)
    counts = np.column_stack([np.ones(len(drawn), np.uint16), drawn])
    parts = sums(cells, counts)
    return Evidence(
        tasks=tuple(tasks), labels=labels, families=families or {}, reference=reference, cells=cells, valid=valid if alike else [],
        rows=rows, cohort=cohort, counts=counts, redraws=redraws, parts=parts, plan=plan, found=estimates(parts, plan, plan.scope),
    )  # fmt: skip


def read_cells(
    predictions: pd.DataFrame, cohort: pd.DataFrame, tasks: Sequence[str], methods: Sequence[str], view: str
) -> tuple[list[Cell], list[NDArray[np.int64]]]:
    """The predictions of a view as arrays, repeat by repeat and fold by fold, and the cohort's rows behind each.

    Units are the groups of patients, numbered in the cohort's order whatever came first; -1 in views other than the test rows.
    """
    columns = ["method", "repeat", "fold", "row", *(f"{kind}:{task}" for kind in "yp" for task in tasks)]
    part = predictions.loc[predictions["view"] == view, columns]
    known = cohort.set_index("row")
    seen = known.loc[known.index.isin(part["row"]), "group"]
    unit = pd.Series(pd.factorize(seen)[0] if view == "test" else -1, seen.index, np.int64)
    weighted = [t for t, task in enumerate(tasks) if f"weight:{task}" in cohort]
    cells: list[Cell] = []
    all_rows: list[NDArray[np.int64]] = []
    where = part[["repeat", "fold"]].drop_duplicates().sort_values(["repeat", "fold"]).to_numpy(np.int64)
    of_cells = part.groupby(["repeat", "fold"], observed=True)
    for repeat, fold in where.tolist():
        of_cell = of_cells.get_group((repeat, fold))
        by_method = {str(m): own.sort_values("row") for m, own in of_cell.groupby("method", observed=True)}
        rows, y = _common_rows(by_method, tasks, f"repeat {repeat}, fold {fold}")
        if BAYES in methods:
            by_method[BAYES] = known.loc[rows, [f"truth:{t}" for t in tasks]].set_axis([f"p:{t}" for t in tasks], axis=1)
        p = np.full((len(methods), len(rows), len(tasks)), np.nan)
        for m, method in enumerate(methods):
            if method in by_method:
                p[m] = by_method[method][[f"p:{t}" for t in tasks]].to_numpy(np.float64)
        weight = np.ones(y.shape)
        weight[:, weighted] = known.loc[rows, [f"weight:{tasks[t]}" for t in weighted]]
        units = np.asarray(unit.reindex(rows), np.int64)
        cells.append(Cell(repeat, fold, units, y, np.where(np.isnan(y), 0.0, weight), p))
        all_rows.append(rows)
    return cells, all_rows


def _strata(cells: Sequence[Cell]) -> NDArray[np.int64]:
    stratum = np.full(1 + max(int(cell.unit.max()) for cell in cells), -1)
    for number, cell in enumerate(cells):
        stratum[cell.unit] = np.where(stratum[cell.unit] < 0, number, stratum[cell.unit])
    return stratum


def _common_rows(by_method: dict[str, pd.DataFrame], tasks: Sequence[str], where: str) -> tuple[NDArray[np.int64], Vector]:
    columns = [f"y:{task}" for task in tasks]
    first = next(iter(by_method))
    rows, y = by_method[first]["row"].to_numpy(np.int64), by_method[first][columns].to_numpy(np.float64)
    for method, own in by_method.items():
        p, unknown = own[[f"p:{task}" for task in tasks]].to_numpy(np.float64), own[columns].isna().to_numpy()
        if not (np.isfinite(p) | (np.isnan(p) & unknown)).all():  # what is published has no risks where the outcome is unknown
            raise BenchError(f"predictions must be finite, but those of '{method}' in {where} are not. Run that method again.")
        same = np.array_equal(own["row"], rows) and np.array_equal(own[columns].to_numpy(np.float64), y, equal_nan=True)
        if not same:
            raise BenchError(f"'{first}' and '{method}' must have the same test rows and labels in {where}, but have not")
    return rows, y


@dataclass(frozen=True, eq=False)
class Plan:
    """What counts where, fixed by labels and cells before anything is drawn.

    scope: (M, C) the method has predictions of the cell. shared: (M, C) so has the reference. repeat: (C,). with_ap: (C, T)
    the cell has enough events for an average precision. known, events: (C, T) number of known and of event rows. averaged: (T, K)
    part of the mean.
    """

    cells: Sequence[Cell]
    labels: Sequence[str]
    scope: Mask
    shared: Mask
    repeat: NDArray[np.int64]
    known: NDArray[np.int64]
    events: NDArray[np.int64]
    with_ap: Mask
    averaged: Mask

    @classmethod
    def of(cls, cells: Sequence[Cell], labels: Sequence[str], reference: str) -> "Plan":
        scope = np.array([present(cell.p) for cell in cells]).T
        shared = scope & scope[labels.index(reference)] if reference in labels else np.zeros_like(scope)
        repeat = np.array([cell.repeat for cell in cells])
        events = np.array([(cell.y == 1).sum(axis=0) for cell in cells])
        others = np.array([(cell.y == 0).sum(axis=0) for cell in cells])
        enough = _enough(events, repeat)
        with_ap = (events >= metrics.FOLD_EVENTS) & (others > 0) & enough
        listed = enough & ((events > 0) & (others > 0)).any(axis=0)
        averaged = np.stack([listed, with_ap.any(axis=0), listed, listed], axis=1)
        return cls(cells, labels, scope, shared, repeat, events + others, events, with_ap, averaged)

    @property
    def enough(self) -> Mask:
        """(T,) at least 20 events in all, in the repeat that knows most; under that there is an AUROC and nothing else."""
        return _enough(self.events, self.repeat)

    @property
    def complete(self) -> Mask:
        """(M,) has predictions of every cell and may be ranked."""
        return self.scope.all(axis=1) & np.array([label != BAYES for label in self.labels])

    def by_repeat(self, scope: Mask) -> Iterator[Mask]:
        """(M, C) cells of one repeat after the other."""
        return (scope & (self.repeat == r) for r in np.unique(self.repeat))

    def fewest(self, scope: Mask) -> NDArray[np.int64]:
        """(M, T) events in the repeat of the scope that has fewest; 0 where the scope is empty."""
        counts = np.stack([mask @ self.events for mask in self.by_repeat(scope)])
        used = np.stack(list(self.by_repeat(scope))).sum(axis=2, keepdims=True) > 0
        return np.where(used, counts, np.iinfo(np.int64).max).min(axis=0) * used.any(axis=0)

    def defined(self, counts: Counts) -> Mask:
        """(b,) every outcome with enough events for an interval has pairs and events in every scope and repeat."""
        totals = [class_sums(cell, counts) for cell in self.cells]
        pairs = np.stack([events * others for events, others in totals])  # (C, T, b)
        of_ap = np.stack([events for events, _ in totals]) * self.with_ap[:, :, None]
        good = np.ones(counts.shape[1], bool)
        scopes = np.unique(np.concatenate([self.scope, self.shared]), axis=0)
        asked = (self.fewest(scopes) >= INTERVAL_EVENTS)[:, :, None]
        for mask in self.by_repeat(scopes):
            used = asked & (mask.sum(axis=1) > 0)[:, None, None]
            for total, possible in ((pairs, self.pairs_possible), (of_ap, self.with_ap)):
                needed = used & ((mask @ possible.astype(int)) > 0)[:, :, None]
                good &= (~needed | (np.tensordot(mask.astype(float), total, 1) > 0)).all(axis=(0, 1))
        return good

    @property
    def pairs_possible(self) -> Mask:
        """(C, T) the cell has both classes."""
        return np.array([(cell.y == 1).any(axis=0) & (cell.y == 0).any(axis=0) for cell in self.cells])


@dataclass(frozen=True, eq=False)
class Estimates:
    """values: (M, T + 1, K, 1 + B) of every method, outcome and the mean, metric, and resample (0: all patients once).

    repeats: (R, M, T + 1, K) the observed values of each repeat, of which values[..., 0] is the mean.
    """

    values: Vector
    repeats: Vector


def _enough(events: NDArray[np.int64], repeat: NDArray[np.int64]) -> Mask:
    return np.max([events[repeat == r].sum(axis=0) for r in np.unique(repeat)], axis=0) >= metrics.TOTAL_EVENTS


def estimates(parts: Sums, plan: Plan, scope: Mask) -> Estimates:
    per_repeat = [_of_repeat(parts, plan, mask) for mask in plan.by_repeat(scope)]
    stack = np.stack(per_repeat)
    defined = ~np.isnan(stack[..., :1])  # by what was observed: the repeats that count are the same in every resample
    with np.errstate(invalid="ignore"):
        values = np.where(defined, stack, 0.0).sum(axis=0) / defined.sum(axis=0)
    if parts.pairs.shape[-1] > 2:  # resamples, and not the observed sample alone
        _settle(values[:, :-1, AP], plan, scope)
        values[:, -1, AP] = with_mean(values[:, :-1], plan.averaged)[:, -1, AP]
    return Estimates(values, stack[..., 0])


def _settle(ap: Vector, plan: Plan, scope: Mask) -> None:
    """Move the resampled average precision to its estimate and give it the spread that the jackknife finds. In place: (M, T, 1 + B).

    An event drawn twice stands above itself, so that resampled values lie too high (by .02 to .04 with 15 to 30 events a fold) and
    too close together (by 6 to 10 %): intervals of a value held the truth 83 to 91 % of the time, and tests fired at 6 to 7 %
    (tests/benchmarks/null_rates.py). The jackknife draws nobody twice. Left alone where either spread is 0 or undefined.
    """
    stratum = _strata(plan.cells)
    for m in np.flatnonzero(scope.any(axis=1)):
        kept = [cell for cell, used in zip(plan.cells, scope[m], strict=True) if used]
        lost = jackknife.without(kept, int(m), len(stratum), plan.with_ap[scope[m]], plan.averaged)[:-1, AP]
        drawn = ap[m, :, 1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            wider = jackknife.standard_error(lost, stratum) / drawn.std(axis=-1, ddof=1)
        known = np.flatnonzero(np.isfinite(wider) & (wider > 0))
        centred = drawn[known] - drawn[known].mean(axis=-1, keepdims=True)
        ap[m, known, 1:] = np.clip(ap[m, known, :1] + wider[known, None] * centred, 0.0, 1.0)


def _of_repeat(parts: Sums, plan: Plan, mask: Mask) -> Vector:
    """(M, T + 1, K, 1 + B) the stratified metrics over the cells of `mask` (M, C), the mean over outcomes last."""
    used = np.flatnonzero(mask.any(axis=0))
    mask, kept = mask[:, used].astype(float), plan.with_ap[used][:, :, None]

    def ratio(above: Vector, below: Vector) -> Vector:
        top = np.einsum("mc,mctb->mtb", mask, np.nan_to_num(above))
        bottom = np.tensordot(mask, below, 1)
        return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)

    auroc = ratio(parts.concordant[:, used], parts.pairs[used])
    ap = ratio(parts.precision[:, used] * kept, parts.events[used] * kept)
    rows = parts.rows[used] * plan.enough[:, None]
    brier, log_loss = ratio(parts.squared[:, used], rows), ratio(parts.log_loss[:, used], rows)
    return with_mean(np.stack([auroc, ap, brier, log_loss], axis=2), plan.averaged)


def of_folds(parts: Sums, plan: Plan) -> Vector:
    """(M, T, K, C) the observed metrics of every fold by itself; NaN where undefined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = parts.concordant[..., 0] / parts.pairs[..., 0]
        ap = np.where(plan.with_ap, parts.precision[..., 0] / parts.events[..., 0], np.nan)
        rows = np.where(plan.enough, parts.rows[..., 0], np.nan)
        losses = [of[..., 0] / rows for of in (parts.squared, parts.log_loss)]
    return np.stack([auroc, ap, *losses], axis=-1).transpose(0, 2, 3, 1)


def with_mean(values: Vector, averaged: Mask) -> Vector:
    """(M, T, K, ...) -> (M, T + 1, K, ...): the mean over a fixed list of outcomes; NaN where one of them or the list is missing."""
    means = [
        values[:, averaged[:, k], k].mean(axis=1) if averaged[:, k].any() else np.full_like(values[:, 0, k], np.nan)
        for k in range(values.shape[2])
    ]
    return np.concatenate([values, np.stack(means, axis=1)[:, None]], axis=1)
