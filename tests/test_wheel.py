"""The wheel works in a clean environment outside the checkout, also beside a package that is called datasets."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def call(*command: str | Path, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # which may lead to the checkout
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("bench", "methods", "datasets"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "made"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=out)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and a package `datasets`; its dependencies are those of the running one."""
    folder = tmp_path_factory.mktemp("clean")
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    call(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-compile", wheel, cwd=folder)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("owner = 'somebody else'\n")
    return python


def test_the_wheel_holds_the_suite_and_no_top_level_methods_or_datasets(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"bench"}
    inside = {p.relative_to(ROOT).as_posix() for p in (ROOT / "bench").rglob("*.py") if "docs" not in p.parts}
    inside |= {f"bench/{kind}/{p.name}" for kind in ("methods", "datasets") for p in (ROOT / kind).glob("*.py")}
    assert inside <= set(names)
    assert not [name for name in names if name.startswith("bench/docs/")]


def test_the_wheel_runs_beside_a_package_called_datasets(python: Path, tmp_path: Path) -> None:
    where = call(python, "-c", "import bench, datasets; print(bench.__file__, datasets.owner)", cwd=tmp_path)
    assert str(ROOT) not in where
    assert "somebody else" in where
    listed = call(python.with_name("bench"), "methods", cwd=tmp_path).splitlines()
    assert [line.split()[0] for line in listed] == sorted(p.stem for p in (ROOT / "methods").glob("[a-z]*.py"))
    options = ["--dataset", "surgical:n=400", "--methods", "logistic,hard_sharing", "--quick", "--workers", "1"]
    said = call(python, "-m", "bench", "run", *options, cwd=tmp_path)
    assert "[4/4]" in said
    assert (tmp_path / "reports" / "surgical_n=400-quick" / "table.md").exists()
