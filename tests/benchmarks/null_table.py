"""The Markdown of the null rates: what `null_rates.py` appended to its files, added up."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GROUPS = {
    "false": "Claims where there is nothing",
    "family": "One false claim or more, of a family",
    "other": "Statements about these predictions, read as if about the procedure",
    "cover": "Intervals that hold the truth",
    "power": "Power for a method truly better, mean over outcomes",
    "refused": "Tests that are not offered, claims where there is nothing",
}
NAMES = {"auroc": "AUROC", "ap": "AP", "brier": "Brier score", "log_loss": "log loss", "oe": "observed/expected"}


def read(path: Path) -> list[dict[str, Any]]:
    """The finished chunks of a file; [] where there is none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summary(paths: Sequence[Path], nulls: Sequence[str], designs: Sequence[str]) -> str:
    """Markdown: a table per null, a row per statement, a column per design; percent, AUROC and AP in one cell."""
    lines = [line for path in paths for line in read(path)]
    out: list[str] = []
    for null in nulls:
        own = {design: [line for line in lines if (line["design"], line["null"]) == (design, null)] for design in designs}
        count = ", ".join(f"{design} {_simulations(of)}" for design, of in own.items())
        out += [f"Null: exchangeable {null}. Simulations: {count}.", "", f"| percent | {' | '.join(designs)} |"]
        out += ["|---|" + "--:|" * len(designs)]
        keys = dict.fromkeys(key for of in own.values() for line in of for key in line["trials"])
        rows = dict.fromkeys((group(key, null), key.split("|")[0], _cell_of(key)) for key in keys)
        for heading, title in GROUPS.items():
            found = [row for row in rows if row[0] == heading]
            out += [f"| **{title}** |" + " |" * len(designs)] if found else []
            for _, statement, metrics in found:
                rates = [_rates(of, statement, metrics) for of in own.values()]
                name = " / ".join(NAMES.get(metric, metric) for metric in metrics if metric != "all")
                out.append(f"| {statement.split(': ')[1]}{name and ', '}{name} | {' | '.join(rates)} |")
        out.append("")
    return "\n".join(out)


def group(key: str, null: str) -> str:
    """The heading a statement stands under; "" where it says the same as another."""
    kind, statement = key.split("|")[0].split(": ")
    if null == "predictions" and statement.endswith("of the procedures") and "corrected" not in statement:
        return ""  # the models are the procedures
    if statement in ("max-T, any p", "BCa, value in a large population"):
        return ""  # as the marks of the table and the percentile interval, but for a tenth
    about_models = not any(word in statement for word in ("corrected", "P(better)", "subgroups"))
    other = null == "learners" and about_models and (kind in ("false", "family") or statement.endswith("of the procedures"))
    return "other" if other else kind


def _cell_of(key: str) -> tuple[str, ...]:
    """The metrics that share a cell."""
    metric = key.split("|")[1]
    if "DeLong" in key or "Holm" in key or "large population" in key:
        return (metric,)
    pairs = [("auroc", "oe")] if "subgroups" in key else [("auroc", "ap"), ("brier", "log_loss")]
    return next((pair for pair in pairs if metric in pair), (metric,))


def _simulations(lines: list[dict[str, Any]]) -> int:
    """The fewest of any part."""
    parts = {part for line in lines for part in line["parts"]}
    return min((sum(line["simulations"] for line in lines if part in line["parts"]) for part in parts), default=0)


def _rates(lines: list[dict[str, Any]], statement: str, metrics: tuple[str, ...]) -> str:
    """Percent, a number per metric; one dash where nothing was tried."""
    keys = [f"{statement}|{metric}" for metric in metrics]
    hits, trials = ([sum(line[name].get(key, 0) for line in lines) for key in keys] for name in ("hits", "trials"))
    return " / ".join(f"{100 * h / n:.1f}" if n else "-" for h, n in zip(hits, trials, strict=True)) if any(trials) else "-"
