"""Imports point downward, the readers of results need no torch, and nothing heavy loads before it is wanted."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import what stands in a lower layer, or a sibling in its own package.
LAYERS = [
    {"core"},
    {
        "asjson",
        "toml",
        "checks",
        "registry",
        "plugins",
        "devices",
        "sources",
        "splits",
        "prep",
        "metrics",
        "bootstrap",
        "kernels",
        "jackknife",
        "meter",
        "store",
        "provenance",
        "recalibrate",
        "search",
        "trials",
    },
    {"stats", "nets", "losses", "balance", "draws", "suites", "cards", "cohorts", "protocol", "views", "external"},
    {"train", "pertask", "plans"},
    {"diagnose", "cells", "spaces", "wrap", "estimator"},
    {"tune"},
    {"jobs"},
    {"harness"},
    {"execute", "report", "claims", "pairs", "published"},
    {"lookup", "progress", "saved", "contract", "templates"},
    {"stored"},
    {"planning"},
    {"api", "publish", "doctor", "tracking"},
    {"cli"},
]
LEVEL = {name: i for i, layer in enumerate(LAYERS) for name in layer}
# Among L1 the order is this; recalibrate leans on nothing but core.
SIDEWAYS = {
    ("bootstrap", "metrics"),
    ("bootstrap", "kernels"),
    ("jackknife", "bootstrap"),
    ("jackknife", "kernels"),
    ("splits", "core"),
    ("splits", "registry"),
    ("checks", "core"),
    ("registry", "plugins"),
    ("provenance", "plugins"),
    ("prep", "sources"),  # vectors of notes are kept in the cache
}
PLUG_INS = {
    "methods": {"core", "registry", "search", "prep", "nets", "losses", "train", "pertask", "wrap", "recalibrate"},
    "datasets": {"core", "checks", "sources", "datasets"},
}


def imported(path: Path) -> set[str]:
    """Names of what a file imports from bench, first part only: bench.nets.experts -> nets."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "bench":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bench."):
            names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("bench.")}
    return names


def modules() -> list[tuple[str, Path]]:
    files = [p for p in (ROOT / "bench").rglob("*.py") if p.parent.name != "docs" and p.name != "__main__.py"]
    return [(p.relative_to(ROOT / "bench").parts[0].removesuffix(".py"), p) for p in files if p != ROOT / "bench/__init__.py"]


def test_every_module_of_bench_has_a_layer() -> None:
    assert {name for name, _ in modules()} == set(LEVEL)


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda x: x.stem if isinstance(x, Path) else x)
def test_imports_point_downward(name: str, path: Path) -> None:
    wrong = {i for i in imported(path) if i != name and i in LEVEL and LEVEL[i] >= LEVEL[name] and (name, i) not in SIDEWAYS}
    assert not wrong, f"{path.name} imports {wrong}"


@pytest.mark.parametrize("kind", sorted(PLUG_INS))
def test_plug_ins_see_only_their_rooms(kind: str) -> None:
    for path in (ROOT / kind).glob("*.py"):
        assert imported(path) <= PLUG_INS[kind], path.name


def test_the_engine_names_no_method_and_no_dataset() -> None:
    ids = {p.stem for kind in PLUG_INS for p in (ROOT / kind).glob("[a-z]*.py")} - {"xgboost", "lightgbm"}
    ids -= {"constant"}  # also the name of a fact
    for path in (p for p in (ROOT / "bench").rglob("*.py") if p.parent.name != "docs"):  # pages may name what they are about
        words = {
            n.value
            for n in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        }
        # defaults: the dataset shown first, the reference of every comparison, the yardstick of net benefit
        assert words & ids <= {"surgical", "single_task", "logistic"}, path


BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "xgboost", "lightgbm", "pytorch_tabnet"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
import bench.stats, bench.bootstrap, bench.metrics, bench.store, bench.report, bench.api
"""


def test_reading_results_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from bench.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pandas', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "run" in done.stdout
    assert done.stderr.strip() == "[]"
