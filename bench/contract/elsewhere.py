"""The law that needs a second process: what the workers of a run do with a method, whose objects never cross."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.contract.trial import Trial
from bench.execute.threads import ONE_THREAD

PATIENCE = 300.0  # seconds for one quick fit


def another_process(trial: Trial) -> None:
    """A new process, told its file and settings alone, learns the same.

    Usual cause: something that only one process has (runs train in several): a module that lies beside the file (a method given by its path is one file), a
    variable set after import, an environment variable, or an order of a set of texts, which is another in each process.
    """
    trial.does("trained it in a new process, with the same seed")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        out = Path(folder) / "predictions.npy"
        done = subprocess.run(
            [sys.executable, "-m", "bench.contract", str(out)], input=json.dumps(trial.spec.json()), cwd=folder, text=True,
            capture_output=True, check=False, timeout=PATIENCE, env={**os.environ, **ONE_THREAD, "PYTHONHASHSEED": "1"},
        )  # fmt: skip
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        trial.wants(done.returncode == 0 and out.is_file(), "risks", lines[-1] if lines else f"exit status {done.returncode}")
        trial.near(np.load(out), trial.whole, 1e-4, "the same risks")
