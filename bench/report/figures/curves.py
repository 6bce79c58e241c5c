"""The four essentials of every method and outcome: ROC (and precision-recall), calibration, net benefit, risks by outcome."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from bench.report.figures import panels
from bench.report.figures.furniture import Key
from bench.report.figures.lettering import number
from bench.report.figures.marks import BLUE, GREY, INK, PALE, SKY, VERMILLION, Page, Pen
from bench.report.figures.panels import Area, Curve, Panel
from bench.report.figures.scales import Axis, ticks

OWN, REFERENCE, CHANCE = Pen(BLUE, 1.1), Pen(PALE, 1.4), Pen(GREY, 0.5, (1.2, 1.2))
RAW, RECALIBRATED = Pen(VERMILLION, 0.9, (2.2, 1.1)), Pen(BLUE, 1.1)
TREAT_ALL = Pen(INK, 0.5, (3.5, 1.2, 0.8, 1.2))
EVENT, NO_EVENT = VERMILLION, SKY
HALVES = ("raw", "recalibrated")
Parts: TypeAlias = Mapping[tuple[str, str], pd.DataFrame]  # of (method, version)
ALL, NONE = "treat all", "treat none"
WHOLE = tuple((value, text) for value, text in ((0.0, "0"), (0.5, "50"), (1.0, "100")))


def outcome(outcomes: pd.DataFrame, task: str) -> str:
    """aki, 589 events in 12,430 patients."""
    own = outcomes[outcomes["task"] == task]
    return task if own.empty else f"{task}, {int(own['events'].iloc[0]):,} events in {int(own['n'].iloc[0]):,}"


def roc(table: pd.DataFrame, scores: pd.DataFrame, methods: Sequence[str], reference: str, task: str, title: str) -> Page:
    """table: of `curves.curves`. A method without a curve has an empty panel."""
    own = _parts(table, task, "curve")
    diagonal = _line([0, 1], [0, 1], CHANCE)
    known = _of(scores, task, "auroc")
    shown = [Panel(m, _score(known, m, "AUROC"), _drawn(own, m, "roc", OWN)) for m in methods]
    axes = (Axis(0, 1, WHOLE, "1 \u2212 specificity, %"), Axis(0, 1, WHOLE, "sensitivity, %"))
    return panels.page(
        f"{title}: ROC curves",
        shown,
        *axes,
        behind=(diagonal, *_drawn(own, reference, "roc", REFERENCE)),
        keys=_keys(reference, "chance"),
    )


def pr(
    table: pd.DataFrame, scores: pd.DataFrame, methods: Sequence[str], reference: str, task: str, title: str, chance: float
) -> Page:
    """table: of `curves.curves`. chance: the precision of a random ranking. Precision up to the highest but the first points'."""
    own = _parts(table, task, "curve")
    high = _ceiling([part["y"][part["x"] >= 0.05] for (_, kind), part in own.items() if kind == "pr"], 0.1, 1.0)
    y = Axis(0, high, ticks(0, high, 4, percent=True), "precision, %")
    known = _of(scores, task, "ap")
    shown = [Panel(m, _score(known, m, "AP"), _drawn(own, m, "pr", OWN)) for m in methods]
    behind = (_line([0, 1], [chance, chance], CHANCE), *_drawn(own, reference, "pr", REFERENCE))
    x = Axis(0, 1, WHOLE, "recall (sensitivity), %")
    return panels.page(f"{title}: precision and recall", shown, x, y, behind=behind, keys=_keys(reference, "chance"))


def calibration(smooth: pd.DataFrame, table: pd.DataFrame, methods: Sequence[str], task: str, title: str) -> Page:
    """smooth, table: of `calibration.smooth` and `.calibration`. Both versions in one panel; NaN stay out."""
    own = _parts(smooth, task)
    high = _ceiling([part[["risk", "observed"]].max(axis=1) for part in own.values()], 0.05, 1.0)
    marks = ticks(0, high, 4, percent=True)
    facts = _parts(table, task)
    shown = [Panel(m, _calibrated(facts, m), _versions(own, m, "risk", "observed")) for m in methods]
    axes = (Axis(0, high, marks, "predicted risk, %"), Axis(0, high, marks, "observed share, %"))
    keys = [Key("as predicted", RAW), Key("recalibrated on validation rows", RECALIBRATED), Key("perfect", CHANCE)]
    said = [
        "a: intercept in the large; b: slope; ICI: mean distance from the diagonal in points, in brackets what perfect calibration "
        "would show in as many patients. As predicted \u2192 recalibrated."
    ]
    return panels.page(f"{title}: calibration", shown, *axes, behind=(_line([0, 1], [0, 1], CHANCE),), keys=keys, said=said)


