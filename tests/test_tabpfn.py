"""What tabpfn declines and in which words, and how it calls the package.

The real package needs a licence and a download, so a small one stands in for it on sys.path, with the documented interface of
TabPFN 9: `TabPFNClassifier(*, n_estimators, categorical_features_indices, model_path, device, random_state,
ignore_pretraining_limits, ...)`, `fit(X, y) -> self`, `predict_proba(X) -> (n, classes)`, `errors.TabPFNLicenseError`. It fits a
logistic regression, takes missing values as TabPFN does, and writes its arguments down.
"""

import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import prep, registry
from bench.core import Cohort, Run, Unsupported
from bench.pertask import Data

STAND_IN = """
import os
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from . import errors

CALLS = []


class TabPFNClassifier:
    def __init__(self, *, n_estimators="auto", categorical_features_indices=None, model_path="auto", device="auto",
                 ignore_pretraining_limits=False, random_state=0):
        self.made = locals()

    def fit(self, X, y):
        if self.made["model_path"] == "auto" and os.environ["TABPFN_TOKEN"] == "expired":
            raise errors.TabPFNLicenseError("TabPFN requires a one-time license acceptance")
        assert not np.isnan(y).any() and len(X) == len(y)
        CALLS.append({**self.made, "X": X, "y": y, "telemetry": os.environ.get("TABPFN_DISABLE_TELEMETRY")})
        self.classes_ = np.unique(y)
        steps = SimpleImputer(keep_empty_features=True), StandardScaler(), LogisticRegression(max_iter=500)
        self.model = make_pipeline(*steps).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.model.predict_proba(X)
"""
ERRORS = "class TabPFNError(Exception):\n    pass\n\n\nclass TabPFNLicenseError(TabPFNError):\n    pass\n"
tabpfn = registry.module("methods", "tabpfn")


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, an empty cache, and no way out."""
    for name in ("TABPFN_TOKEN", "TABPFN_NO_BROWSER", "TABPFN_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # what the fit sets is undone with it
        monkeypatch.delenv(name)
    monkeypatch.setenv("TABPFN_MODEL_CACHE_DIR", str(tmp_path / "cache"))

    def refuse(*_: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The package is there; gives what it was called with."""
    folder = tmp_path / "site" / "tabpfn"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(STAND_IN)
    (folder / "errors.py").write_text(ERRORS)
    monkeypatch.syspath_prepend(str(folder.parent))
    kept = {name: sys.modules.pop(name) for name in [*sys.modules] if name.split(".")[0] == "tabpfn"}
    yield lambda: sys.modules["tabpfn"].CALLS
    for name in [name for name in sys.modules if name.split(".")[0] == "tabpfn"]:
        del sys.modules[name]
    sys.modules.update(kept)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabpfn, "find_spec", lambda name: None)


def cached(tmp_path: Path, *names: str) -> None:
    (tmp_path / "cache").mkdir()
    for name in names:
        (tmp_path / "cache" / name).touch()


def fitted(cohort: Cohort, spec: str = "tabpfn") -> Any:
    return registry.method(spec).fit(cohort.rows(np.arange(200)), cohort.rows(np.arange(200, 250)), Run(seed=3))


@pytest.mark.usefixtures("absent")
def test_without_the_package_it_declines(make_cohort: Callable[..., Cohort]) -> None:
    cohort = make_cohort(n=300)
    with pytest.raises(Unsupported, match=r"a package that is not installed: pip install -e '\.\[tabpfn\]'"):
        fitted(cohort)


@pytest.mark.usefixtures("package")
def test_without_weights_and_token_it_declines(tmp_path: Path, make_cohort: Callable[..., Cohort]) -> None:
    cached(tmp_path, "tabpfn-v3-regressor-v3_default.ckpt", "auth_token")
    with pytest.raises(Unsupported, match="holds none and TABPFN_TOKEN is not set: accept the licence at https"):
        fitted(make_cohort(n=300))
    assert "tabpfn" not in sys.modules  # not even imported


@pytest.mark.usefixtures("package")
def test_weights_that_are_no_file_are_declined(make_cohort: Callable[..., Cohort]) -> None:
    with pytest.raises(Unsupported, match=r"needs its weights, but .no\.ckpt. is no file"):
        fitted(make_cohort(n=300), "tabpfn:weights=no.ckpt")


@pytest.mark.usefixtures("package")
def test_a_token_without_the_licence_is_declined(monkeypatch: pytest.MonkeyPatch, make_cohort: Callable[..., Cohort]) -> None:
    monkeypatch.setenv("TABPFN_TOKEN", "expired")
    with pytest.raises(Unsupported, match="needs the licence of its weights, which the token does not hold: accept the licence"):
        fitted(make_cohort(n=300))


