"""`bench diagnose`: the diagnostics that cells hold, as tables and as diagnostics.csv. From stored facts alone, no torch.

A cell without diagnostics, one that failed say, takes no part; a method without any is named. Undefined numbers are left out of
means and shown as a dash.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.core import BenchError
from bench.report import notes, save
from bench.report.sheet import Block, Entry, Row, Sheet
from bench.report.words import DASH, csv
from bench.store import Results

KEY = "diagnosis"  # of a cell's facts
PAIRS = ("cosine", "angles", "cka", "hsic")  # of two parts
COLUMNS = ["method", "diagnostic", "item", "measure", "value", "sd", "cells"]
# diagnostic -> title, and how to read it
ABOUT: Mapping[str, tuple[str, str]] = {
    "penalty": (
        "Penalty of the sharing block",
        "unweighted, on validation rows; start: the untrained network. Compare with the same network at weight 0.",
    ),
    "spectrum": (
        "Spectrum of the fused vector h and of its parts",
        "effective rank and condition number, of singular values and of eigenvalues, over the directions that vary at all.",
    ),
    "cosine": (
        "Squared cosine of two parts of a patient",
        "centred: less the mean patient; chance: random vectors; random: projections of h. A convention of coordinates: 0 is not "
        "independence, so read it beside CKA, redundancy and leakage.",
    ),
    "angles": (
        "Overlap of the subspaces of h that two parts read",
        "mean squared cosine of the principal angles between the leading directions of each part's linear map; chance: random subspaces.",
    ),
    "cka": (
        "Linear CKA of two parts, unbiased",
        "1: the same up to rotation, 0: unrelated; random: projections of h; null 95, p (--full): of shuffled patients.",
    ),
    "hsic": ("HSIC of two parts, RBF kernel of median width", "null 95, p (--full): of shuffled patients; random: projections of h."),
    "redundancy": ("R2 of p_t predicted from s", "ridge, held-out; random: projections of h."),
    "leakage": (
        "AUROC of a linear probe p_t -> y_u",
        "label only: of y_t itself, which nested outcomes make large; within: fitted and scored inside strata of y_t, 0.5 is none; "
        "from s, from h: probes of s and of the whole vector. Wanted: values of u = t above those of u other than t, and the latter "
        "not above label only, nor above the same network at weight 0.",
    ),
    "ablation": (
        "AUROC without a part",
        "without s, without p: what the AUROC changes by when that part is its training mean for every patient.",
    ),
    "recovery": (
        "R2 of the planted factors",
        "ridge, held-out. value: from the factor's own part; others: mean over the other outcomes' parts; random: an equally wide "
        "projection of h.",
    ),
    "gradients": (
        "Gradients of two tasks on the shared parameters",
        "value: mean cosine over batches of training rows, dropout off; conflicts: share of batches below 0; label phi: correlation "
        "of the labels.",
    ),
    "affinity": (
        "Task affinity: share of u's loss that a step for t takes away",
        "TAG of the fitted network, step 0.01; first order: its limit for small steps.",
    ),
    "gates": (
        "Use of experts, by gate",
        "entropy: of a patient's gate, 1 even, 0 one expert; experts: effective number used over all patients, of those it sees; "
        "e0 ... (--full): mean weight of each.",
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Diagnosed:
    """file: diagnostics.csv. table: all that it holds, see `summary`. sheet: what to show."""

    dataset: str
    file: Path
    table: pd.DataFrame
    sheet: Sheet

    def json(self) -> dict[str, Any]:
        """For programs, see `bench.asjson`."""
        return {"dataset": self.dataset, "file": self.file, "warnings": self.sheet.warnings, "table": self.table}


def summary(results: Results) -> pd.DataFrame:
    """method, diagnostic, item, measure, value (mean over cells), sd, cells (in which it is defined). Variants of a method adjoin."""
    rows = [
        (cell["method"], diagnostic, item, measure, value)
        for _, cell in results.cells.iterrows()
        for diagnostic, items in cell["facts"].get(KEY, {}).items()
        for item, measures in items.items()
        for measure, value in measures.items()
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS[:5]).astype({"value": float})
    grouped = frame.groupby(COLUMNS[:4], sort=False)["value"].agg(value="mean", sd="std", cells="count").reset_index()
    order = {method: i for i, method in enumerate(_adjoining(results.methods))}
    return grouped.sort_values("method", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def write(results: Results, folder: Path, full: bool) -> Diagnosed:
    """Write diagnostics.csv. The sheet: full, or means over outcomes. BenchError where no cell holds diagnostics."""
    frame = summary(results)
    if frame.empty:
        raise BenchError(_missing(results, _undiagnosed(results)))
    named = frame.assign(method=frame["method"].map(csv), item=frame["item"].map(csv))
    save(folder, {"diagnostics.csv": named.to_csv(index=False, float_format="%.6g", lineterminator="\n")})
    shown = [name for name in ABOUT if (frame["diagnostic"] == name).any()]
    made = (lambda _, part: part) if full else _condensed
    about = [] if full else ["Means over outcomes t and pairs of outcomes t, u; --full shows each, diagnostics.csv has them all."]
    if bare := [m for m in results.methods if m not in {*frame["method"], *_undiagnosed(results)}]:
        about.append(f"No diagnostic applies to {', '.join(bare)}.")
    sheet = Sheet(
        title=f"{results.dataset}: diagnostics",
        protocol=notes.protocol(results) + "; means over cells",
        warnings=(*notes.warnings(results), *([_missing(results, lacking)] if (lacking := _undiagnosed(results)) else [])),
        blocks=tuple(_block(ABOUT[name][0], made(name, frame[frame["diagnostic"] == name])) for name in shown),
        footnotes=(),
        remarks=(*about, *(f"{ABOUT[name][0]}: {ABOUT[name][1]}" for name in shown)),
    )
    return Diagnosed(results.dataset, folder / "diagnostics.csv", frame, sheet)


def _adjoining(methods: Sequence[str]) -> list[str]:
    """In their order, but with the variants of one method beside each other."""
    first = {method.partition(":")[0]: i for i, method in reversed(list(enumerate(methods)))}
    return sorted(methods, key=lambda method: first[method.partition(":")[0]])


def _undiagnosed(results: Results) -> list[str]:
    """Methods with a finished cell of which none was diagnosed."""
    done = results.cells[results.cells["status"] == "done"]
    asked = [KEY in facts for facts in done["facts"]]
    return [m for m in results.methods if m not in set(done.loc[asked, "method"])]


def _missing(results: Results, methods: Sequence[str]) -> str:
    if not methods:
        return f"{', '.join(results.methods)} on '{results.dataset}': no diagnostic applies. Neural methods with a joint stop have some."
    protocol = results.protocol
    words = [f"--dataset {results.dataset}", f"--methods {','.join(methods)}"]
    words += ["--quick"] if results.quick else []
    usual = {"folds": 2 if results.quick else 5, "repeats": 1, "seed": 0}
    words += [f"--{name} {protocol[name]}" for name, value in usual.items() if protocol.get(name, value) != value]
    return f"no diagnostics stored of {', '.join(methods)}; `bench run {' '.join(words)} --diagnose` makes them."


def _condensed(diagnostic: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Means over items of a kind, without the p-values, which have none, and without the single experts."""
    kept = frame[(frame["measure"] != "p") & ~frame["measure"].str.fullmatch(r"e\d+")]
    kept = kept.assign(item=kept["item"].map(lambda item: _kind(diagnostic, str(item))))
    return kept.groupby(["method", "item", "measure"], sort=False)["value"].mean().reset_index()


