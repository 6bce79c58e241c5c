"""How often each test fires when nothing is there, and how often each interval holds the truth: `bench.stats`, simulated.

    python tests/benchmarks/null_rates.py --design 5x1 --null predictions --simulations 2000 --out rates.jsonl
    python tests/benchmarks/null_rates.py --summary rates.jsonl

Designs are folds x repeats, nulls those of `null_worlds`. One JSON line per finished chunk is appended: started again, the
same command goes on where it stopped. A simulation depends on (design, null, number) alone, its resamples on its chunk.
Every statement is made by the functions of `bench.stats`; the naive tests, which it refuses to offer, are scipy's.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import null_worlds as worlds
import numpy as np
import pandas as pd
from null_table import read, summary
from null_worlds import EQUAL, METHODS, TASKS, N, Vector
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from bench.bootstrap import Counts, Sums, draw, sums
from bench.stats import procedure
from bench.stats.decisions import equivalence, non_inferiority, ranks, superiority
from bench.stats.delong import delong, influence
from bench.stats.estimates import PRIMARY, Evidence, Plan, estimates, of_folds, with_mean
from bench.stats.intervals import LEVEL, bounds, interval
from bench.stats.multiplicity import benjamini_hochberg, holm, max_t
from bench.stats.ranking import comparisons, standings
from bench.stats.subgroups import heterogeneity

DESIGNS = {"5x1": (5, 1), "10x1": (10, 1), "5x5": (5, 5), "10x3": (10, 3)}
NULLS = ("predictions", "learners")
OUTCOMES = tuple(f"outcome {t + 1}" for t in range(TASKS))
PARTS = ("table", "procedure", "delong", "fresh", "scores", "bca", "decisions", "subgroups", "naive")
CHUNK = 20  # simulations that share their draws
RESAMPLES = 1000
NORMAL = 1.959964


class Tally:
    """Hits and trials by statement and metric."""

    def __init__(self) -> None:
        self.hits: Counter[str] = Counter()
        self.trials: Counter[str] = Counter()

    def add(self, statement: str, metric: str, hits: object) -> None:
        """hits: booleans, one for each time the statement was put to the test."""
        found = np.asarray(hits, bool)
        self.hits[f"{statement}|{metric}"] += int(found.sum())
        self.trials[f"{statement}|{metric}"] += found.size

    def by_metric(self, statement: str, metric: Iterable[str], hits: object) -> None:
        for name, own in pd.Series(np.asarray(hits)).groupby(np.asarray(metric)):
            self.add(statement, str(name), own)


def build(sample: worlds.Sample, counts: Counts, level: NDArray[np.int64]) -> Evidence:
    """The evidence that `bench.stats.gather` would make of the same predictions. level: (n,) 0 or 1, a subgroup that means nothing."""
    plan = Plan.of(sample.cells, METHODS, METHODS[0])
    parts = sums(sample.cells, counts)
    cohort = pd.DataFrame({"row": np.arange(N), "patient": np.arange(N).astype(str), "group": np.arange(N).astype(str)})
    cohort["subgroup:level"] = np.where(level > 0, "x", "y")
    return Evidence(
        tasks=OUTCOMES, labels=METHODS, families={}, reference=METHODS[0], cells=sample.cells, valid=[],
        rows=[cell.unit for cell in sample.cells], cohort=cohort, counts=counts, redraws=0, parts=parts, plan=plan,
        found=estimates(parts, plan, plan.scope),
    )  # fmt: skip


def first(evidence: Evidence, methods: int) -> Evidence:
    """The same evidence of the first methods alone."""
    cells = [replace(cell, p=cell.p[:methods]) for cell in evidence.cells]
    arrays = {f.name: getattr(evidence.parts, f.name) for f in fields(Sums)}
    parts = Sums(**{name: x[:methods] if x.ndim == 4 else x for name, x in arrays.items()})
    found = replace(evidence.found, values=evidence.found.values[:methods], repeats=evidence.found.repeats[:, :methods])
    plan = Plan.of(cells, METHODS[:methods], METHODS[0])
    return replace(evidence, labels=METHODS[:methods], cells=cells, parts=parts, plan=plan, found=found)


def judge(sample: worlds.Sample, evidence: Evidence, truth: Vector, tally: Tally, parts: Sequence[str]) -> None:
    """Put the statements of `parts` to the test on one simulated run. truth: (M, T + 1, 3) of the procedure."""
    equal = first(evidence, EQUAL)
    run: dict[str, Callable[[], None]] = {
        "table": lambda: _table(equal, sample.truth, tally),
        "procedure": lambda: _procedure(evidence, tally),
        "delong": lambda: _delong(evidence, sample.truth, tally),
        "fresh": lambda: _fresh(sample, tally),
        "scores": lambda: _scores(equal, sample.truth, tally),
        "bca": lambda: _bca(equal, sample.truth, tally),
        "decisions": lambda: _decisions(evidence, truth, tally),
        "subgroups": lambda: _subgroups(evidence, tally),
        "naive": lambda: _naive(evidence, tally),
    }
    for part in parts:
        run[part]()


def _table(equal: Evidence, truth: Vector, tally: Tally) -> None:
    """The printed table of methods that are all equal: marks, intervals, the set of the best, ranks."""
    found = comparisons(equal)
    p, adjusted = found["p"], found["p_adjusted"] <= LEVEL
    tally.by_metric("false: paired bootstrap p", found["metric"], p <= LEVEL)
    _covers(found, truth, "percentile", tally)
    primary = found["metric"].isin(PRIMARY)
    tally.add("family: max-T, any p", "all", (found["p_adjusted"] <= LEVEL).any())
    tally.add("family: marks of the table", "all", (adjusted & found["steady"]).any())
    tally.add("family: no adjustment", "all", (p[primary] <= LEVEL).any())
    two = found[(found["task"] == OUTCOMES[0]) & (found["metric"] == PRIMARY[0])]["p"][:2]
    tally.add("family: Holm, two bootstrap p", "auroc", (holm(two, equal.resamples) <= LEVEL).any())
    standing = standings(equal)
    tally.by_metric("false: best method left out of the set", standing["metric"], ~standing["tied"])
    rank = ranks(equal)
    for name in ("set_low", "low"):
        wrong = (rank[name] > 1) | (rank[name.replace("low", "high")] < EQUAL)  # any rank is right where all are equal
        by = wrong.groupby([rank["metric"], rank["task"]]).any()
        label = "family: rank sets" if name == "set_low" else "family: middle 95 % of resampled ranks"
        tally.by_metric(label, by.index.get_level_values(0), by)


def _covers(found: pd.DataFrame, truth: Vector, name: str, tally: Tally) -> None:
    """Whether intervals of differences from the first method hold the difference of the fitted models, and no difference."""
    for k, metric in enumerate(PRIMARY):
        own = found[found["metric"] == metric] if "metric" in found else found
        m, t = own["method"].map(METHODS.index), own["task"].map([*OUTCOMES, "mean"].index)
        of_models = truth[m, t, k] - truth[0, t, k]
        tally.add(f"cover: {name}, difference of these models", metric, (own["low"] <= of_models) & (of_models <= own["high"]))
        nothing = m < EQUAL
        tally.add(f"cover: {name}, difference of the procedures", metric, ((own["low"] <= 0) & (own["high"] >= 0))[nothing])
        if "metric" not in found:
            return


def _delong(evidence: Evidence, truth: Vector, tally: Tally) -> None:
    found = delong(evidence)
    equal = found[found["method"].isin(METHODS[:EQUAL])]
    tally.add("false: DeLong", "auroc", equal["p"] <= LEVEL)
    tally.add("family: Holm on DeLong", "auroc", (holm(equal["p"]) <= LEVEL).any())
    tally.add("family: Benjamini-Hochberg on DeLong", "auroc", (benjamini_hochberg(equal["p"]) <= LEVEL).any())
    _covers(equal, truth, "DeLong", tally)
    plus = found[(found["method"] == "plus") & (found["task"] == "mean")]
    tally.add("power: DeLong", "auroc", (plus["p"] <= LEVEL) & (plus["difference"] > 0))


def _fresh(sample: worlds.Sample, tally: Tally) -> None:
    """Trained models judged on new patients: what a separate test set would do for the same intervals."""
    if not sample.fresh:
        return
    plan = Plan.of(sample.fresh, METHODS, METHODS[0])
    found = influence(sample.fresh, plan.scope, plan.averaged[:, 0])
    difference, of_models = (x[1:EQUAL] - x[0] for x in (found.values, sample.truth[..., 0]))
    se = np.sqrt(((found.influence[1:EQUAL] - found.influence[0]) ** 2).sum(axis=-1))
    error = np.abs(difference - of_models)
    tally.add("cover: DeLong on new patients, difference of these models", "auroc", error <= NORMAL * se)


def _procedure(evidence: Evidence, tally: Tally) -> None:
    found, sure, roped = procedure.corrected(evidence), procedure.bayes(evidence, 0.0), procedure.bayes(evidence)
    equal = found["method"].isin(METHODS[:EQUAL])
    tally.by_metric("false: corrected t", found["metric"][equal], found["p"][equal] <= LEVEL)
    tally.by_metric(
        "cover: corrected t, difference of the procedures",
        found["metric"][equal],
        (found["low"] <= 0)[equal] & (found["high"] >= 0)[equal],
    )
    tally.by_metric("false: P(better) > .95, no region", sure["metric"][equal], sure["better"][equal] > 1 - LEVEL)
    tally.by_metric("false: P(better) > .95, region .01", roped["metric"][equal], roped["better"][equal] > 1 - LEVEL)
    plus = (found["method"] == "plus") & (found["task"] == "mean")
    tally.by_metric("power: corrected t", found["metric"][plus], (found["p"] <= LEVEL)[plus] & (found["difference"] > 0)[plus])
    tally.by_metric("power: P(better) > .95, no region", sure["metric"][plus], sure["better"][plus] > 1 - LEVEL)


def _scores(equal: Evidence, truth: Vector, tally: Tally) -> None:
    """Intervals of a method's own value, for two methods."""
    for m in range(2):
        _holds(interval(equal.found.values[m, :, :2, 1:]), truth[m], "percentile, value", tally)