def _calibrated(facts: Parts, method: str) -> tuple[str, ...]:
    """Three lines; empty ones for a method without predictions."""
    own = [facts[method, version] for version in ("raw", "recalibrated") if (method, version) in facts]
    known = [row.iloc[0] for row in own if row["n"].iloc[0] > 0 and row["mean_risk"].notna().iloc[0]]
    if not known:
        return ("", "", "")

    def pair(column: str, factor: float, digits: int) -> str:
        return " \u2192 ".join(number(factor * float(row[column]), digits) for row in known)

    floor = number(100 * float(known[-1]["ici_floor"]))
    return (f"a {pair('intercept', 1, 2)}", f"b {pair('slope', 1, 2)}", f"ICI {pair('ici', 100, 1)} ({floor})")


def decision(table: pd.DataFrame, methods: Sequence[str], reference: str, task: str, title: str) -> Page:
    """table: of `benefit.net_benefit`, its two strategies without a model among the methods."""
    of_task = table[table["task"] == task]
    own = _parts(table, task)
    low, high = float(of_task["threshold"].min()), float(of_task["threshold"].max())
    top = _ceiling([part["value"] for (method, _), part in own.items() if method not in (ALL, NONE)], 1e-4, 1.0, room=1.08)
    x = Axis(low, high, ticks(low, high, 4, percent=True), "threshold risk, %")
    marks = tuple((value / 1000, text) for value, text in ticks(-200 * top, 1000 * top, 4))
    y = Axis(-0.2 * top, top, marks, "net benefit, per 1,000")
    shown = [Panel(m, (), _versions(own, m, "threshold", "value")) for m in methods]
    behind = [
        _line([low, high], [0, 0], Pen(INK, 0.4)), *_drawn(own, ALL, "raw", TREAT_ALL, "threshold", "value"),
        *_drawn(own, reference, "recalibrated", REFERENCE, "threshold", "value"),
    ]  # fmt: skip
    keys = [
        Key("as predicted", RAW), Key("recalibrated", RECALIBRATED), Key(f"{reference}, recalibrated", REFERENCE),
        Key("treat all", TREAT_ALL), Key("treat none", Pen(INK, 0.4)),
    ]  # fmt: skip
    clinical = bool(of_task["clinical"].all())
    said = (
        [] if clinical else ["The outcome states no range of thresholds: prevalence/4 to 4 x prevalence, not a clinical range."]
    )
    return panels.page(f"{title}: decision curves", shown, x, y, behind=behind, keys=keys, said=said, shape=0.85)


def risks(table: pd.DataFrame, methods: Sequence[str], task: str, title: str) -> Page:
    """table: of `curves.risks`. Patients with the event upward, those without downward, as shares of each, on a root scale.

    Root scale: most patients without an event lie in the first bin, and the rest must be seen as well. Bars of a method that puts
    nearly all patients into one bin are cut at the edge. Recalibrated risks, where there are any, stand in the right half of a
    panel, on the same scale: isotonic ones are spikes, and over the raw ones they would hide them.
    """
    own = table[table["task"] == task]
    halves = [version for version in HALVES if version in set(own["version"])]
    right = float(own["high"].max())
    pitch = 1.1 * right  # from the 0 of one half to that of the other
    top = float(
        np.sqrt(_ceiling([part["share"] for _, part in own.groupby(["method", "version", "outcome"])], 1e-4, 1.0, room=1.0))
    )
    marks = [(sign * at, text) for at, text in _root_ticks(top) for sign in (-1, 1)]
    y = Axis(-1.03 * top, 1.03 * top, (*marks, (0.0, "0")), "% of each, root scale")
    end = pitch * (len(halves) - 1) + right
    x = Axis(0, end, _in_halves(right, pitch, len(halves)), "predicted risk, % (the last bar: this and higher)")
    parts = _parts(own, task)
    shown = [
        Panel(m, (), areas=tuple(a for i, v in enumerate(halves) for a in _bars(parts.get((m, v)), 1.03 * top, i * pitch)))
        for m in methods
    ]
    keys = [Key("those with the event, upward", patch=EVENT), Key("those without, downward", patch=NO_EVENT)]
    behind = [_line([i * pitch, i * pitch + right], [0, 0], Pen(INK, 0.4)) for i in range(len(halves))]
    behind += [_line([pitch - 0.05 * right] * 2, [-1.03 * top, 1.03 * top], Pen(GREY, 0.4)) for _ in halves[1:]]
    said = ["In every panel: left as predicted, right recalibrated on validation rows."] if len(halves) > 1 else []
    return panels.page(
        f"{title}: predicted risks by outcome", shown, x, y, keys=keys, said=said, behind=behind, shape=0.85
    )  # fmt: skip


