"""Other definitions of the outcomes: do the ranking and the differences survive them?

The stored predictions, of models that learned the outcome as it is defined, are judged on the labels (and weights) of a variant: on
the same test rows and the same joint draws as the main table, so that both rankings of a resample are of the same patients. Each
definition leaves out the rows whose label it does not know. With fewer than 20 events nothing is ranked or compared by a variant,
with fewer than 10 in a fold that fold has no average precision: NaN. Draws that do not define every variant are left out.

What is said is of these predictions. Models that learn the variant itself may rank otherwise: that is another dataset,
`cohort.toml:variant=OUTCOME~NAME`. No p value: a difference that is marked in the main table is looked at again, not searched for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.bootstrap import Cell, Sums, Vector, sums
from bench.metrics import TOTAL_EVENTS
from bench.stats.estimates import PRIMARY, Evidence, Plan, estimates
from bench.stats.intervals import interval
from bench.stats.multiplicity import not_distinguishable
from bench.stats.pooled import remembered
from bench.stats.ranking import differences
from bench.stats.scoring import outcomes, scores

LABELS, WEIGHTS = "variant:", "variant-weight:"  # columns of a cohort, before OUTCOME~NAME
COLUMNS = [
    "task", "variant", "method", "metric", "n", "events", "value", "low", "high", "rank", "main_value", "main_rank", "difference", "difference_low",
    "difference_high", "main_difference", "change", "change_low", "change_high", "survives",
]  # fmt: skip
DEFINITIONS = [
    "task", "variant", "metric", "n", "events", "prevalence", "main_n", "main_events", "main_prevalence", "same", "methods", "tau", "tau_low",
    "tau_high", "tau_drawn", "best", "main_best", "best_survives",
]  # fmt: skip


def variants(evidence: Evidence) -> pd.DataFrame:
    """COLUMNS of every outcome's variant, method and primary metric; no rows where the cohort names no variants.

    n, events, value (95 % percentile interval), rank: by the variant; main_value, main_rank: by the outcome itself. A method without
    all its cells is not ranked. difference: from the reference by the variant; change: that less main_difference, from paired draws.
    survives: "yes", the difference has the main one's sign and its interval leaves out 0; "sign", it has the sign; "no"; "" of none.
    """
    return _tables(evidence)[0]


def definitions(evidence: Evidence) -> pd.DataFrame:
    """DEFINITIONS of every variant and primary metric: the two definitions side by side, and how alike they rank the methods.

    prevalence, main_prevalence: weighted. same: share of equal labels among the tested rows that both know. methods: how many are
    ranked. tau: Kendall's tau-b of the two rankings, with its percentile interval; tau_drawn: the median tau of the main ranking with
    the main ranking of a resample, which is how much the choice of patients alone moves it. best_survives: "yes", the main ranking's
    best is the best by the variant too; "tied", it cannot be told from that one (multiple comparisons with the best); "no"; ""
    where nothing is ranked.
    """
    return _tables(evidence)[1]


def names(cohort: pd.DataFrame, tasks: Sequence[str]) -> list[tuple[str, str]]:
    """(outcome, variant) of these outcomes that the cohort has labels of."""
    found = [str(column).removeprefix(LABELS).rpartition("~") for column in cohort if str(column).startswith(LABELS)]
    return [(task, variant) for task, _, variant in found if task in tasks]


def tau(a: Vector, b: Vector) -> Vector:
    """(...) Kendall's tau-b of a and b (M, ...), method by method; 1 where both order all alike, NaN where one orders nothing.

    Equal to `scipy.stats.kendalltau` to 1e-12 (test).
    """
    i, j = np.triu_indices(len(a), 1)
    one, other = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    with np.errstate(divide="ignore", invalid="ignore"):
        return (one * other).sum(axis=0) / np.sqrt(np.abs(one).sum(axis=0) * np.abs(other).sum(axis=0))


@remembered
def _tables(evidence: Evidence) -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = names(evidence.cohort, evidence.tasks)
    judged = _judged(evidence, pairs) if pairs else None
    if judged is None:
        return pd.DataFrame(columns=COLUMNS), pd.DataFrame(columns=DEFINITIONS)
    rows = [row for v, pair in enumerate(pairs) for row in _methods(judged, v, pair)]
    about = [row for v, pair in enumerate(pairs) for row in _about(judged.main, judged.other, v, pair)]
    return pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(about, columns=DEFINITIONS)


@dataclass(frozen=True, eq=False)
class _Judged:
    """main: the evidence; other: with the variants as its outcomes; both on the draws that define every variant.

    scores: (method, variant, metric) -> what `scores` says. first, second: of main and other, method -> (T + 1, K, 1 + B) difference.
    """

    main: Evidence
    other: Evidence
    scores: Mapping[tuple[str, str, str], Any]
    first: Mapping[int, Vector]
    second: Mapping[int, Vector]


def _judged(evidence: Evidence, pairs: Sequence[tuple[str, str]]) -> _Judged | None:
    """None where fewer than two draws define every variant."""
    at = [evidence.tasks.index(task) for task, _ in pairs]
    own = evidence.cohort.set_index("row")
    cells = [_relabelled(cell, rows, own, at, pairs) for cell, rows in zip(evidence.cells, evidence.rows, strict=True)]
    plan = Plan.of(cells, evidence.labels, evidence.reference)
    kept = np.append(True, plan.defined(evidence.counts[:, 1:]))
    if kept.sum() < 3:
        return None
    counts = evidence.counts[:, kept]
    parts = sums(cells, counts)
    found = estimates(parts, plan, plan.scope)
    tasks = tuple(f"{task}~{variant}" for task, variant in pairs)
    other = replace(evidence, tasks=tasks, cells=cells, valid=[], counts=counts, parts=parts, plan=plan, found=found)
    values = replace(evidence.found, values=evidence.found.values[..., kept])
    fewer = Sums(**{each.name: getattr(evidence.parts, each.name)[..., kept] for each in fields(Sums)})
    main = replace(evidence, counts=counts, parts=fewer, found=values)
    scored = {(row["method"], row["task"], row["metric"]): row for _, row in scores(other).iterrows()}
    return _Judged(main, other, scored, dict(differences(main)), dict(differences(other)))


def _relabelled(
    cell: Cell, rows: NDArray[np.int64], own: pd.DataFrame, at: Sequence[int], pairs: Sequence[tuple[str, str]]
) -> Cell:
    """The rows of a cell with the variants' labels, and the risks of the outcomes they define otherwise."""
    columns = [f"{task}~{variant}" for task, variant in pairs]
    y = own.loc[rows, [LABELS + name for name in columns]].to_numpy(np.float64)
    weight = np.ones_like(y)
    for v, name in enumerate(columns):
        if WEIGHTS + name in own:
            weight[:, v] = own.loc[rows, WEIGHTS + name]
    return replace(cell, y=y, weight=np.where(np.isnan(y), 0.0, weight), p=cell.p[:, :, at])


