"""Suites: what stands in the bundled files, what is refused and in which words."""

from pathlib import Path

import pytest
from commands import inside
from tiny_suite import DIALS, TINY, written

from bench import api, claims, draws, registry, suites
from bench.balance import catalog
from bench.core import BenchError

# ---- the bundled files


def test_balancing_runs_every_balance_on_hard_sharing() -> None:
    _, suite = suites.load("balancing")
    assert isinstance(suite, suites.Comparison)
    specs = registry.parse("methods", ",".join(suite.methods))
    assert {spec.id for spec in specs} == {"hard_sharing"}
    names = [str(spec.settings.get("balance", "equal")).split("+")[0] for spec in specs]
    asked = "equal fixed uncertainty dwa famo imtl_l geometric_mean stch random cosmos pbi gradnorm pcgrad cagrad imtl_g nash_mtl aligned_mtl mgda"
    assert names == [
        *asked.split(),
        "upgrad",
        "config",
        "gradvac",
        "graddrop",
        "fairgrad",
        "dualproj",
        "excess_mtl",
        "random_gradient",
    ]
    assert set(names) == set(catalog.NAMES)
    assert registry.parse("methods", str(suite.reference))[0] in specs


def test_claims_hold_every_row_of_the_table_and_a_null_for_each_paper() -> None:
    _, suite = suites.load("claims")
    assert isinstance(suite, suites.Claims)
    assert suite.draws.count >= 20
    assert suite.draws.test == 20_000
    papers = {paper: [c for c in suite.claim if c.paper.startswith(paper)] for paper in ("OrthTD", "DFD", "Dense", "Shared")}
    assert sum(map(len, papers.values())) == len(suite.claim)
    for own in papers.values():
        assert {null.of for null in suite.null} & {claim.name for claim in own}
    curve = next(c for c in suite.claim if c.name == "shared-ahead")
    assert curve.train == (100, 300, 1000, 3000, 12430)
    bases = {c.method for c in papers["DFD"] if c.effect}
    assert {"dfd:base=hard_sharing", "dfd:base=mmoe", "dfd:base=orthtd"} <= bases
    assert all(c.train_site == "A" and c.test_site == "B" for c in papers["DFD"])
    # paper: +4.3 points of AP, +0.4 of AUROC; 86 / 38 = 2.263, 14.7 / 1.2 = 12.25, 0.261 / 0.143 = 1.825; DFD at least +1.65
    sizes = {c.name: c.effect for c in suite.claim}
    assert (sizes["orthtd-ap"], sizes["orthtd-auroc"], sizes["dfd-mmoe"]) == (0.043, 0.004, 0.0165)
    assert sizes["dense-rank"] == pytest.approx(86 / 38, abs=1e-3)
    assert sizes["dense-condition"] == pytest.approx(14.7 / 1.2)
    assert sizes["dense-windows"] == pytest.approx(0.261 / 0.143, abs=1e-3)


def test_patients_are_the_rivals_of_the_claims_with_repeats() -> None:
    _, suite = suites.load("patients")
    _, of_claims = suites.load("claims")
    assert isinstance(suite, suites.Comparison)
    assert isinstance(of_claims, suites.Claims)
    claimed = next(c for c in of_claims.claim if c.name == "orthtd-ap")
    assert {claimed.method, *claimed.against, "shared_encoder", "separate_encoders"} <= set(suite.methods)
    assert (suite.datasets, suite.reference) == (("nafld", "support2"), "orthtd")
    assert suite.protocol.repeats > 1


@pytest.mark.parametrize("quick", [False, True])
def test_every_spec_of_the_claims_can_be_made(quick: bool) -> None:
    _, suite = suites.load("claims")
    assert isinstance(suite, suites.Claims)
    cases = claims.cases(suite, quick=quick)
    for (dataset, protocol), methods in claims.needs(cases).items():
        cohort = draws.probe(dataset, protocol)
        for arm in (arm for case in cases for arm in case.arms if arm.dataset == dataset):
            task = arm.metric.partition(":")[2]
            assert not arm.metric.startswith(("ap:", "auroc:")) or task in cohort.task_names
        for method in methods:
            assert registry.method(method)
        if quick:
            assert (protocol.repeats, protocol.test, protocol.quick) == (2, 2000, True)
            assert protocol.train <= 1243


# ---- what is refused


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("paper", "papre", r"unknown key of claim\[0\] 'papre'\. Did you mean 'paper'\?"),
        ("count = 3", "cuont = 3", r"unknown key of draws 'cuont'\. Did you mean 'count'\?"),
        ("{ train = 200 }", "{ tarin = 200 }", r"unknown key of null\[0\]\.than 'tarin'\. Did you mean 'train'\?"),
        ("count = 3", "count = 1", r"draws\.count: input should be greater than or equal to 2"),
        ('of = "trees"', 'of = "tree"', r"unknown claim of null 'other-site' 'tree'\. Did you mean 'trees'\?"),
        ('name = "steps"', 'name = "trees"', r"every claim and null needs a name of its own, but 'trees' stands more than once"),
        ('"auroc"', '"aurok"', r"claim\[0\]\.metric: string should match pattern"),
        ("effect = 2", "effect = 0.5", r"claim\[1\]: effect must be above 1 where scale is ratio, but is 0\.5"),
        ("text =", "text", "is no TOML file"),
    ],
)
def test_a_mistake_in_a_suite_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(BenchError, match=said) as caught:
        suites.load(path)
    assert "\n" not in str(caught.value).replace(str(tmp_path), "").strip() or "TOML" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"logistic', '"logistc', r"unknown method 'logistc'\. Did you mean 'logistic'\?"),
        (DIALS, "surgical:seed=3", r"n and seed are set draw by draw, but 'surgical:seed=3' sets seed"),
        (DIALS, "support2", r"draws need a generator, a dataset with the dials n and seed, but the dials of 'support2'"),
        ('"auroc"', '"auroc:aky"', r"unknown outcome of '.*' 'aky'\. Did you mean 'aki'\?"),
        ("rows = 600", "rows = 500", r"needs 150 patients to learn from and 400 others to test on, but 500 rows are too few"),
        ('"B"', '"C"', r"unknown site of '.*' 'C'\. There are: A, B\."),
    ],
)
def test_a_suite_that_cannot_be_run_says_why(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = written(tmp_path, TINY.replace(old, new, 1))
    with pytest.raises(BenchError, match=said):
        api.run_suite(path, results=tmp_path / "results", reports=tmp_path / "reports", workers=0)


def test_unknown_suites_and_options_that_a_suite_sets_itself(tmp_path: Path) -> None:
    with pytest.raises(
        BenchError,
        match=r"unknown suite 'balncing'\. Did you mean 'balancing'\? There are: balancing, claims, pairs, patients, transfer\.",
    ):
        suites.load("balncing")
    with pytest.raises(BenchError, match=r"no such file: nowhere\.toml"):
        suites.load("nowhere.toml")
    said = inside(tmp_path, "--suite", "claims", "--methods", "mmoe", "--folds", "3")
    assert said.returncode == 1
    assert said.stderr.startswith(
        "bench: --suite says what is compared and how, so --methods and --folds cannot stand beside it."
    )