def _in_halves(right: float, pitch: float, halves: int) -> tuple[tuple[float, str], ...]:
    """Ticks of each half; with two none at the end of a half, where the next one's 0 stands."""
    marks = (
        ticks(0, right, 4, percent=True) if halves == 1 else [t for t in ticks(0, right, 3, percent=True) if t[0] <= 0.8 * right]
    )
    return tuple((i * pitch + value, text) for i in range(halves) for value, text in marks)


def _root_ticks(top: float) -> list[tuple[float, str]]:
    """Shares at their roots, not too close: 50, 20, 5 ... %."""
    kept: list[tuple[float, str]] = []
    for share in (1.0, 0.5, 0.2, 0.05, 0.01, 0.002):
        at = share**0.5
        if 0.2 * top <= at <= top and (not kept or kept[-1][0] - at >= 0.2 * top):
            kept.append((at, f"{100 * share:g}"))
    return kept


def _bars(own: pd.DataFrame | None, top: float, start: float) -> Iterator[Area]:
    """The two histograms as one stepped outline each, from x = start."""
    if own is None:
        return
    numbers = own[["low", "high", "share", "outcome"]].to_numpy(float)
    numbers = numbers[np.argsort(numbers[:, 0], kind="stable")]
    for value, colour, sign in ((1, EVENT, 1), (0, NO_EVENT, -1)):
        low, high, share, _ = numbers[(numbers[:, 3] == value) & ~np.isnan(numbers[:, 2])].T
        if len(share):
            x = np.concatenate([[low[0]], np.column_stack([low, high]).ravel(), [high[-1]]])
            y = np.concatenate([[0], np.repeat(np.minimum(np.sqrt(share), top), 2), [0]])
            yield Area(start + x, sign * y, colour)


def _parts(table: pd.DataFrame, task: str, by: str = "version") -> Parts:
    """(method, version) -> its rows of one outcome."""
    if table.empty:
        return {}
    own = table[table["task"] == task]
    return {(str(method), str(kind)): part for (method, kind), part in own.groupby(["method", by], sort=False)}


def _drawn(parts: Parts, method: str, kind: str, pen: Pen, x: str = "x", y: str = "y") -> tuple[Curve, ...]:
    """None where the method has no numbers."""
    part = parts.get((method, kind))
    return () if part is None or part[y].isna().all() else (Curve(part[x].to_numpy(float), part[y].to_numpy(float), pen),)


def _versions(parts: Parts, method: str, x: str, y: str) -> tuple[Curve, ...]:
    pens = {"recalibrated": RECALIBRATED, "raw": RAW}
    return tuple(curve for version, pen in pens.items() for curve in _drawn(parts, method, version, pen, x, y))


def _line(x: Sequence[float], y: Sequence[float], pen: Pen) -> Curve:
    return Curve(np.array(x, float), np.array(y, float), pen)


def _keys(reference: str, chance: str) -> list[Key]:
    return [Key("the method", OWN), Key(reference, REFERENCE), Key(chance, CHANCE)]


def _of(scores: pd.DataFrame, task: str, metric: str) -> dict[str, list[float]]:
    """Method -> value, low, high of an outcome and metric."""
    own = scores[(scores["task"] == task) & (scores["metric"] == metric)]
    return {str(method): found for method, *found in own[["method", "value", "low", "high"]].itertuples(index=False)}


def _score(scores: Mapping[str, Sequence[float]], method: str, name: str) -> tuple[str, ...]:
    """AUROC 81.2 [80.1, 82.3]."""
    if method not in scores:
        return (f"{name} {number(float('nan'))}",)
    value, low, high = (100 * float(found) for found in scores[method])
    return (f"{name} {number(value)}" + ("" if low != low else f" [{number(low)}, {number(high)}]"),)


def _ceiling(parts: Sequence[pd.Series], least: float, most: float, room: float = 1.05) -> float:
    """The upper end of an axis: what nine in ten curves reach, so that one wild method does not press the others flat."""
    tops = np.array([part.max() for part in parts if part.notna().any()], float)
    return float(np.clip(room * np.quantile(tops, 0.9), least, most)) if len(tops) else most
