"""Every method with its defaults and tuned, on the same folds: what 20 trials gain or lose, and what they cost.

By hand (hours for all methods of a real cohort on two processors; it goes on where it was stopped):

    python tests/benchmarks/tuning.py --dataset support2 --methods all --tune 20 --results DIR

Prints a table as Markdown: AUROC and AP (mean over outcomes, in points) of the defaults and of the tuned method, the difference with its
95 % paired bootstrap interval of patients, and the ledger. Last how many methods are worse than their defaults by more than that.
"""

import argparse
from pathlib import Path

import pandas as pd

from bench import api, protocol, registry, store
from bench.report import ledger
from bench.stats import comparing, gather
from bench.store import Results

METRICS = ("auroc", "ap")
HEAD = (
    "method",
    "AUROC",
    "tuned",
    "difference",
    "AP",
    "tuned",
    "difference",
    "defaults kept",
    "trials",
    "failed",
    "pruned",
    "seconds",
    "once",
)
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="support2")
    parser.add_argument("--methods", default="all")
    parser.add_argument("--tune", type=int, default=20)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--train-size", default=None)
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--workers", type=int, default=None)
    given = parser.parse_args()
    how = {"folds": given.folds, "train_size": given.train_size}
    specs = [spec.label for spec in registry.parse("methods", given.methods)]
    (dataset,) = registry.parse("datasets", given.dataset)
    found: list[Results] = []
    for trials in (0, given.tune):
        reports = given.results / f"reports-tune{trials}"
        api.run(given.dataset, given.methods, **how, tune=trials, results=given.results, reports=reports, workers=given.workers)
        found.append(stored(given.results, dataset.label, protocol.asked(**how, tune=trials)[0], specs))
    print("\n".join(table(*found)))


def stored(root: Path, dataset: str, under: protocol.Protocol, specs: list[str]) -> Results:
    """The run of one protocol, with the number of folds it came to."""
    label = under.part.label
    name = next(name for name in reversed(store.runs(root, dataset)) if name.rpartition("@")[0] == store.safe(label))
    return store.read(root, dataset, methods=specs, under=name)


def table(default: Results, tuned: Results) -> list[str]:
    """Its lines."""
    both = pd.concat([default.predictions, tuned.predictions.assign(method=tuned.predictions["method"] + " tuned")])
    done = [m for m in default.methods if {m, f"{m} tuned"} <= set(both["method"])]
    names = [name for m in done for name in (m, f"{m} tuned")]
    tasks = [task.name for task in default.tasks]
    evidence = gather(both[both["method"].isin(names)], default.cohort, tasks, names, names[0], resamples=RESAMPLES)
    assert evidence is not None
    spent = ledger.tuned(tuned).groupby("method")
    lines, worse = [line(*HEAD), line(*("---" for _ in HEAD))], list[str]()
    for method in done:
        cells: list[str] = []
        for metric in METRICS:
            found = comparing.compare(evidence, f"{method} tuned", method, metric).table.iloc[-1]
            cells += [f"{100 * found['b']:.1f}", f"{100 * found['a']:.1f}"]
            cells += [f"{100 * found['difference']:+.2f} ({100 * found['low']:+.2f}, {100 * found['high']:+.2f})"]
            worse += [f"{method} ({metric})"] if found["high"] < 0 else []
        own = spent.get_group(method)
        kept = f"{(own['trial'] == 0).sum()} of {len(own)}"
        once = default.cells.loc[default.cells["method"] == method, "seconds"].sum()
        sums = [f"{own[name].sum():,.0f}" for name in ("trials", "failed", "pruned", "seconds")]
        lines.append(line(method, *cells, kept, *sums, f"{once:,.0f}"))
    total = ledger.tuned(tuned)["seconds"].sum()
    said = f"Worse than their defaults by more than the interval: {', '.join(worse) or 'none'}. {total:,.0f} seconds of trials in all."
    return [*lines, "", said]


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