def _bca(equal: Evidence, truth: Vector, tally: Tally) -> None:
    """The other interval: of the second method's value, and of its difference from the first."""
    values, everywhere = equal.found.values, np.ones(len(equal.cells), bool)
    of_value = bounds(equal, values[1], [1], everywhere, "bca")
    of_difference = bounds(equal, values[1] - values[0], [1, 0], everywhere, "bca")
    _holds(of_value, truth[1], "BCa, value", tally)
    _holds(of_difference, truth[1] - truth[0], "BCa, difference", tally)


def _holds(found: tuple[Vector, Vector], truth: Vector, name: str, tally: Tally) -> None:
    """found: (T + 1, K) low and high. truth: (T + 1, 3)."""
    low, high = (x[:, :2] for x in found)
    inside = (low <= truth[:, :2]) & (truth[:, :2] <= high)
    for k, metric in enumerate(PRIMARY):
        tally.add(f"cover: {name} of these models", metric, inside[:, k])
    if "value" in name:
        large = (low[:, 1] <= truth[:, 2]) & (truth[:, 2] <= high[:, 1])
        tally.add(f"cover: {name} in a large population", PRIMARY[1], large)


def _decisions(evidence: Evidence, truth: Vector, tally: Tally) -> None:
    """Superiority of a truly better method; non-inferiority and equivalence of one that is worse by the margin exactly."""
    values = evidence.found.values - evidence.found.values[:1]
    margin = truth[0] - truth[METHODS.index("minus")]
    for k, metric in enumerate(PRIMARY):
        plus, minus = values[METHODS.index("plus"), -1, k], values[METHODS.index("minus"), -1, k]
        tally.add("power: paired bootstrap", metric, superiority(plus[0], plus[1:]).verdict == "superior")
        tally.add(
            "false: non-inferior at the margin (.025)",
            metric,
            non_inferiority(minus[0], minus[1:], margin[-1, k]).verdict == "non-inferior",
        )
        tally.add(
            "false: equivalent at the margin", metric, equivalence(minus[0], minus[1:], margin[-1, k]).verdict == "equivalent"
        )
    family = np.concatenate(
        [values[1 : EQUAL - 1, :, :2], values[None, METHODS.index("plus"), :, :2]]
    )  # (M - 1, T + 1, 2, 1 + B)
    flat = family.reshape(-1, family.shape[-1])
    p = max_t(flat[:, 0], flat[:, 1:]).reshape(family.shape[:-1])[-1, -1]
    for k, metric in enumerate(PRIMARY):
        tally.add("power: max-T in the table", metric, p[k] <= LEVEL and family[-1, -1, k, 0] > 0)


