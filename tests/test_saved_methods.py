"""Models of a user's own file: networks, scikit-learn estimators and plain classes are kept; the file itself is not, and is asked for."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from new_patients import cohort, new

import bench
from bench import registry, saved
from bench.cli import main
from bench.core import BenchError, Run

NETWORK = """
from dataclasses import dataclass
import torch
from torch import nn
from torch.nn import functional
from bench.train import NeuralMethod

class Recurrent(nn.Module):
    def __init__(self, d, tasks):
        super().__init__()
        self.width, self.tasks, self.act, self.dtype = 8, tasks, functional.gelu, torch.float32
        self.gru, self.norm, self.sizes = nn.GRU(d, 8), nn.BatchNorm1d(8), {1: (2, 3)}
    def forward(self, h):
        return self.norm(self.act(self.gru(h)[0]))[:, None].expand(-1, self.tasks, -1)

@dataclass(frozen=True, kw_only=True)
class Mine(NeuralMethod):
    def sharing(self, d, tasks):
        return Recurrent(d, tasks)

METHOD = Mine
"""
ESTIMATORS = """
from dataclasses import dataclass
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from bench import prep
from bench.pertask import fit_per_task

KINDS = {
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=5),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3),
    "trees": lambda: ExtraTreesClassifier(3),
    "pipeline": lambda: make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()),
    "bayes": GaussianNB,
    "network": lambda: MLPClassifier((4,), max_iter=9),
    "vectors": SVC,
    "neighbours": KNeighborsClassifier,
}

class Fitted:
    parameters, steps, at_cap, scores = 1, 1, False, ()
    def __init__(self, estimator):
        self.estimator = estimator
    def predict(self, x):
        if not hasattr(self.estimator, "predict_proba"):
            return 1 / (1 + 2.718281828 ** -self.estimator.decision_function(x))
        return self.estimator.predict_proba(x)[:, 1]

@dataclass(frozen=True, kw_only=True)
class Mine:
    kind: str = "bayes"
    def fit(self, train, valid, run):
        learn = lambda data, held_out: Fitted(KINDS[self.kind]().fit(data.x, data.y))
        return fit_per_task(prep.linear(train), train, valid, run, learn)

METHOD = Mine
"""
KEEPS = {"vectors": "support_vectors_", "neighbours": "_fit_X"}
ODD = """
import threading
import numpy as np

class Fitted:
    facts = {}
    def __init__(self, tasks):
        self.tasks, self.held = tasks, {"lock": threading.Lock()}
    def predict(self, inputs):
        return np.full((len(inputs), self.tasks), 0.5)

class Mine:
    def fit(self, train, valid, run):
        return Fitted(len(train.tasks))

METHOD = Mine
"""


def written(folder: Path, text: str) -> str:
    (folder / "mine.py").write_text(text)
    return str(folder / "mine.py")


def same(method: str, folder: Path, keeps: str = "") -> None:
    """keeps: the attribute of an outcome's classifier that holds training rows."""
    model = bench.fit(method, cohort(120), quick=True)
    back = bench.load_model(model.save(folder))
    kept = (
        max((len(np.unique(getattr(one.estimator, keeps), axis=0)) for one in model.predictor.models), default=0) if keeps else 0
    )
    assert (saved.kept_rows(folder), back.notices) == (kept, tuple(saved.rows.said(kept)))
    assert bool(kept) == bool(keeps)
    np.testing.assert_array_equal(back.predict(new()), model.predict(new()))


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    same(written(tmp_path, NETWORK), tmp_path / "model")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["histogram", "boosting", "trees", "pipeline", "bayes", "network", *KEEPS])
def test_estimators_of_scikit_learn(kind: str, tmp_path: Path) -> None:
    same(f"{written(tmp_path, ESTIMATORS)}:kind={kind}", tmp_path / "model", KEEPS.get(kind, ""))


def test_rows_kept_are_said_when_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "sklearn:estimator=neighbors.KNeighborsClassifier", "--dataset", "surgical:n=100", "--quick"]
    with pytest.raises(SystemExit) as ended:
        main(["fit", *words, "--out", str(tmp_path / "model")])
    # 15 % of 100 patients validate; the 85 others, whose outcomes are all known, are the model
    assert ended.value.code == 0
    assert "note: the model holds 85 rows of its training patients" in capsys.readouterr().out


def test_what_cannot_be_kept_is_said_with_its_place(tmp_path: Path) -> None:
    model = bench.fit(written(tmp_path, ODD), cohort(120), quick=True)
    with pytest.raises(
        BenchError, match=r"'mine' cannot be saved: model.held.lock is a _thread.lock, which is none of the kinds"
    ):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_file_is_found_at_its_place_or_asked_for(tmp_path: Path) -> None:
    file = Path(written(tmp_path, ESTIMATORS))
    folder = bench.fit(str(file), cohort(120), quick=True).save(tmp_path / "model")
    assert not [path for path in folder.iterdir() if path.suffix == ".py"]
    moved = shutil.move(file, tmp_path / "moved.py")
    with pytest.raises(BenchError, match=r"a model of 'mine', whose file is not at .*mine.py. Give it: --method-file mine.py"):
        bench.load_model(folder)
    assert len(bench.load_model(folder, method_file=moved).predict(new())) == 40
    file.write_text(ESTIMATORS + "\nraise SystemExit('it was run')\n")
    with pytest.raises(BenchError, match=r"is not the file that the model of .* was fitted with: its sha256 is another"):
        bench.load_model(folder)
    with pytest.raises(BenchError, match=r"--method-file is for methods of files"):
        bench.load_model(bench.fit("constant", cohort(120)).save(tmp_path / "constant"), method_file=moved)


def test_any_fitted_predictor_becomes_a_model(tmp_path: Path) -> None:
    # as an estimator does, that fits a method on rows of its own making
    rows = cohort(120)
    predictor = registry.method("logistic").fit(rows, rows, Run(quick=True))
    folder = saved.of(predictor, "logistic", rows).save(tmp_path / "model")
    np.testing.assert_array_equal(bench.load_model(folder).predict(new()), predictor.predict(new()))


def test_two_fits_with_a_seed_are_one_model(tmp_path: Path) -> None:
    first, second = (bench.fit("xgboost:rounds=5", cohort(120), seed=3).save(tmp_path / name) for name in "ab")
    assert {p.name: p.read_bytes() for p in first.iterdir()} == {p.name: p.read_bytes() for p in second.iterdir()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "xgboost,logistic"}, "a model is of one method, but got 2"),
        ({"method": "xgbost"}, "Did you mean 'xgboost'"),
        ({"method": "constant", "outcomes": "akl"}, "Did you mean 'aki'"),
        ({"method": "constant", "text": "minlm"}, "did you mean minilm"),
        ({"method": "constant", "seed": -1}, "seed must be 0 or more"),
        ({"method": "constant", "device": "cuda:9"}, "device must be auto or one of what is here"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, object], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        bench.fit(dataset=cohort(120), **options)  # pyright: ignore[reportArgumentType]
