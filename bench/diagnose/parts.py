"""What the vectors of patients show: one function a diagnostic, numbers by item and measure.

A `View` is what a network makes of a cohort. Probes are fitted on one view, the training rows', and scored on another.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
import pandas as pd

from bench import metrics
from bench.core import Cohort
from bench.diagnose import geometry, probes
from bench.diagnose.geometry import Matrix

ROWS = 400  # held-out rows, drawn once, whose kernels are compared
DRAWS = 100  # permutations of a null: p is 1 / 101 at least
DIRECTIONS = 8  # one in so many of the fused vector's directions makes the subspace of a part

Items: TypeAlias = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """float64, a row a patient. fused: (n, d). parts: "s" and "p:<task>" -> (n, k); empty where the network does not split."""

    fused: Matrix
    parts: Mapping[str, Matrix]

    def random(self, seed: int = 0) -> "View":
        """Gaussian projections of the fused vector in place of the parts, equally wide: what splitting gives without learning."""
        rng, d = np.random.default_rng(seed), self.fused.shape[1]
        return View(self.fused, {name: self.fused @ rng.normal(size=(d, x.shape[1])) for name, x in self.parts.items()})


def _pairs(view: View) -> Iterator[tuple[str, Matrix, Matrix]]:
    """Every pair of parts as "s ~ p:aki"."""
    for (a, x), (b, y) in combinations(view.parts.items(), 2):
        yield f"{a} ~ {b}", x, y


def spectra(view: View) -> Items:
    """Effective rank and condition number of the fused vector and of each part, of singular values and of eigenvalues."""

    def of(x: Matrix) -> dict[str, float]:
        sigma = geometry.singular_values(x)
        return {
            "width": x.shape[1],
            "directions": int((sigma > geometry.FLOOR * sigma.max(initial=0.0)).sum()),
            "rank_singular": geometry.effective_rank(sigma),
            "rank_eigen": geometry.effective_rank(sigma**2),
            "condition_singular": geometry.condition_number(sigma),
            "condition_eigen": geometry.condition_number(sigma**2, geometry.FLOOR**2),
        }

    return {name: of(x) for name, x in {"h": view.fused, **view.parts}.items()}


def cosine(view: View) -> Items:
    """Mean squared cosine of two parts of a patient, as they are and centred. chance: of random vectors."""
    random = _mean([geometry.squared_cosine(x, y) for _, x, y in _pairs(view.random())])
    return {
        pair: {
            "value": geometry.squared_cosine(x, y),
            "centred": geometry.squared_cosine(geometry.centred(x), geometry.centred(y)),
            "random": random,
            "chance": 1 / x.shape[1],
        }
        for pair, x, y in _pairs(view)
    }


def angles(fit: View) -> Items:
    """Overlap of the subspaces of the fused vector that two parts answer to most, and its largest cosine.

    A part's subspace: the leading directions of the linear map from the fused vector to the part, as a ridge regression sees it.
    """
    d = fit.fused.shape[1]
    count = max(1, d // DIRECTIONS)
    linear = probes.ridge(fit.fused, np.hstack(list(fit.parts.values()))).coefficients
    blocks = np.split(linear, np.cumsum([x.shape[1] for x in fit.parts.values()])[:-1], axis=1)
    bases = View(fit.fused, {n: geometry.leading_directions(b, count) for n, b in zip(fit.parts, blocks, strict=True)})
    chance = max(a.shape[1] for a in bases.parts.values()) / d
    return {
        pair: {
            "value": geometry.overlap(a, b),
            "largest_cosine": float(geometry.principal_cosines(a, b)[0]),
            "chance": chance,
        }
        for pair, a, b in _pairs(bases)
    }


def alignments(view: View) -> dict[str, Items]:
    """Unbiased linear CKA and HSIC (RBF, median bandwidth) of two parts, with the 95 % point and p of a permutation null.

    Parts of one vector always depend on each other, so read the size, not p; `random` is what projections of the vector have.
    """
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(view.fused))[:ROWS])
    sub = View(view.fused[rows], {name: x[rows] for name, x in view.parts.items()})
    forms = {"cka": geometry.cka_form, "hsic": geometry.hsic_form}
    return {name: _compared(sub, form, rng) for name, form in forms.items()}


def _compared(view: View, form: Callable[[Matrix], Matrix], rng: np.random.Generator) -> Items:
    """Inner products of the parts' forms, pair by pair; beside those of random parts, and of shuffled patients."""
    names, made = list(view.parts), [form(x) for x in view.parts.values()]
    random = _mean([geometry.inner(a, b) for a, b in combinations(map(form, view.random().parts.values()), 2)])
    out = Items()
    for i, name in enumerate(names[:-1]):
        null = geometry.permuted(made[i], np.stack(made[i + 1 :]), DRAWS, rng)
        for other, b, drawn in zip(names[i + 1 :], made[i + 1 :], null.T, strict=True):
            value = geometry.inner(made[i], b)
            measures = {"value": value, "random": random, "null_95": float(np.quantile(drawn, 0.95))}
            out[f"{name} ~ {other}"] = measures | {"p": geometry.p_value(value, drawn)}
    return out


