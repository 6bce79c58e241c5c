"""Any torch module as a method, in a file; the files and the run are those of the docs page."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import cells, inside
from scipy.special import expit
from torch import Tensor, nn

import bench
from bench import cards, registry
from bench.core import BenchError, Cohort, Run
from bench.nets.batches import tensors
from bench.wrap import torch_method

PAGE = (Path(bench.__file__).parent / "docs" / "sklearn.md").read_text("utf-8")
MLP = "sklearn:estimator=neural_network.MLPClassifier:hidden_layer_sizes=8+4:max_iter=5"
FILES = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "write_text" in code]


class Net(nn.Module):
    """width: of what it shares."""

    def __init__(self, inputs: int, outputs: int, width: int = 4, dropout: float = 0.5, words: str = "flat") -> None:
        super().__init__()
        self.outputs, self.words = outputs, words
        self.one = nn.Linear(inputs, outputs * (width if words == "wide" else 1))

    def forward(self, h: Tensor) -> Tensor:
        z = self.one(h)
        return {"flat": z, "wide": z.unflatten(1, (self.outputs, -1)), "wrong": z[:, :1]}[self.words]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the page's files, and a run of them in worker processes."""
    folder = tmp_path_factory.mktemp("own")
    for code in FILES:
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    methods = "./my_net.py,./my_net.py:width=8:net_dropout=0:inputs=columns,./my_trees.py:max_depth=2," + MLP
    done = inside(folder, "--quick", "--dataset", "surgical:n=300", "--methods", methods, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_files_of_ones_own_run_in_worker_processes(folder: Path) -> None:
    found = cells(folder)
    assert {cell["status"] for cell in found} == {"done"}
    labels = {"my_net", "my_net:inputs=columns:width=8:net_dropout=0.0", "my_trees:max_depth=2", MLP}
    assert {cell["method"] for cell in found} == labels


def test_the_card_of_a_file_lists_its_settings(folder: Path) -> None:
    text = cards.card(str(folder / "my_net.py")).text()
    assert re.search(r"^  width = 32 +int +of the hidden layers", text, re.M)
    assert re.search(r"^  net_dropout = 0.1 +float", text, re.M)
    assert re.search(r"^  dropout = 0.2 +float", text, re.M)
    assert re.search(
        r"^  max_depth = 4 +int +The maximum depth of the tree", cards.card(str(folder / "my_trees.py")).text(), re.M
    )


def test_settings_are_the_modules_and_every_networks() -> None:
    made = torch_method(Net, width=7, lr=0.02)
    method: Any = made(net_dropout=0.25)
    assert (method.width, method.lr, method.net_dropout, method.dropout, method.words) == (7, 0.02, 0.25, 0.2, "flat")


def split(cohort: Cohort) -> tuple[Cohort, Cohort]:
    return cohort.rows(np.arange(300)), cohort.rows(np.arange(300, 400))


def test_logits_are_the_modules_with_the_prevalence_as_a_start(make_cohort: Callable[..., Cohort]) -> None:
    train, valid = split(make_cohort())
    method: Any = torch_method(Net, inputs="columns", epochs=1, lr=1e-12, average=0.0)()
    found = method.fit(train, valid, Run(seed=2))
    network = found.networks[0]
    x = network.encoder(tensors(found.tokens(valid.inputs), torch.device("cpu"), torch.float32)).numpy()
    one = network.sharing.net.one
    prevalence = np.nanmean(train.labels, axis=0)
    z = x @ one.weight.detach().numpy().T + one.bias.detach().numpy() + np.log(prevalence / (1 - prevalence))
    np.testing.assert_allclose(found.predict(valid.inputs), expit(z), atol=1e-5)


@pytest.mark.parametrize("words", ["flat", "wide"])
def test_a_module_learns(words: str, make_cohort: Callable[..., Cohort]) -> None:
    train, valid = split(make_cohort(signal=5.0))
    method: Any = torch_method(Net, words=words, lr=0.01, inputs="columns")()
    y, p = valid.labels[:, 0], method.fit(train, valid, Run()).predict(valid.inputs)[:, 0]
    assert p[y == 1].mean() - p[y == 0].mean() > 0.2


def test_an_outcome_without_labels_moves_nothing(make_cohort: Callable[..., Cohort]) -> None:
    train, valid = split(make_cohort())
    bare = replace(train, labels=np.where([False, False, True], np.nan, train.labels).astype(np.float32), digest="bare")
    weights = []
    for lr in (1e-12, 0.01):
        method: Any = torch_method(Net, inputs="columns", epochs=2, lr=lr, weight_decay=0.0, average=0.0)()
        weights.append(method.fit(bare, valid, Run(seed=1)).networks[0].sharing.net.one.weight.detach())
    assert torch.allclose(weights[0][2], weights[1][2], atol=1e-9)
    assert not torch.allclose(weights[0][:2], weights[1][:2], atol=1e-3)


class Normed(Net):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.norm = nn.BatchNorm1d(inputs)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: torch_method(Net, widht=3), r"unknown setting of Net 'widht'\. Did you mean 'width'\?"),
        (lambda: torch_method(nn.Linear(2, 2)), r"takes a class, as in torch_method\(Net\), but got the module Linear"),  # pyright: ignore[reportArgumentType]
        (lambda: torch_method(nn.ReLU), r"ReLU must take the number of inputs and of outputs first"),
        (lambda: torch_method(nn.Bilinear), r"'out_features' of Bilinear has no default\. Give it one"),
        (lambda: torch_method(Net, words="wrong")().check(["a", "b"]), r"Net must map \(rows, 64\) to \(rows, 2\), a logit an outcome, or to"),
        (lambda: torch_method(Normed)().check(["a", "b"]), r"Normed keeps running statistics .* Set average=0, or use LayerNorm\."),
        (lambda: torch_method(Net, heads=3)(), "fused must be a multiple of heads, but fused is 64 and heads 3"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Callable[[], object], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        call()


def test_a_changed_file_of_ones_own_package_is_another_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "site" / "own_nets_of_mine.py").write_text("from torch import nn\nclass Small(nn.Linear):\n    pass\n")
    (tmp_path / "plug.py").write_text(
        "from bench.wrap import torch_method\nfrom own_nets_of_mine import Small\nMETHOD = torch_method(Small)\n"
    )
    made: Any = registry.method(f"{tmp_path}/plug.py")
    assert [path.name for path in made.files] == ["own_nets_of_mine.py"]
    assert registry.settings(registry.parse("methods", f"{tmp_path}/plug.py")[0])["bias"] is True
