"""What tuning cost and came to: trials, failed and pruned ones and seconds of every method, under every table; settings by fold."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.report import notes
from bench.report.sheet import Block, Entry, Row
from bench.report.words import DASH, number, short
from bench.store import Results

COLUMNS = (
    "method", "repeat", "fold", "spec", "trial", "searched", "trials", "failed", "pruned", "seconds", "score", "default", "gain", "errors",
)  # fmt: skip
HEADS = ("settings searched", "trials", "failed", "pruned", "seconds", "defaults kept")
RULE = (
    "Tuned inside every training fold, on its validation rows alone. Trial 0 has a method's defaults; they are left only for a trial that is "
    "better by more than its noise among all that were tried. The settings of every fold, as the command line takes them: tuned.csv. Cost and "
    "rank: of the chosen settings alone; seconds of the ledger: of all trials."
)


def tuned(results: Results) -> pd.DataFrame:
    """A row a cell that was tuned, see COLUMNS. spec: the chosen settings; trial: which had them, 0 = the defaults.

    score, default: validation scores of the chosen and of the defaults, lower is better. gain: the largest of any trial over the
    defaults, in standard errors.
    """
    rows: list[dict[str, Any]] = []
    for _, cell in results.cells.iterrows():
        found: Any = cell["facts"].get("tuned") if isinstance(cell["facts"], Mapping) else None
        if found:
            told = {
                "searched": " ".join(found["searched"]),
                "errors": "; ".join(f"{n} x {e}" for e, n in found["errors"].items()),
            }
            rows.append({**found, **told, "method": cell["method"], "repeat": cell["repeat"], "fold": cell["fold"]})
    return pd.DataFrame(rows, columns=list(COLUMNS)) if rows else pd.DataFrame()


def blocks(results: Results) -> tuple[Block, ...]:
    """The ledger; none where nothing was tuned."""
    frame = tuned(results)
    if frame.empty:
        return ()
    own = {str(method): part for method, part in frame.groupby("method", sort=False)}
    groups = tuple(
        (family, tuple(Row(method, _entries(own.get(method))) for method in methods))
        for family, methods in notes.families(results).items()
    )
    return (Block("Tuning ledger, sums over cells", tuple((head,) for head in HEADS), groups),)


def _entries(part: pd.DataFrame | None) -> tuple[Entry, ...]:
    if part is None:
        return tuple(Entry(DASH) for _ in HEADS)
    names = str(part["searched"].iloc[0]).split()
    kept = int((part["trial"] == 0).sum())
    sums = [number(float(part[name].sum())) for name in ("trials", "failed", "pruned", "seconds")]
    return tuple(map(Entry, (str(len(names)) if names else "none: defaults", *sums, f"{kept} of {len(part)}")))


def remarks(results: Results) -> tuple[str, ...]:
    """How it was tuned, and the trials that failed by their errors."""
    frame = tuned(results)
    if frame.empty:
        return ()
    said = [RULE]
    for method in dict.fromkeys(frame.loc[frame["failed"] > 0, "method"]):
        cells = results.cells[(results.cells["method"] == method) & (results.cells["status"] == "done")]
        errors: Counter[str] = Counter()
        for facts in cells["facts"]:
            errors.update({short(error): count for error, count in facts.get("tuned", {}).get("errors", {}).items()})
        listed = "; ".join(f"{count} x {error}" for error, count in errors.most_common())
        said.append(f"Failed trials of {method}: {listed}.")
    return tuple(said)


def trials(facts: Mapping[str, Any]) -> Mapping[str, float]:
    """Of one cell: trials, failed, pruned and their seconds; of a cell that was not tuned one trial, which is itself."""
    found: Any = facts.get("tuned")
    if not found:
        return {"trials": facts.get("trials", 1), "failed trials": np.nan, "pruned": np.nan, "tuning": np.nan}
    return {"trials": found["trials"], "failed trials": found["failed"], "pruned": found["pruned"], "tuning": found["seconds"]}
