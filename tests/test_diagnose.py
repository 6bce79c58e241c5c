"""Diagnostics of real small trainings: what `facts` says, when a cell has them, and the way to the screen."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commands import QUICK, inside
from filled import GUESS
from sklearn.metrics import roc_auc_score

import bench
from bench import diagnose, provenance, registry, stored
from bench.core import BenchError, Cohort, Run
from bench.diagnose import probes, views
from bench.report.sheet import Sheet
from bench.train import take, tensors

SURGICAL = registry.parse("datasets", "surgical:n=600")[0]
TRUTH = registry.loaded(SURGICAL).truth
METHODS = ("orthtd", "mmoe", "ple:levels=2", "hard_sharing")
PAIRS = ("cosine", "angles", "cka", "hsic")
SPLIT_ONLY = {"penalty", *PAIRS, "redundancy", "leakage", "ablation"}
COMMON = {"spectrum", "recovery", "gradients", "affinity"}
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def patients() -> tuple[Cohort, Cohort, Cohort]:
    """300 to fit, 100 to validate, 200 held out."""
    cohort, rows = registry.load(SURGICAL), np.arange(600)
    return cohort.rows(rows[:300]), cohort.rows(rows[300:400]), cohort.rows(rows[400:])


@pytest.fixture(scope="module")
def fitted(patients: tuple[Cohort, Cohort, Cohort]) -> Callable[[str], Any]:
    """Each method trained once, briefly."""
    kept: dict[str, Any] = {}

    def fit(text: str) -> Any:
        if text not in kept:
            kept[text] = registry.method(f"{text}:epochs=3").fit(patients[0], patients[1], Run(seed=1))
        return kept[text]

    return fit


@pytest.fixture(scope="module")
def found(fitted: Callable[[str], Any], patients: tuple[Cohort, Cohort, Cohort]) -> Callable[[str], dict[str, Any]]:
    """The diagnostics of each method, computed once."""
    kept: dict[str, Any] = {}

    def facts(text: str) -> Any:
        if text not in kept:
            kept[text] = diagnose.facts(fitted(text), patients[0], patients[2], TRUTH)
        return kept[text]

    return facts


# ---- facts


@pytest.mark.parametrize("method", METHODS)
def test_each_network_has_what_applies_to_it(method: str, found: Callable[[str], Any]) -> None:
    expected = COMMON | (SPLIT_ONLY if method == "orthtd" else set()) | ({"gates"} if method[:3] in ("mmo", "ple") else set())
    assert set(found(method)) == expected
    assert json.loads(json.dumps(found(method), allow_nan=False)) == found(method)
    assert len(json.dumps(found(method))) < 15_000


@pytest.mark.parametrize("method", METHODS)
def test_facts_repeat_and_leave_no_trace(method: str, fitted: Any, found: Any, patients: Any) -> None:
    predictor = fitted(method)
    weights = {name: p.clone() for name, p in predictor.networks[0].state_dict().items()}
    before = predictor.predict(patients[2].inputs), torch.get_rng_state(), np.random.get_state()[1].copy()
    assert diagnose.facts(predictor, patients[0], patients[2], TRUTH) == found(method)
    assert np.array_equal(predictor.predict(patients[2].inputs), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert np.array_equal(np.random.get_state()[1], before[2])
    assert all(torch.equal(weights[name], p) for name, p in predictor.networks[0].state_dict().items())
    assert not any(p.requires_grad for p in predictor.networks[0].parameters())


def test_what_is_no_network_or_several_has_none(fitted: Any, patients: Any) -> None:
    train, valid, test = patients
    for text in (GUESS, "single_task:epochs=1"):
        assert diagnose.facts(registry.method(text).fit(train, valid, Run(seed=1)), train, test, TRUTH) == {}
    one = fitted("hard_sharing")  # as `stop=per_task` leaves it when the tasks' best epochs differ
    several = replace(one, networks=[copy.deepcopy(one.networks[0]) for _ in test.tasks])
    assert diagnose.facts(several, train, test, TRUTH) == {}


def test_unknown_labels_and_no_truth(make_cohort: Callable[..., Cohort]) -> None:
    cohort, rows = make_cohort(weighted=True), np.arange(500)
    train, valid, test = cohort.rows(rows[:250]), cohort.rows(rows[250:350]), cohort.rows(rows[350:])
    facts = diagnose.facts(registry.method("orthtd:epochs=2").fit(train, valid, Run()), train, test)
    assert set(facts) == (COMMON - {"recovery"}) | SPLIT_ONLY
    assert not any(v is None for d in ("leakage", "gradients") for row in facts[d].values() for v in row.values())  # type: ignore[union-attr]


def test_one_task_alone(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(tasks=1)
    facts: Any = diagnose.facts(registry.method("orthtd:epochs=2").fit(cohort, cohort, Run()), cohort, cohort)
    assert set(facts["leakage"]) == {"p:outcome_0 -> outcome_0"}
    assert set(facts["affinity"]) == {"outcome_0 -> outcome_0"}
    assert "gradients" not in facts


def test_the_penalty_is_the_cosine_of_the_parts(fitted: Any, found: Any, patients: Any) -> None:
    made = fitted("orthtd").parts(patients[2].inputs)
    s, p = torch.tensor(made["shared"]), torch.tensor(made["specific"])
    expected = float(registry.module("methods", "orthtd").shared_task(s, p))
    own = [row["value"] for pair, row in found("orthtd")["cosine"].items() if pair.startswith("s ~")]
    assert np.mean(own) == pytest.approx(expected, rel=1e-4)
    assert found("orthtd")["cosine"]["s ~ p:aki"]["chance"] == 1 / 64
    assert found("orthtd")["penalty"]["sharing"]["start"] == pytest.approx(fitted("orthtd").facts["penalty_start"], rel=1e-5)


def test_ablation_is_the_network_with_the_mean_in_place_of_a_part(fitted: Any, found: Any, patients: Any) -> None:
    predictor, (train, _, test) = fitted("orthtd"), patients
    fit, held = (predictor.parts(c.inputs) for c in (train, test))
    heads = predictor.networks[0].heads
    y = test.labels[:, 2]

    def auroc(s: Array, p: Array) -> float:
        z = torch.cat([torch.tensor(s), torch.tensor(p)], dim=1) @ heads.weight[2] + heads.bias[2]
        return float(roc_auc_score(y, z.numpy()))

    s, p, rows = held["shared"], held["specific"][:, 2], (len(test), 1)
    full = auroc(s, p)
    row = found("orthtd")["ablation"]["aki"]
    assert row["auroc"] == pytest.approx(full, abs=1e-5)
    assert row["without_s"] == pytest.approx(auroc(np.tile(fit["shared"].mean(0), rows), p) - full, abs=1e-5)
    assert row["without_p"] == pytest.approx(auroc(s, np.tile(fit["specific"][:, 2].mean(0), rows)) - full, abs=1e-5)


def test_probes_of_the_parts_and_of_the_fused_vector(fitted: Any, found: Any, patients: Any) -> None:
    network, (train, _, test) = fitted("orthtd").networks[0], patients
    batches = [tensors(fitted("orthtd").tokens(c.inputs), "cpu") for c in (train, test)]
    fit, held = (views.view(copy.deepcopy(network), batch, test.task_names) for batch in batches)
    row = found("orthtd")["leakage"]["p:pulmonary -> aki"]
    sources = {"value": [v.parts["p:pulmonary"] for v in (fit, held)], "from_s": [v.parts["s"] for v in (fit, held)]}
    for measure, (x, z) in (sources | {"from_h": [fit.fused, held.fused]}).items():
        expected = roc_auc_score(test.labels[:, 2], probes.probe(x, train.labels[:, 2], z))
        assert row[measure] == pytest.approx(expected, abs=1e-4)
    expected = probes.explained(fit.parts["s"], fit.parts["p:aki"], held.parts["s"], held.parts["p:aki"])
    assert found("orthtd")["redundancy"]["s -> p:aki"]["value"] == pytest.approx(expected, rel=1e-4)


def test_cosines_and_conflicts_are_means_over_batches(fitted: Any, found: Any, patients: Any) -> None:
    train, tasks = patients[0], patients[0].task_names
    network, data = (
        copy.deepcopy(fitted("hard_sharing").networks[0]).eval(),
        tensors(fitted("hard_sharing").tokens(patients[0].inputs), "cpu"),
    )
    shared = [p.requires_grad_() for name, p in network.named_parameters() if not name.startswith("heads")]
    rho = []
    for rows in np.array_split(np.random.default_rng(0).permutation(300), 2):  # 256 a batch at most
        z, y = network(take(data, torch.tensor(rows))), torch.tensor(train.labels[rows])
        losses = torch.nn.functional.binary_cross_entropy_with_logits(z, y, reduction="none").mean(0)
        g = [torch.cat([x.flatten() for x in torch.autograd.grad(loss, shared, retain_graph=True)]) for loss in losses]
        rho.append(torch.nn.functional.cosine_similarity(torch.stack(g)[:, None], torch.stack(g), dim=2).numpy())
    for pair, row in found("hard_sharing")["gradients"].items():
        t, u = (tasks.index(name) for name in pair.split(" ~ "))
        assert row["value"] == pytest.approx(np.mean(rho, axis=0)[t, u], abs=1e-4)
        assert row["conflicts"] == np.mean([r[t, u] < 0 for r in rho])
        assert row["label_phi"] == pytest.approx(np.corrcoef(train.labels[:, t], train.labels[:, u])[0, 1], abs=1e-5)


def test_gates_of_a_real_network(fitted: Any, found: Any, patients: Any) -> None:
    network = copy.deepcopy(fitted("mmoe").networks[0]).eval()
    with torch.no_grad():
        network(tensors(fitted("mmoe").tokens(patients[2].inputs), "cpu"))
    weights, rows = network.sharing.gates.weights, found("mmoe")["gates"]
    assert np.mean([row["entropy"] for row in rows.values()]) == pytest.approx(network.sharing.gates.entropy(), rel=1e-4)
    mean = weights[:, 2].mean(0).numpy()
    assert [rows["level 1: aki"][f"e{e}"] for e in range(8)] == pytest.approx(mean, rel=1e-4)
    assert rows["level 1: aki"]["experts"] == pytest.approx(np.exp(-(mean * np.log(mean)).sum()), rel=1e-4)
    ple = found("ple:levels=2")["gates"]  # 4 tasks x 2 own experts and 2 shared; the shared gate sees all ten
    assert (ple["level 1: aki"]["of"], ple["level 1: shared"]["of"], "level 2: shared" in ple) == (4, 10, False)
    assert [e for e in range(10) if ple["level 1: aki"][f"e{e}"] is not None] == [4, 5, 8, 9]


def test_views_do_not_depend_on_chunks(fitted: Any, patients: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = tensors(fitted("orthtd").tokens(patients[2].inputs), "cpu")
    whole = views.view(fitted("orthtd").networks[0], batch, patients[2].task_names)
    monkeypatch.setattr(views, "CHUNK", 33)
    parted = views.view(fitted("orthtd").networks[0], batch, patients[2].task_names)
    np.testing.assert_allclose(parted.parts["p:aki"], whole.parts["p:aki"], atol=1e-5)


# ---- the way into a cell and to the screen

RUN: Any = {"dataset": "surgical:n=600", "folds": 2, "workers": 0, "quick": True, "seed": 1, "shard": "1/1"}  # no report
BOTH = f"{GUESS},orthtd:epochs=2,hard_sharing:epochs=2,orthtd:epochs=2:weight=0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """First a run without diagnostics, then the same with."""
    made = tmp_path_factory.mktemp("diagnosed")
    where = {"results": made / "results", "reports": made / "reports"}
    bench.run(methods=BOTH, **RUN, **where)
    bare = {p: p.read_bytes() for p in made.glob("results/*/*/*/r*.parquet")}
    with pytest.raises(
        BenchError,
        match=r"no diagnostics stored of .* `bench run --dataset surgical:n=600 --methods .* --quick --seed 1 --diagnose`",
    ):
        stored.diagnostics("surgical:n=600", quick=True, **where)
    bench.run(methods=BOTH, diagnose=True, **RUN, **where)
    assert {p: p.read_bytes() for p in made.glob("results/*/*/*/r*.parquet")} == bare  # the same cells, the same predictions
    return made


def records(folder: Path) -> dict[Path, tuple[int, dict[str, Any]]]:
    return {p: (p.stat().st_mtime_ns, json.loads(p.read_text())) for p in sorted(folder.glob("results/*/*/*/r*.json"))}


def test_a_cell_without_diagnostics_is_missing_only_if_they_are_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, where = records(folder), {"results": folder / "results", "reports": folder / "reports"}
    assert len(before) == 8
    assert all(record["diagnosed_by"] == diagnose.version() for _, record in before.values())
    assert all(set(record["facts"]["diagnosis"]) for _, record in before.values() if record["method"] != "guess")
    assert all(record["facts"]["diagnosis"] == {} for _, record in before.values() if record["method"] == "guess")
    bench.run(methods=BOTH, diagnose=True, **RUN, **where)
    bench.run(methods=BOTH, **RUN, **where)
    assert records(folder) == before
    monkeypatch.setattr(diagnose, "version", lambda: "of another day")
    shutil.copytree(folder / "results", folder / "copy")
    one = {**where, "results": folder / "copy"}
    bench.run(methods="hard_sharing:epochs=2", diagnose=True, **RUN, **one)
    made = [json.loads(p.read_text())["diagnosed_by"] for p in folder.glob("copy/*/hard_sharing*/*/r*.json")]
    assert made == ["of another day"] * 2


def test_diagnostics_are_no_part_of_a_cells_identity() -> None:
    harness = Path(bench.__file__).with_name("harness.py")
    closure = provenance._closure([harness, registry.file(registry.parse("methods", "orthtd")[0])])
    assert {"harness.py", "train.py", "orthtd.py"} <= {p.name for p in closure}
    assert not {p for p in closure if p.parent.name == "diagnose"}
    assert diagnose.version() != ""


WITHOUT_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
from bench.cli import main
main(["diagnose", "--quick", "--dataset", "surgical:n=600"])
"""