def _ranks(evidence: Evidence, t: int, k: int) -> Vector:
    """(M,) 1 is the best; NaN where a method lacks cells, or the outcome events."""
    ranked = evidence.plan.complete & evidence.plan.averaged[t, k]
    values = evidence.found.values[:, t, k, 0]
    return np.array([1 + (values[ranked] > own).sum() if here else np.nan for own, here in zip(values, ranked, strict=True)])


def _methods(judged: _Judged, v: int, pair: tuple[str, str]) -> Iterator[dict[str, Any]]:
    main, other = judged.main, judged.other
    t = main.tasks.index(pair[0])
    first, second = _compared(main, judged.first, t), _compared(other, judged.second, v)
    for k, metric in enumerate(PRIMARY):
        ranks, main_ranks = _ranks(other, v, k), _ranks(main, t, k)
        for m, method in enumerate(other.labels):
            if method not in other.methods:
                continue
            score = judged.scores[method, other.tasks[v], metric]
            row = {"task": pair[0], "variant": pair[1], "method": method, "metric": metric}
            row |= {name: score[name] for name in ("n", "events", "value", "low", "high")}
            row |= {"rank": ranks[m], "main_value": main.found.values[m, t, k, 0], "main_rank": main_ranks[m]}
            yield row | _difference(first[m][k] if m in first else None, second[m][k] if m in second else None)


