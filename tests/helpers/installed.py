"""A real package with plug-ins, as pip would have left it in a folder: modules, and a dist-info with entry points."""

from collections.abc import Mapping
from pathlib import Path

METHOD = '''"""{about}"""

from dataclasses import dataclass

import numpy as np

from bench.core import Cohort, Inputs, Run
from {layers} import FACTOR


@dataclass(frozen=True)
class Learned:
    facts: dict
    rate: np.ndarray

    def predict(self, inputs: Inputs) -> np.ndarray:
        table = inputs.modalities["table"].frame.select_dtypes("number").fillna(0).to_numpy(float)
        return np.clip(self.rate + FACTOR * np.tanh(table.mean(axis=1, keepdims=True)), 0.01, 0.99).astype(np.float32)


@dataclass(frozen=True)
class Mine:
    depth: int = 3

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Learned:
        facts = {{"parameters": 1, "steps": self.depth, "at_cap": False}}
        return Learned(facts, np.nanmean(train.labels, axis=0))


METHOD = Mine
'''

DATASET = '''"""Patients of somebody else, a handful."""

import numpy as np
import pandas as pd

from bench import checks
from bench.core import Cohort, Tabular, Task


def load(n: int = 200) -> Cohort:
    rng = np.random.default_rng(0)
    age = rng.normal(60, 10, n)
    labels = (rng.random((n, 2)) < 1 / (1 + np.exp(-(age[:, None] - 60) / 10))).astype(float)
    tasks = [Task("aki"), Task("death")]
    return checks.build("ward9", {"table": Tabular(pd.DataFrame({"age": age}))}, tasks, labels, [f"p{i}" for i in range(n)])
'''


def install(folder: Path, name: str, version: str, files: Mapping[str, str], entry_points: str) -> Path:
    """The folder, for PYTHONPATH."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    (about / "entry_points.txt").write_text(entry_points, "utf-8")
    return folder


def package(folder: Path) -> Path:
    """my-pkg 0.3: the methods my_net, which imports beside itself, and my_deep, and the dataset ward9."""
    files = {
        "my_pkg/__init__.py": "SAID = 1\n",
        "my_pkg/my_net.py": METHOD.format(about="A net of somebody else.", layers=".parts.layers"),
        "my_pkg/deep/__init__.py": "",
        "my_pkg/deep/my_deep.py": METHOD.format(about="A deeper net of somebody else.", layers="my_pkg.parts.layers"),
        "my_pkg/parts/__init__.py": "",
        "my_pkg/parts/layers.py": "FACTOR = 0.25\n",
        "my_pkg/unused.py": "X = 1\n",
        "my_pkg/ward9.py": DATASET,
    }
    entries = "[bench.methods]\nmy_net = my_pkg.my_net\nmy_deep = my_pkg.deep.my_deep\n\n[bench.datasets]\nward9 = my_pkg.ward9\n"
    return install(folder, "my-pkg", "0.3", files, entries)
