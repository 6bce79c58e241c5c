"""The Markdown of the null rates: what `null_rates.py` appended to its files, added up.

Standard errors are those of sums over chunks, within which simulations share their resamples and methods their patients.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

GROUPS = {
    "false": "Claims where there is nothing",
    "family": "One false claim or more, of a family",
    "other": "Statements about these predictions, read as if about the procedure",
    "cover": "Intervals that hold the truth",
    "power": "Power for a method truly better, mean over outcomes",
    "refused": "Tests that are not offered, claims where there is nothing",
}
DESCRIBED = ("no adjustment", "resampled ranks", "P(better)", "large population")  # shown, with no promise to keep
TRUST, BY_CHANCE = 2.0, 0.0228  # standard errors beyond which a rate is said to break its promise, and how often chance does that
CHUNKS = 10  # from which a standard error is one
NAMES = {"auroc": "AUROC", "ap": "AP", "brier": "Brier score", "log_loss": "log loss", "oe": "observed/expected"}


def read(path: Path) -> list[dict[str, Any]]:
    """The finished chunks of a file; [] where there is none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def summary(paths: Sequence[Path], nulls: Sequence[str], designs: Sequence[str]) -> str:
    """Markdown: a table per null, a row per statement, a column per design; percent, AUROC and AP in one cell.

    Beside them the largest standard error of the row, and the fewest simulations of a design in which it was tried.
    """
    lines = [line for path in paths for line in read(path)]
    out: list[str] = []
    for null in nulls:
        own = {design: [line for line in lines if (line["design"], line["null"]) == (design, null)] for design in designs}
        columns = [*designs, "s.e.", "runs"]
        out += [f"Null: exchangeable {null}.", "", f"| percent | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
        keys = dict.fromkeys(key for of in own.values() for line in of for key in line["trials"])
        rows = dict.fromkeys((group(key, null), key.split("|")[0], _cell_of(key)) for key in keys)
        for heading, title in GROUPS.items():
            found = [row for row in rows if row[0] == heading]
            out += [f"| **{title}** |" + " |" * len(columns)] if found else []
            for _, statement, metrics in found:
                counts = [[_count(of, f"{statement}|{metric}") for metric in metrics] for of in own.values()]
                rates = [_rates(of_design) for of_design in counts] + _precision(counts)
                name = " / ".join(NAMES.get(metric, metric) for metric in metrics if metric != "all")
                out.append(f"| {statement.split(': ')[1]}{name and ', '}{name} | {' | '.join(rates)} |")
        out += ["", *_broken(own, [row for row in rows if row[0] in ("false", "family", "cover")]), ""]
    return "\n".join(out)


def _broken(own: dict[str, list[dict[str, Any]]], rows: Sequence[tuple[str, str, tuple[str, ...]]]) -> list[str]:
    """Sentences: which rates lie on the wrong side of their promise by more than two standard errors, the worst design of each."""
    out: list[str] = []
    for start, headings in (("Claims above their promise", ("false", "family")), ("Intervals under 95 %", ("cover",))):
        asked = [(statement, metric) for heading, statement, metrics in rows for metric in metrics if heading in headings]
        known = {key: counts for key in asked if (counts := _sure(own, "|".join(key)))}
        found = [text for (statement, metric), counts in known.items() if (text := _worst(statement, metric, counts))]
        rates = sum(map(len, known.values()))
        if rates:
            start += f" by more than two standard errors (by chance {BY_CHANCE * rates:.0f} of {rates} rates would be)"
            out += [f"{start}: {'; '.join(found) or 'none'}.", ""]
    return out


def _sure(own: dict[str, list[dict[str, Any]]], key: str) -> dict[str, "Count"]:
    """The designs whose rate has a promise to keep, and chunks enough for a standard error."""
    counts = {design: _count(lines, key) for design, lines in own.items()}
    return {design: c for design, c in counts.items() if promised(key) and c.trials and c.chunks >= CHUNKS}


def _worst(statement: str, metric: str, counts: dict[str, "Count"]) -> str:
    """The rate that is furthest beyond its promise; "" where none is surely beyond."""
    side = -1 if statement.startswith("cover") else 1
    over = {design: side * (c.hits / c.trials - promised(statement)) for design, c in counts.items()}
    broken = [design for design, c in counts.items() if over[design] > TRUST * c.error]
    if not broken:
        return ""
    worst = max(broken, key=lambda design: over[design])
    name = f"{statement.split(': ')[1]}{'' if metric == 'all' else ', ' + NAMES[metric]}"
    error = f"s.e. {100 * counts[worst].error:.1f}; {len(broken)} of {len(counts)} designs"
    return f"{name} {_rates([counts[worst]])} on {worst} ({error})"


def promised(statement: str) -> float:
    """How often it may be made where it is false, or must hold; 0 where nothing is promised."""
    if any(word in statement for word in DESCRIBED):
        return 0.0
    return 0.95 if statement.startswith("cover") else 0.025 if "non-inferior" in statement else 0.05


def group(key: str, null: str) -> str:
    """The heading a statement stands under; "" where it says the same as another."""
    kind, statement = key.split("|")[0].split(": ")
    if null == "predictions" and statement.endswith("of the procedures") and "corrected" not in statement:
        return ""  # the models are the procedures
    if statement in ("max-T, any p", "BCa, value in a large population"):
        return ""  # as the marks of the table and the percentile interval, but for a tenth
    about_models = not any(word in statement for word in ("corrected", "P(better)", "one is better", "subgroups"))
    other = null == "learners" and about_models and (kind in ("false", "family") or statement.endswith("of the procedures"))
    return "other" if other else kind


def _cell_of(key: str) -> tuple[str, ...]:
    """The metrics that share a cell."""
    metric = key.split("|")[1]
    if "DeLong" in key or "Holm" in key or "large population" in key:
        return (metric,)
    pairs = [("auroc", "oe")] if "subgroups" in key else [("auroc", "ap"), ("brier", "log_loss")]
    return next((pair for pair in pairs if metric in pair), (metric,))


class Count(NamedTuple):
    """How often a statement was made, of how often it could have been; its standard error; simulations in which it was tried."""

    hits: int
    trials: int
    error: float
    runs: int
    chunks: int


def _count(lines: list[dict[str, Any]], key: str) -> Count:
    """lines: chunks of one design and null."""
    tried = [(line["hits"].get(key, 0), line["trials"][key], line["simulations"]) for line in lines if line["trials"].get(key)]
    hits, trials, runs = (sum(column) for column in zip(*tried, strict=True)) if tried else (0, 0, 0)
    off = sum((h - n * hits / trials) ** 2 for h, n, _ in tried)
    error = math.sqrt(off * len(tried) / (len(tried) - 1)) / trials if len(tried) > 1 else math.nan
    return Count(hits, trials, error, runs, len(tried))


def _rates(counts: Sequence[Count]) -> str:
    """Percent, a number per metric; one dash where nothing was tried."""
    each = [f"{100 * c.hits / c.trials:.1f}" if c.trials else "-" for c in counts]
    return " / ".join(each) if any(c.trials for c in counts) else "-"


def _precision(counts: Sequence[Sequence[Count]]) -> list[str]:
    """The largest standard error in percent, and the fewest simulations, of the designs and metrics that were tried."""
    tried = [c for of_design in counts for c in of_design if c.trials]
    errors = [c.error for c in tried if c.chunks >= CHUNKS]
    return [f"{100 * max(errors):.1f}" if errors else "-", f"{min(c.runs for c in tried)}"]