def _compared(evidence: Evidence, found: Mapping[int, Vector], t: int) -> dict[int, Vector]:
    """Method -> (K, 1 + B) difference from the reference, where the cells of both have enough events of the outcome."""
    enough = evidence.plan.fewest(evidence.plan.shared)[:, t] >= TOTAL_EVENTS
    return {m: difference[t] for m, difference in found.items() if enough[m]}


def _difference(main: Vector | None, other: Vector | None) -> dict[str, Any]:
    """main, other: (1 + B,) differences from the reference; None of the reference itself, or of too few events."""
    nothing = np.full(3, np.nan)
    first, second = (nothing if d is None else d for d in (main, other))
    change = second - first if main is not None and other is not None else nothing
    low, high = interval(second[1:])
    ends = interval(change[1:])
    return {
        "difference": second[0], "difference_low": low, "difference_high": high, "main_difference": first[0], "change": change[0],
        "change_low": ends[0], "change_high": ends[1], "survives": _survives(float(first[0]), float(second[0]), float(low), float(high)),
    }  # fmt: skip


def _survives(main: float, value: float, low: float, high: float) -> str:
    if np.isnan(main) or np.isnan(value):
        return ""
    if np.sign(main) != np.sign(value):
        return "no"
    return "yes" if low > 0 or high < 0 or main == 0 else "sign"


def _about(main: Evidence, other: Evidence, v: int, pair: tuple[str, str]) -> Iterator[dict[str, Any]]:
    t = main.tasks.index(pair[0])
    sizes, main_sizes = outcomes(other).iloc[v], outcomes(main).iloc[t]
    for k, metric in enumerate(PRIMARY):
        row = {"task": pair[0], "variant": pair[1], "metric": metric, "same": _same(main, other, t, v)}
        row |= {name: sizes[name] for name in ("n", "events", "prevalence")}
        row |= {f"main_{name}": main_sizes[name] for name in ("n", "events", "prevalence")}
        yield row | _alike(main, other, t, v, k)


def _same(main: Evidence, other: Evidence, t: int, v: int) -> float:
    """Of the first repeat's rows."""
    first = [c for c, cell in enumerate(main.cells) if cell.repeat == main.cells[0].repeat]
    a, b = (np.concatenate([each.cells[c].y[:, i] for c in first]) for each, i in ((main, t), (other, v)))
    both = ~np.isnan(a) & ~np.isnan(b)
    return float((a[both] == b[both]).mean()) if both.any() else np.nan


def _alike(main: Evidence, other: Evidence, t: int, v: int, k: int) -> dict[str, Any]:
    """How alike two rankings are, and what becomes of the best."""
    judged = main.plan.averaged[t, k] and other.plan.averaged[v, k]
    ranked = np.flatnonzero(main.plan.complete & judged)
    row = {"methods": len(ranked), "tau": np.nan, "tau_low": np.nan, "tau_high": np.nan, "tau_drawn": np.nan}
    if len(ranked) < 2:
        return row | {"best": "", "main_best": "", "best_survives": ""}
    a, b = main.found.values[ranked, t, k], other.found.values[ranked, v, k]
    both = tau(a, b)
    with np.errstate(all="ignore"):
        low, high = np.nanpercentile(both[1:], [2.5, 97.5]) if np.isfinite(both[1:]).any() else (np.nan, np.nan)
    moved = tau(np.broadcast_to(a[:, :1], a[:, 1:].shape), a[:, 1:])
    best, second = int(np.argmax(a[:, 0])), int(np.argmax(b[:, 0]))
    tied = not_distinguishable(b[:, 0], b[:, 1:])[best]
    word = "yes" if b[best, 0] == b[second, 0] else "tied" if tied else "no"
    label = [main.labels[m] for m in ranked]
    return row | {
        "tau": both[0], "tau_low": low, "tau_high": high, "tau_drawn": float(np.nanmedian(moved)) if np.isfinite(moved).any() else np.nan,
        "best": label[second], "main_best": label[best], "best_survives": word,
    }  # fmt: skip
