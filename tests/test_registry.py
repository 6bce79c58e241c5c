"""Ids, specs and settings: what a user may write, and what they are told when it is wrong."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench import harness, provenance, registry
from bench.core import BenchError
from bench.execute.luggage import Luggage


def test_ids_are_the_files() -> None:
    root = Path(__file__).parent.parent
    for kind in ("methods", "datasets"):
        assert registry.ids(kind) == sorted(p.stem for p in (root / kind).glob("[a-z]*.py"))


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_every_plug_in_says_what_it_is_in_its_first_line(kind: registry.Kind) -> None:
    for name, text in registry.about(kind).items():
        assert len(text.split("\n\n")[0]) > 20, name


def test_a_spec_keeps_only_what_differs_from_the_defaults() -> None:
    default, other = registry.parse("methods", "mmoe:experts=8,mmoe:experts=16")
    assert (default.label, other.label) == ("mmoe", "mmoe:experts=16")
    assert registry.settings(other)["experts"] == 16
    assert [s.label for s in registry.parse("methods", "mmoe,mmoe,mmoe:experts=8")] == ["mmoe"]
    adapters = {"sklearn"}  # ADAPTER = True: what they run is for their settings to say
    assert [s.id for s in registry.parse("methods", "all")] == [name for name in registry.ids("methods") if name not in adapters]


def test_fields_keep_their_order_in_the_label() -> None:
    one, two = (registry.parse("methods", t)[0] for t in ("mmoe:experts=4:lr=0.01", "mmoe:lr=1e-2:experts=4"))
    assert one == two
    assert hash(one) == hash(two)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mmeo", r"unknown method 'mmeo'\. Did you mean 'mmoe'\? There are: .*logistic, .*\."),
        ("mmoe:expert=4", r"unknown setting of 'mmoe' 'expert'\. Did you mean 'experts'\? There are: .*experts.*\."),
        ("mmoe:experts=many", r"setting 'experts' of 'mmoe': input should be a valid integer.*, but got 'many'"),
        ("mmoe:experts=0", r"setting 'experts' of 'mmoe': input should be greater than or equal to 1, but got '0'"),
        ("mmoe:experts", r"a setting of 'mmoe' reads field=value, but got 'experts'"),
        ("", r"no method given\. There are: .*logistic, .*\."),
        ("./nowhere.py", r"no such file: /.*nowhere\.py"),
        ("xgboost:rows=0", r"setting 'rows' of 'xgboost': input should be greater than 0, but got '0'"),
        ("mmoe:dropout=1", r"setting 'dropout' of 'mmoe': input should be less than 1, but got '1'"),
        ("ple:shared_experts=-1", r"setting 'shared_experts' of 'ple': input should be greater than or equal to 0, but got '-1'"),
    ],
)
def test_errors_name_the_rule_the_value_and_the_way_out(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        registry.parse("methods", text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mmoe:heads=3", "fused must be a multiple of heads, but fused is 64 and heads 3"),
        ("ple:task_experts=many", r"task_experts is one number or one a task \(2\+1\+...\), but got 'many'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_training(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        registry.method(text)


def test_two_methods_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "twin.py").write_text("class METHOD:\n    def fit(self): ...\n")
    with pytest.raises(BenchError, match=r"two methods are called 'twin': one is .*b/twin\.py\. Rename that file\."):
        registry.parse("methods", f"{tmp_path}/a/twin.py,{tmp_path}/b/twin.py")
    assert len(registry.parse("methods", "logistic,logistic")) == 1


def test_none_is_a_text_where_a_text_is_asked_for(tmp_path: Path) -> None:
    plug_in = tmp_path / "mine.py"
    plug_in.write_text(
        "class METHOD:\n    def __init__(self, mode: str = 'a', limit: float | None = 1.0): ...\n    def fit(self): ...\n"
    )
    assert registry.parse("methods", f"{plug_in}:mode=none:limit=None")[0].settings == {"mode": "none", "limit": None}


def test_unknown_dataset_and_dial() -> None:
    with pytest.raises(BenchError, match=r"unknown dataset 'surgicl'\. Did you mean 'surgical'\?"):
        registry.parse("datasets", "surgicl")
    with pytest.raises(BenchError, match=r"Did you mean 'relatedness'\?"):
        registry.parse("datasets", "surgical:relatednes=0.3")


PLUG_IN = '''"""A method of somebody else."""
from dataclasses import dataclass

@dataclass(frozen=True)
class Mine:
    depth: int = 3

    def fit(self, train, valid, run): ...

METHOD = Mine
'''


def test_a_file_is_a_method_and_is_told_apart_from_its_later_self(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUG_IN)
    spec = registry.parse("methods", f"{path}:depth=5")[0]
    assert (spec.id, spec.label) == ("mine", "mine:depth=5")
    assert registry.method(spec).depth == 5  # type: ignore[attr-defined]
    path.write_text(PLUG_IN.replace("= 3", "= 4"))
    assert registry.parse("methods", str(path))[0].sha256 != spec.sha256


def test_a_file_that_does_not_import_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import no_such_thing")
    with pytest.raises(BenchError, match=r"broken\.py cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'"):
        registry.parse("methods", str(path))
    path.write_text("METHOD = 3")
    with pytest.raises(BenchError, match=r"broken\.py must define `METHOD`, a class or a function"):
        registry.parse("methods", str(path))
    path.write_text("x = 1")
    with pytest.raises(BenchError, match=r"broken\.py must define `METHOD`"):
        registry.parse("methods", str(path))
    path.write_text("class Nofit:\n    tasks = 'any'\nMETHOD = Nofit")
    with pytest.raises(BenchError, match=r"broken\.py must have fit\(train, valid, run\) in its class Nofit, but has none"):
        registry.parse("methods", str(path))


def test_a_file_that_changes_while_a_run_is_under_way_is_not_taken_for_the_one_that_was_meant(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = folder / "mine.py"
    path.write_text(PLUG_IN + "# changes\n")
    spec = registry.parse("methods", str(path))[0]
    path.write_text(PLUG_IN.replace("= 3", "= 4"))
    assert registry.method(spec).depth == 3  # type: ignore[attr-defined]  # a process that has it keeps it
    del sys.modules[registry.loaded(spec).__name__]
    for load in (registry.method, lambda spec: Luggage(tmp_path)._copy(spec)):
        with pytest.raises(BenchError, match=r"mine\.py changed while the run was under way\. Start the run again\."):
            load(spec)


def test_listing_imports_no_plug_in() -> None:
    code = (
        "import sys; from bench.cli import main\n"
        "try: main(['methods'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'xgboost', 'sklearn'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(registry.ids("methods"))


def test_code_version_ignores_comments_and_sees_a_changed_number(tmp_path: Path) -> None:
    path = tmp_path / "m.py"

    def version(text: str) -> object:
        path.write_text(text)
        provenance._tree.cache_clear()
        provenance._imports.cache_clear()
        provenance._shape.cache_clear()
        return provenance.code_version(path)["code"]

    plain = version("def f():\n    return 1\n")
    assert version('"""Doc."""\n# comment\ndef f():\n    """Doc."""\n\n    return 1  # more\n') == plain
    assert version("def f():\n    return 2\n") != plain


def test_code_version_is_the_same_in_every_python(tmp_path: Path) -> None:
    """The syntax tree, written by hand as `ast.dump` of Python 3.11 does: 3.12 adds type_params=[] to a function and a class and, in some
    releases, an empty text after {x:{w}}; 3.13 leaves empty lists out.
    """
    path = tmp_path / "m.py"
    path.write_text('class A:\n    def f(x, w):\n        return f"{x:{w}}", None\n')
    body = (
        "Return(value=Tuple(elts=[JoinedStr(values=[FormattedValue(value=Name(id='x', ctx=Load()), conversion=-1, "
        "format_spec=JoinedStr(values=[FormattedValue(value=Name(id='w', ctx=Load()), conversion=-1)]))]), "
        "Constant(value=None)], ctx=Load()))"
    )
    arguments = "arguments(posonlyargs=[], args=[arg(arg='x'), arg(arg='w')], kwonlyargs=[], kw_defaults=[], defaults=[])"
    function = f"FunctionDef(name='f', args={arguments}, body=[{body}], decorator_list=[])"
    tree = f"Module(body=[ClassDef(name='A', bases=[], keywords=[], body=[{function}], decorator_list=[])], type_ignores=[])"
    assert provenance._shape(path) == f"m:{hashlib.sha256(tree.encode()).hexdigest()}"


def test_code_version_follows_imports_and_leaves_readers_of_results_out() -> None:
    paths = provenance._closure([registry.file(registry.parse("methods", "mmoe")[0])])
    names = {name for p in paths for name in (p.stem, p.parent.name)}
    assert {"mmoe", "train", "experts", "core"} <= names
    assert not {"stored", "stats", "bootstrap", "run", "screen", "sources", "cohorts"} & names
    versions = provenance.code_version(registry.file(registry.parse("methods", "lightgbm")[0]))["versions"]
    assert isinstance(versions, dict)
    assert "lightgbm" in versions
    assert "torch" not in versions


def test_cells_of_a_method_that_runs_on_another_know_its_code() -> None:
    def code(text: str) -> object:
        return harness.method_part(registry.parse("methods", text)[0])[0].identity["code"]

    assert code("noisy_or:base=xgboost") != code("noisy_or:base=lightgbm")
    assert code("single_task_wide:like=mmoe") != code("single_task_wide")
    assert code("mmoe:experts=3") == code("mmoe")