def test_the_screen_needs_no_torch_and_shows_a_method_beside_its_variants(folder: Path) -> None:
    wide = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=folder, capture_output=True, text=True, check=False, env=wide
    )
    assert done.returncode == 0, done.stderr
    for title in ("AUROC of a linear probe", "R2 of the planted factors", "Gradients of two tasks", "Linear CKA"):
        assert title in done.stdout
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert lines[lines.index("orthtd:epochs=2") + 1] == "orthtd:epochs=2:weight=0.0"
    assert "No diagnostic applies to guess." in done.stdout
    assert done.stdout.splitlines()[-1] == "Written to reports/surgical_n=600-quick/diagnostics.csv"


def shown(folder: Path, methods: str | None = None, full: bool = False) -> Sheet:
    found = stored.diagnostics(
        "surgical:n=600", methods, results=folder / "results", reports=folder / "reports", full=full, quick=True
    )
    assert list(found) == [folder / "reports" / "surgical_n=600-quick"]
    return next(iter(found.values())).sheet


def test_for_programs_the_screen_is_the_whole_table(folder: Path) -> None:
    done = inside(folder, *QUICK, "--json", verb="diagnose")
    (told,) = json.loads(done.stdout)
    assert (told["dataset"], told["file"]) == ("surgical:n=600", "reports/surgical_n=600-quick/diagnostics.csv")
    written = pd.read_csv(folder / told["file"])
    assert len(told["table"]) == len(written) > 100
    assert [row["value"] for row in told["table"]] == pytest.approx(written["value"].to_list(), rel=1e-5, nan_ok=True)