@pytest.mark.parametrize(
    ("token", "files", "path"),
    [
        ("valid", (), "auto"),
        ("", ("tabpfn-v2-classifier.ckpt", "tabpfn-v3-classifier-v3_default.ckpt"), "tabpfn-v3-classifier-v3_default.ckpt"),
        ("", ("tabpfn-v3-classifier-v3_default.ckpt", "tabpfn-v3.5-20260909.safetensors"), "tabpfn-v3.5-20260909.safetensors"),
        ("valid", ("tabpfn-v2.5-classifier-v2.5_real.ckpt",), "tabpfn-v2.5-classifier-v2.5_real.ckpt"),
    ],
)
def test_weights_in_the_cache_come_before_a_download(
    token: str, files: tuple[str, ...], path: str, tmp_path: Path, package: Any, monkeypatch: pytest.MonkeyPatch,
    make_cohort: Callable[..., Cohort],
) -> None:  # fmt: skip
    cached(tmp_path, *files)
    monkeypatch.setenv("TABPFN_TOKEN", token)
    predictor = fitted(make_cohort(n=300))
    assert predictor.facts["weights"] == path
    assert {call["model_path"] for call in package()} == {path if path == "auto" else str(tmp_path / "cache" / path)}


def test_one_fit_an_outcome_on_raw_columns(tmp_path: Path, package: Any, make_cohort: Callable[..., Cohort]) -> None:
    weights = tmp_path / "own.ckpt"
    weights.touch()
    cohort = make_cohort(n=300, missing_labels=0.3)
    predictor = fitted(cohort, f"tabpfn:weights={weights}:members=4:rows=60")
    train, test = cohort.rows(np.arange(200)), cohort.rows(np.arange(250, 300))
    flat = prep.flatten(train)
    x = flat(train.inputs)
    assert len(package()) == 3
    for t, call in enumerate(package()):
        assert (call["n_estimators"], call["model_path"], call["device"]) == (4, str(weights), "cpu")
        assert (call["random_state"], call["ignore_pretraining_limits"], call["telemetry"]) == (3, True, "1")
        assert call["categorical_features_indices"] == np.flatnonzero(flat.categorical).tolist()
        assert call["X"].shape == (60, x.shape[1])
        known = {(row.tobytes(), int(y)) for row, y in zip(x, train.labels[:, t], strict=True) if not np.isnan(y)}
        assert {(row.tobytes(), int(y)) for row, y in zip(call["X"], call["y"], strict=True)} <= known
        assert abs(call["y"].mean() - np.nanmean(train.labels[:, t])) < 1 / 60
    p = predictor.predict(test.inputs)
    assert p.shape == (50, 3)
    for t, call in enumerate(package()):
        model = call["self"].model
        np.testing.assert_allclose(p[:, t], model.predict_proba(flat(test.inputs))[:, 1], atol=1e-6)


def test_an_outcome_of_one_class_is_a_constant(tmp_path: Path, package: Any, make_cohort: Callable[..., Cohort]) -> None:
    cached(tmp_path, "tabpfn-v3.5-20260909.safetensors")
    cohort = make_cohort(n=300)
    train = cohort.rows(np.flatnonzero(cohort.labels[:, 0] != 1))
    predictor = registry.method("tabpfn").fit(train, cohort, Run())
    assert len(package()) == 2
    assert (predictor.predict(cohort.inputs)[:, 0] == np.float32(1e-7)).all()


def test_the_draw_is_stratified_and_follows_the_weights() -> None:
    y = np.array([1] * 20 + [0] * 180, np.float32)
    one = np.ones(200, np.float32)
    rng = np.random.default_rng(0)
    everything = tabpfn.drawn(Data(y, y, one), 500, rng)
    assert sorted(everything) == list(range(200))
    some = tabpfn.drawn(Data(y, y, one), 50, rng)
    assert (len(set(some)), y[some].sum()) == (50, 5)  # a tenth of them, none twice
    rare = np.zeros(200, np.float32)
    rare[7] = 1
    assert rare[tabpfn.drawn(Data(rare, rare, one), 20, rng)].sum() == 1  # a two-hundredth of 20 would be none
    # events four times as heavy: 20 x 4 / (20 x 4 + 180) = .308 of 200 rows are events
    heavy = tabpfn.drawn(Data(y, y, np.where(y == 1, 4, 1).astype(np.float32)), 200, rng)
    assert y[heavy].sum() == round(200 * 80 / 260)
    # within a class a row of weight 0.001 is next to never drawn
    w = np.where(np.arange(200) % 2, 1.0, 1e-3).astype(np.float32)
    assert (tabpfn.drawn(Data(y, y, w), 200, rng) % 2).mean() > 0.97
