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
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import null_more as more
import null_weighted
import null_worlds as worlds
import numpy as np
import pandas as pd
from null_evidence import OUTCOMES, Tally, build, first, resampled
from null_table import read, summary
from null_worlds import EQUAL, METHODS, N, Vector
from scipy import stats as scipy_stats

from bench.stats import procedure
from bench.stats.decisions import equivalence, non_inferiority, ranks, superiority
from bench.stats.delong import delong, influence
from bench.stats.estimates import PRIMARY, Evidence, Plan, of_folds, with_mean
from bench.stats.intervals import LEVEL, bounds, interval
from bench.stats.multiplicity import benjamini_hochberg, holm, max_t
from bench.stats.ranking import comparisons, standings
from bench.stats.subgroups import heterogeneity

DESIGNS = {"5x1": (5, 1), "10x1": (10, 1), "5x5": (5, 5), "10x3": (10, 3)}
NULLS = ("predictions", "learners")
JUDGED = ("table", "procedure", "delong", "fresh", "scores", "bca", "decisions", "subgroups", "naive", "compare", "sharing")
APART = ("benefit", "renewed", "weighted", "adjusted")  # of one null or some designs only, or with draws of their own
PARTS = JUDGED + APART
CHUNK = 20  # simulations that share their draws
RESAMPLES = 1000
NORMAL = 1.959964


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
        "compare": lambda: more.headline(evidence, tally),
        "sharing": lambda: more.sharing(equal, sample.truth, tally),
        "benefit": lambda: sample.benefit and more.net_benefit(equal, sample.benefit, tally),
        "renewed": lambda: more.new_patients(sample, evidence.counts, tally),
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
    tally = Tally()
    counts = resampled(N, folds, resamples, [*which, start])
    many = resampled(N, folds, max(resamples, more.MANY), [*which, start, 2]) if "adjusted" in parts else counts
    truth, judged = worlds.expected(null, folds), [part for part in parts if part not in ("weighted", "adjusted")]
    for s in range(start, start + size):
        sample = worlds.sample(null, folds, repeats, [*which, s])
        if judged:
            level = np.random.default_rng([*which, s, 1]).integers(0, 2, N)
            judge(sample, build(sample.cells, counts, level), truth, tally, judged)
        if "adjusted" in parts:
            more.adjusted(sample.cells, many, tally)
    for rows in null_weighted.NAMES if "weighted" in parts else ():
        counts = resampled(N // rows, folds, resamples, [*which, start, 3, rows])
        for s in range(start, start + size):
            cells = null_weighted.sample(folds, repeats, rows, [*which, s, rows])
            more.weighted(cells, counts, folds, rows, tally)
    return tally


def applies(part: str, design: str, null: str) -> bool:
    """Whether a part says anything under this null and design."""
    if part == "weighted":
        return null == "predictions" and DESIGNS[design][0] == 5
    return {"benefit": "predictions", "renewed": "learners"}.get(part, null) == null


def simulate(design: str, null: str, simulations: int, resamples: int, parts: Sequence[str], out: Path) -> None:
    """Add the parts of chunks that `out` lacks, whole chunks: `simulations` is rounded up."""
    job = {"design": design, "null": null, "resamples": resamples}
    lines = [line for line in read(out) if all(line[key] == value for key, value in job.items())]
    for start in range(0, simulations, CHUNK):
        done = {part for line in lines if line["start"] == start for part in line["parts"]}
        left = [part for part in parts if part not in done and applies(part, design, null)]
        if not left:
            continue
        began = time.perf_counter()
        tally = chunk(design, null, start, CHUNK, resamples, left)
        line = job | {"parts": left, "start": start, "simulations": CHUNK, "seconds": round(time.perf_counter() - began, 2)}
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