def _subgroups(evidence: Evidence, tally: Tally) -> None:
    """Two levels drawn by lot, one method; without repeats, as each would be a bootstrap of its own."""
    if evidence.plan.repeat.max() == 0:
        found = heterogeneity(first(evidence, 1))
        known = found[found["p"].notna()]
        tally.by_metric("false: heterogeneity of two subgroups", known["metric"], known["p"] <= LEVEL)


def _naive(evidence: Evidence, tally: Tally) -> None:
    """What is not offered: tests that take folds, or rows of several repeats, for independent."""
    values = with_mean(of_folds(evidence.parts, evidence.plan), evidence.plan.averaged)[:, :, :2]  # (M, T + 1, 2, C)
    d = values[1:EQUAL] - values[:1]
    t = _pvalue(scipy_stats.ttest_1samp(d, 0.0, axis=-1))
    w = _pvalue(scipy_stats.wilcoxon(d, axis=-1, method="exact"))
    for k, metric in enumerate(PRIMARY):
        tally.add("refused: plain t on all folds", metric, t[..., k] <= LEVEL)
        tally.add("refused: Wilcoxon on all folds", metric, w[..., k] <= LEVEL)
    if evidence.plan.repeat.max() == 0:
        return
    cells = [replace(cell, p=cell.p[:EQUAL], repeat=0, unit=cell.unit + cell.repeat * N) for cell in evidence.cells]
    found = influence(cells, evidence.plan.scope[:EQUAL], evidence.plan.averaged[:, 0])
    difference = found.values[1:] - found.values[0]
    se = np.sqrt(((found.influence[1:] - found.influence[0]) ** 2).sum(axis=-1))
    tally.add("refused: DeLong, repeats as new patients", "auroc", 2 * scipy_stats.norm.sf(np.abs(difference) / se) <= LEVEL)