def _kind(diagnostic: str, item: str) -> str:
    """Outcomes and pairs of outcomes as t and u."""
    left, _, right = item.replace(" -> ", " ~ ").partition(" ~ ")
    if diagnostic in PAIRS:
        return "s ~ p_t" if left == "s" else "p_t ~ p_u"
    same = left.removeprefix("p:") == right
    kinds = {
        "spectrum": item if item in ("h", "s") else "p_t",
        "redundancy": "s -> p_t",
        "leakage": "p_t -> y_t" if same else "p_t -> y_u",
        "ablation": "t",
        "recovery": item.partition(":")[0],
        "gradients": "t ~ u",
        "affinity": "t -> t" if same else "t -> u",
        "gates": item.partition(":")[0],
    }
    return kinds.get(diagnostic, item)


def _block(title: str, frame: pd.DataFrame) -> Block:
    """Items as groups with a row a method; with one method alone, items as rows. Numbers of a column have equal decimals."""
    values = {(i, m, k): v for i, m, k, v in frame[["item", "method", "measure", "value"]].itertuples(index=False)}
    items, methods, measures = (list(dict.fromkeys(frame[c])) for c in ("item", "method", "measure"))
    decimals = {k: _decimals(frame.loc[frame["measure"] == k, "value"].dropna()) for k in measures}

    def row(name: str, item: str, method: str) -> Row:
        return Row(name, tuple(Entry(_text(values.get((item, method, k)), decimals[k])) for k in measures))

    headings = tuple(tuple(k.split("_")) for k in measures)
    if len(methods) == 1:
        return Block(f"{title}: {methods[0]}", headings, (("", tuple(row(item, item, methods[0]) for item in items)),))
    having = {(item, method) for item, method, _ in values}
    groups = ((item, tuple(row(m, item, m) for m in methods if (item, m) in having)) for item in items)
    return Block(title, headings, tuple(groups))


def _decimals(values: pd.Series) -> int:
    """As many as give the largest three significant digits, at most 5; none to whole numbers."""
    largest = values.abs().max()
    if not largest > 0 or (values % 1 == 0).all():
        return 0
    return min(max(2 - math.floor(math.log10(largest)), 0), 5)


def _text(value: float | None, decimals: int) -> str:
    return DASH if value is None or value != value else f"{value:,.{decimals}f}"