def leakage(fit: View, view: View, fitted_on: Cohort, held_out: Cohort) -> Items:
    """AUROC of linear probes p_t -> y_u, beside those from s, from the fused vector, and of y_t itself (`label_only`).

    within: fitted and scored within strata of y_t, so that what y_t tells of y_u counts for nothing; .5 is none.
    """
    tasks, weights = held_out.task_names, held_out.loss_weights
    before, after = fitted_on.labels.astype(np.float64), held_out.labels.astype(np.float64)

    def probed(x: Matrix, z: Matrix, u: int) -> float:
        return probes.auroc(after[:, u], probes.probe(x, before[:, u], z), weights[:, u])

    sources = {"from_s": (fit.parts["s"], view.parts["s"]), "from_h": (fit.fused, view.fused)}
    general = [{name: probed(x, z, u) for name, (x, z) in sources.items()} for u in range(len(tasks))]
    out = Items()
    for t, task in enumerate(tasks):
        x, z = fit.parts[f"p:{task}"], view.parts[f"p:{task}"]
        for u, other in enumerate(tasks):
            row = {"value": probed(x, z, u)}
            if u != t:
                known = probes.label_only(before[:, t], before[:, u], after[:, t])
                row["label_only"] = probes.auroc(after[:, u], known, weights[:, u])
                scores = probes.within(x, before[:, u], before[:, t], z)
                target = np.where(np.isnan(after[:, t]), np.nan, after[:, u])
                row["within"] = metrics.stratified_auroc(target, scores, after[:, t], weights[:, u])
            out[f"p:{task} -> {other}"] = row | general[u]
    return out


def redundancy(fit: View, view: View) -> Items:
    """Held-out R^2 of a ridge from s to p_t: how much of the specific part the shared one already tells. random: of projections."""

    def from_s(a: View, b: View) -> dict[str, float]:
        return {n: probes.explained(a.parts["s"], a.parts[n], b.parts["s"], b.parts[n]) for n in a.parts if n != "s"}

    found, random = from_s(fit, view), from_s(fit.random(), view.random())
    return {f"s -> {name}": {"value": found[name], "random": random[name]} for name in found}


def recovery(fit: View, view: View, fit_truth: pd.DataFrame, truth: pd.DataFrame) -> Items:
    """Held-out R^2 of a ridge from each part to each planted factor, and the mean over the factors.

    value: from the part the factor belongs to (s; p_t for `private:t`). others: mean over the other p_u. random: from a projection
    of the fused vector as wide as a part. from_h: from the fused vector, all that a network without parts has.
    """
    factors = [name for name in truth.columns if not name.startswith("p:")]
    y, z = fit_truth[factors].to_numpy(np.float64), truth[factors].to_numpy(np.float64)

    def each(a: Matrix, b: Matrix) -> dict[str, float]:
        predicted = probes.ridge(a, y)(b)
        return {name: probes.r2(z[:, [j]], predicted[:, [j]]) for j, name in enumerate(factors)}

    fused = each(fit.fused, view.fused)
    part = {name: each(fit.parts[name], view.parts[name]) for name in fit.parts}
    random = each(fit.random().parts["s"], view.random().parts["s"]) if part else {}

    def row(name: str) -> dict[str, float]:
        own = f"p:{name.removeprefix('private:')}" if name.startswith("private:") else "s"
        if own not in part:
            return {"from_h": fused[name]}
        others = _mean([r[name] for key, r in part.items() if key not in ("s", own)])
        row = {"value": part[own][name], "from_s": part["s"][name], "others": others}
        return row | {"random": random[name], "from_h": fused[name]}

    out = {name: row(name) for name in factors}
    return out | {"mean": {measure: _mean([r[measure] for r in out.values()]) for measure in out[factors[0]]}}


def gate_use(blocks: Sequence[Matrix], tasks: Sequence[str]) -> Items:
    """How each gate divides its attention: `entropy`, a patient's, as a share of its maximum (1 = even, 0 = one expert);
    `experts`, the effective number used over all patients (exp of the entropy of the mean); `e0`, `e1` ..., the mean of each.

    blocks: (n, G, E) each, NaN where a gate cannot see. Gates of a block: one a task, then the shared one, or numbered.
    """
    out = Items()
    for level, gates in enumerate(blocks, start=1):
        named = [*tasks, "shared"] if gates.shape[1] in (len(tasks), len(tasks) + 1) else range(gates.shape[1])
        for g, name in zip(range(gates.shape[1]), named, strict=False):
            weights = gates[:, g, ~np.isnan(gates[0, g])]
            mean, choices = weights.mean(axis=0), weights.shape[1]
            out[f"level {level}: {name}"] = {
                "entropy": float(_entropy(weights).mean() / np.log(choices)) if choices > 1 else float("nan"),
                "experts": float(np.exp(_entropy(mean))),
                "of": choices,
                **{f"e{e}": float(value) for e, value in enumerate(gates[:, g].mean(axis=0))},
            }
    return out


def _entropy(shares: Matrix) -> Matrix:
    """Over the last axis, in nats."""
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