def test_one_method_alone_is_named_in_the_titles(folder: Path) -> None:
    sheet = shown(folder, "hard_sharing:epochs=2")
    assert [block.title.split(": ", 1)[1] for block in sheet.blocks][
        -1
    ] == "share of u's loss that a step for t takes away: hard_sharing:epochs=2"
    assert {row.name for row in sheet.blocks[0].rows()} == {"h"}


def test_the_file_holds_means_over_cells_of_every_item(folder: Path) -> None:
    sheet = shown(folder)
    assert {row.name for block in sheet.blocks for row in block.rows()} == {
        "orthtd:epochs=2",
        "hard_sharing:epochs=2",
        "orthtd:epochs=2:weight=0.0",
    }
    frame = pd.read_csv(folder / "reports" / "surgical_n=600-quick" / "diagnostics.csv")
    assert list(frame.columns) == ["method", "diagnostic", "item", "measure", "value", "sd", "cells"]
    assert set(frame["diagnostic"]) == COMMON | SPLIT_ONLY
    own = [record["facts"]["diagnosis"] for _, record in records(folder).values() if record["method"] == "orthtd:epochs=2"]
    cells = [found["leakage"]["p:aki -> pulmonary"]["within"] for found in own]
    row = frame.query("method == 'orthtd:epochs=2' and item == 'p:aki -> pulmonary' and measure == 'within'").iloc[0]
    assert row["value"] == pytest.approx(np.mean(cells), rel=1e-5)
    assert row["sd"] == pytest.approx(np.std(cells, ddof=1), rel=1e-4)
    assert row["cells"] == 2
    block = next(block for block in sheet.blocks if block.title.startswith("Linear CKA"))
    pairs = [row["value"] for found in own for pair, row in found["cka"].items() if pair.startswith("s ~")]
    assert float(block.groups[0][1][0].entries[0].value) == pytest.approx(np.mean(pairs), abs=5e-4)


