"""Methods and datasets of installed packages: found, listed, run in worker processes, hashed; and what is said of those that fail."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from installed import METHOD, install, package

from bench import plugins, provenance, registry
from bench.core import BenchError

Installed = Callable[[Path], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Put a folder of packages on the path of this process."""

    def used(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        plugins.found.cache_clear()

    yield used
    monkeypatch.undo()
    plugins.found.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "my_pkg"]:
        del sys.modules[name]


def bench(folder: Path, *arguments: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """The command, in a process that has the packages of a folder."""
    places = os.pathsep.join([str(path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "bench", *arguments]
    environment = {**os.environ, "PYTHONPATH": places}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_a_package_s_method_and_dataset_run_in_worker_processes(tmp_path: Path) -> None:
    site = package(tmp_path / "site")
    options = ["--dataset", "ward9:n=150", "--methods", "my_net,my_deep:depth=5,logistic", "--quick", "--workers", "1"]
    done = bench(tmp_path, "run", *options, path=site)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("results/*/*/*/r*.json"))]
    assert {(cell["method"], cell["status"]) for cell in found} == {
        (m, "done") for m in ("my_net", "my_deep:depth=5", "logistic")
    }
    versions = {cell["method"]: cell["versions"].get("my-pkg") for cell in found}
    assert versions == {"my_net": "0.3", "my_deep:depth=5": "0.3", "logistic": None}


def test_they_are_read_without_being_imported(use: Installed, tmp_path: Path) -> None:
    use(package(tmp_path))
    assert registry.about("methods")["my_deep"] == "A deeper net of somebody else."
    assert registry.about("datasets")["ward9"] == "Patients of somebody else, a handful."
    assert (registry.origin("methods", "my_net"), registry.origin("methods", "mmoe")) == ("my-pkg 0.3", "bundled")
    assert registry.path("methods", "my_deep") == tmp_path / "my_pkg/deep/my_deep.py"
    assert "my_pkg" not in sys.modules
    assert registry.method("my_net:depth=4").depth == 4  # type: ignore[attr-defined]
    assert [spec.id for spec in registry.parse("methods", "all")] == registry.every("methods")
    assert {"my_net", "my_deep"} < set(registry.every("methods"))


def test_a_file_may_not_have_the_name_of_a_package_s_method_but_be_it(use: Installed, tmp_path: Path) -> None:
    use(package(tmp_path / "site"))
    (tmp_path / "my_net.py").write_text(METHOD)
    with pytest.raises(
        BenchError, match=r"my_net\.py has the name of a method 'my_net' of my-pkg 0\.3 \(my_pkg\.my_net\), so that"
    ):
        registry.parse("methods", str(tmp_path / "my_net.py"))


def test_the_hash_covers_what_a_plug_in_imports_of_its_own_package(use: Installed, tmp_path: Path) -> None:
    use(package(tmp_path))

    def codes() -> list[object]:
        for kept in (provenance._tree, provenance._imports, provenance._shape, provenance._relative):
            kept.cache_clear()
        return [provenance.code_version(registry.path("methods", name))["code"] for name in ("my_net", "my_deep", "logistic")]

    before = codes()
    changes = {
        "my_pkg/parts/layers.py": [True, True, False],  # imported relative by one, by its full name by the other
        "my_pkg/parts/__init__.py": [True, True, False],
        "my_pkg/__init__.py": [True, True, False],
        "my_pkg/deep/__init__.py": [False, True, False],
        "my_pkg/unused.py": [False, False, False],
    }
    for path, expected in changes.items():
        with (tmp_path / path).open("a") as file:
            file.write("\nMORE = 2\n")
        after = codes()
        assert [a != b for a, b in zip(after, before, strict=True)] == expected, path
        before = after
    assert plugins.code("numpy") == ""


def test_a_worker_of_a_cluster_with_other_code_of_a_package_is_told_apart(use: Installed, tmp_path: Path) -> None:
    remote = pytest.importorskip("bench.execute.remote", reason="needs distributed")
    use(package(tmp_path))
    here = remote.versions(["my-pkg"])
    assert re.fullmatch(r"0\.3 \(code [0-9a-f]{8}\)", here["my-pkg"])
    (tmp_path / "my_pkg/unused.py").write_text("X = 2\n")
    assert re.fullmatch(
        r"my-pkg 0\.3 \(code .{8}\) \(here 0\.3 \(code .{8}\)\)", remote.differing(here, remote.versions(["my-pkg"]))
    )


BROKEN = {
    "my_pkg/__init__.py": "",
    "my_pkg/wants.py": '"""Wants what is not there."""\nimport no_such_thing\n',
    "my_pkg/empty.py": '"""Defines nothing."""\n',
    "my_pkg/typo.py": "def METHOD(:\n",
    "my_pkg/fine.py": METHOD.format(about="Fine.", layers="my_pkg.f").replace("from my_pkg.f import FACTOR", "FACTOR = 0.1"),
}
ENTRIES = """[bench.methods]
wants = my_pkg.wants
empty = my_pkg.empty
typo = my_pkg.typo
gone = my_pkg.gone
attribute = my_pkg.fine:METHOD
mmoe = my_pkg.fine
fine = my_pkg.fine
"""
SAID = {
    "empty": "must define `METHOD`, a class or a function, but does not.",
    "wants": "cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'.",
    "typo": "cannot be imported: SyntaxError: invalid syntax (typo.py, line 1).",
    "gone": "is in a module that cannot be found.",
    "attribute": "must name a module, as in my_pkg.my_net, but names 'my_pkg.fine:METHOD'.",
    "mmoe": "has the name of a bundled method (",
}


def test_a_plug_in_that_cannot_be_used_is_a_line_and_never_absent(tmp_path: Path) -> None:
    site = install(tmp_path / "site", "my-pkg", "0.3", BROKEN, ENTRIES)
    listed = bench(tmp_path, "methods", path=site)
    assert listed.returncode == 1
    lines = {line.split()[0]: line for line in listed.stdout.splitlines()}
    assert lines["fine"].split() == ["fine", "my-pkg", "0.3", "Fine."]
    assert lines["mmoe"].split()[1] == "bundled"
    said = listed.stderr.splitlines()
    assert len(said) == len(SAID)
    for name, why in SAID.items():
        (line,) = [line for line in said if line.startswith(f"bench: method '{name}' of my-pkg 0.3 (my_pkg.")]
        assert why in line
        assert line.endswith(" Without it: pip uninstall my-pkg, or name others instead of all.")


def test_all_ends_with_the_plug_in_that_cannot_be_used(use: Installed, tmp_path: Path) -> None:
    use(install(tmp_path, "my-pkg", "0.3", BROKEN, ENTRIES.replace("attribute", "#")))
    with pytest.raises(BenchError, match=r"method '\w+' of my-pkg 0\.3 .*name others instead of all"):
        registry.parse("methods", "all")
    for name, why in SAID.items():
        if name != "attribute":
            with pytest.raises(BenchError) as error:
                registry.parse("methods", f"logistic,{name}")
            assert why in str(error.value)
    assert [spec.id for spec in registry.parse("methods", "fine,logistic")] == ["fine", "logistic"]


def test_two_packages_with_one_name_are_both_named(use: Installed, tmp_path: Path) -> None:
    package(tmp_path)
    use(install(tmp_path, "other", "1.0", {"other.py": METHOD}, "[bench.methods]\nmy_net = other\n"))
    with pytest.raises(BenchError) as error:
        registry.parse("methods", "my_net")
    assert all(name in str(error.value) for name in ("of my-pkg 0.3 (my_pkg.my_net)", "of other 1.0 (other)"))
    assert registry.parse("methods", "my_deep")[0].id == "my_deep"


@pytest.mark.parametrize("line", ["import helper", "from helper import x", "from .helper import x", "from . import helper"])
def test_a_file_that_needs_another_one_beside_it_is_told_so(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # as the current folder is with python -m
    (tmp_path / "helper.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text(f'"""Mine."""\n{line}\nMETHOD = int\n')
    with pytest.raises(
        BenchError, match=r"mine\.py imports '\.?helper', which lies beside it, but a method given by its path is one file"
    ):
        registry.parse("methods", str(tmp_path / "mine.py"))
