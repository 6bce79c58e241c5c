"""What a fitted network shows of its parts: geometry, leakage, ablations, gradients, gates. Facts of a cell, made while it lives.

    facts(predictor, fitted_on, held_out, truth) -> {diagnostic: {item: {measure: number}}}
Probes are fitted on the training rows and scored on the held-out ones; geometry is that of the held-out rows; gradients are of
training rows. A measure stands beside what it would be without learning or without the part: `chance`, `random` (projections of
the fused vector), a permutation's `null_95`, `label_only`. None is undefined. Nothing here changes the predictor or draws from a
global random state.
"""

import copy
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from bench import metrics, provenance
from bench.core import JSON, Cohort, Predictor
from bench.diagnose import parts
from bench.diagnose.parts import Items, View

if TYPE_CHECKING:
    from torch import nn

    from bench.nets.encoders import Batch

BATCHES, BATCH = 8, 256  # of training rows, for gradients
ETA = 0.01  # step of the task affinity

Truth: TypeAlias = Callable[[Cohort], pd.DataFrame]


def version() -> str:
    """Hash of the code that makes diagnostics. It is no part of a cell's identity, but is stored with what it made."""
    return str(provenance.code_version(*sorted(Path(__file__).parent.glob("*.py")))["code"])


def facts(predictor: Predictor, fitted_on: Cohort, held_out: Cohort, truth: Truth | None = None) -> dict[str, JSON]:
    """Everything that applies to this predictor; {} for one that is no network, or several (`stop=per_task`, one a task).

    truth: a cohort -> its planted factors (`shared`, `private:<task>`), a row per row; looked at by `recovery` alone.
    """
    from bench.diagnose import views
    from bench.train import NeuralPredictor, tensors

    if not isinstance(predictor, NeuralPredictor) or len({id(network) for network in predictor.networks}) > 1:
        return {}
    network = copy.deepcopy(predictor.networks[0])
    like, tasks = next(network.parameters()), held_out.task_names
    fit_batch, batch = (tensors(predictor.tokens(c.inputs), like.device, like.dtype) for c in (fitted_on, held_out))
    fit, view = views.view(network, fit_batch, tasks), views.view(network, batch, tasks)
    found = {"penalty": _penalty(predictor.facts), "spectrum": parts.spectra(view)}
    if view.parts:
        found |= {"cosine": parts.cosine(view), "angles": parts.angles(fit), **parts.alignments(view)}
        found |= {"redundancy": parts.redundancy(fit, view), "leakage": parts.leakage(fit, view, fitted_on, held_out)}
        found["ablation"] = _ablation(network, batch, fit, held_out)
    if truth is not None:
        found["recovery"] = parts.recovery(fit, view, truth(fitted_on), truth(held_out))
    found |= _pull(network, fit_batch, fitted_on)
    found["gates"] = parts.gate_use(views.gates(network, batch), tasks)
    return {name: _rounded(items) for name, items in found.items() if items}


def _penalty(known: Mapping[str, JSON]) -> Items:
    """The sharing block's own, unweighted, on validation rows, before and after training."""
    start, end = known.get("penalty_start"), known.get("penalty_end")
    return {"sharing": {"value": end, "start": start}} if isinstance(start, float) and isinstance(end, float) else {}


def _ablation(network: "nn.Module", batch: "Batch", fit: View, held_out: Cohort) -> Items:
    """AUROC of each task, and what it changes by when s, or the task's p_t, is its training mean for every patient."""
    from bench.diagnose import views

    means = [x.mean(axis=0) for x in fit.parts.values()]
    y, w = held_out.labels, held_out.loss_weights
    whole = views.scores(network, batch)
    dropped = [views.without(network, batch, which, mean) for which, mean in enumerate(means)]

    def row(t: int) -> dict[str, float]:
        full, no_s, no_p = (metrics.auroc(y[:, t], z[:, t], w[:, t]) for z in (whole, dropped[0], dropped[t + 1]))
        return {"auroc": full, "without_s": no_s - full, "without_p": no_p - full}

    return {task: row(t) for t, task in enumerate(held_out.task_names)}


def _pull(network: "nn.Module", batch: "Batch", cohort: Cohort) -> dict[str, Items]:
    """Gradient cosines and conflicts between tasks, and their affinity, means over fixed batches of training rows."""
    import torch

    from bench.diagnose import gradients
    from bench.train import take

    tasks, device = cohort.task_names, next(network.parameters()).device
    order = np.random.default_rng(0).permutation(len(cohort))[: BATCHES * BATCH]
    cosines, linear, affinities = [], [], []
    for rows in np.array_split(order, -(-len(order) // BATCH)):
        y = torch.tensor(np.nan_to_num(cohort.labels[rows]), device=device)
        w = torch.tensor(cohort.loss_weights[rows], device=device)
        part = take(batch, torch.tensor(rows, device=device))
        losses, g = gradients.task_gradients(network, part, y, w)
        cosines.append(gradients.cosines(g).cpu().numpy())
        linear.append(gradients.first_order(losses, g, ETA).cpu().numpy())
        affinities.append(gradients.affinity_of(network, part, y, w, ETA, losses, g).cpu().numpy())
    rho, z, first = (np.stack(each).astype(np.float64) for each in (cosines, affinities, linear))
    phi = pd.DataFrame(cohort.labels, columns=list(tasks)).corr().to_numpy()
    pairs = list(combinations(range(len(tasks)), 2))
    return {
        "gradients": {
            f"{tasks[t]} ~ {tasks[u]}": {
                "value": _mean(rho[:, t, u]), "conflicts": _mean((rho[:, t, u] < 0)[~np.isnan(rho[:, t, u])]), "label_phi": phi[t, u]
            }
            for t, u in pairs
        },
        "affinity": {
            f"{a} -> {b}": {"value": _mean(z[:, t, u]), "first_order": _mean(first[:, t, u])}
            for t, a in enumerate(tasks) for u, b in enumerate(tasks)
        },
    }  # fmt: skip


def _mean(values: Any) -> float:
    """Over the batches where it is defined."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _rounded(items: Items) -> dict[str, dict[str, float | None]]:
    """Six digits; NaN as None."""
    return {item: {name: float(f"{v:.6g}") if np.isfinite(v) else None for name, v in row.items()} for item, row in items.items()}