def test_the_sheet_has_means_and_in_full_every_pair_of_outcomes(folder: Path) -> None:
    short, full = ({block.title: block for block in shown(folder, full=full).blocks} for full in (False, True))
    title = "AUROC of a linear probe p_t -> y_u"
    names = ["p:any_complication", "p:pulmonary", "p:aki", "p:icu_admission"]
    items = [f"{p} -> {y.removeprefix('p:')}" for p in names for y in names]
    assert [name for name, _ in full[title].groups] == items
    assert [name for name, _ in short[title].groups] == ["p_t -> y_t", "p_t -> y_u"]
    values = {name: float(rows[0].entries[0].value) for name, rows in full[title].groups}
    own = [item for item in items if item.removeprefix("p:").split(" -> ")[0] == item.split(" -> ")[1]]
    means = [np.mean([values[i] for i in own]), np.mean([values[i] for i in items if i not in own])]
    assert [float(rows[0].entries[0].value) for _, rows in short[title].groups] == pytest.approx(means, abs=1e-3)


def test_what_lacks_diagnostics_is_named(folder: Path) -> None:
    with pytest.raises(BenchError, match=r"^guess on 'surgical:n=600': no diagnostic applies"):
        shown(folder, "guess")
    bench.run(methods="mmoe:epochs=2", **RUN, results=folder / "results", reports=folder / "reports")
    warned = shown(folder, "mmoe:epochs=2,orthtd:epochs=2").warnings[-1]
    assert warned.startswith(
        "no diagnostics stored of mmoe:epochs=2; `bench run --dataset surgical:n=600 --methods mmoe:epochs=2 --quick --seed 1 "
    )