def _pvalue(result: Any) -> Vector:
    return np.asarray(result.pvalue, np.float64)


def chunk(design: str, null: str, start: int, size: int, resamples: int, parts: Sequence[str] = PARTS) -> Tally:
    """Simulations `start` to `start + size`."""
    folds, repeats = DESIGNS[design]
    which = [list(DESIGNS).index(design), NULLS.index(null)]
    drawn, _ = draw(
        np.repeat(np.arange(folds), N // folds), resamples, seed=int(np.random.default_rng([*which, start]).integers(2**31))
    )
    counts = np.column_stack([np.ones(N, np.uint16), drawn])
    truth = worlds.expected(null, folds)
    tally = Tally()
    for s in range(start, start + size):
        sample = worlds.sample(null, folds, repeats, [*which, s])
        level = np.random.default_rng([*which, s, 1]).integers(0, 2, N)
        judge(sample, build(sample, counts, level), truth, tally, parts)
    return tally


def simulate(design: str, null: str, simulations: int, resamples: int, parts: Sequence[str], out: Path) -> None:
    """Add the chunks that `out` lacks, whole ones: `simulations` is rounded up."""
    job = {"design": design, "null": null, "resamples": resamples, "parts": list(parts)}
    done = {line["start"] for line in read(out) if all(line[key] == value for key, value in job.items())}
    for start in range(0, simulations, CHUNK):
        if start in done:
            continue
        began = time.perf_counter()
        tally = chunk(design, null, start, CHUNK, resamples, parts)
        line = job | {"start": start, "simulations": CHUNK, "seconds": round(time.perf_counter() - began, 2)}
        with out.open("a") as file:
            file.write(json.dumps(line | {"hits": tally.hits, "trials": tally.trials}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--design", choices=DESIGNS, action="append")
    parser.add_argument("--null", choices=NULLS, action="append")
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--summary", type=Path, nargs="+")
    asked = parser.parse_args()
    if asked.summary:
        print(summary(asked.summary, NULLS, list(DESIGNS)))
        return
    for null in asked.null or NULLS:
        for design in asked.design or DESIGNS:
            simulate(design, null, asked.simulations, asked.resamples, asked.parts, asked.out)


if __name__ == "__main__":
    main()
