"""The trainer of another library, for training.py: torch-rechub's own code around its own networks."""

import contextlib
import io
import time

from torch import nn
from torch.utils.data import DataLoader
from training import BATCH, COLUMNS, DROPOUT, EXPERTS, OWN, ROWS, SHARED, TASKS, WIDTH, Trainer, numbers

from bench.core import Cohort


def rechub(name: str, data: Cohort) -> Trainer:
    """torch-rechub's MTLTrainer and models; its expert has batch normalisation as well."""
    from torch_rechub.basic.features import DenseFeature
    from torch_rechub.models.multi_task import MMOE, PLE
    from torch_rechub.trainers import MTLTrainer
    from torch_rechub.utils.data import TorchDataset

    x, y = numbers(data)
    shape = {"expert_params": {"dims": [WIDTH], "activation": nn.GELU, "dropout": DROPOUT}, "tower_params_list": [{}] * TASKS}
    common = ([DenseFeature("x", COLUMNS)], ["classification"] * TASKS)
    levels = {"n_level": 2, "n_expert_specific": OWN, "n_expert_shared": SHARED}
    network = MMOE(*common, n_expert=EXPERTS, **shape) if name == "mmoe" else PLE(*common, **levels, **shape)
    parts = [({"x": x[rows].numpy()}, y[rows].numpy()) for rows in (slice(0, ROWS), slice(ROWS, None))]
    loaders = [DataLoader(TorchDataset(*part), BATCH, shuffle=i == 0) for i, part in enumerate(parts)]
    made = MTLTrainer(network, ["classification"] * TASKS, optimizer_params={"lr": 1e-3})

    def epoch() -> tuple[float, float]:
        start = time.thread_time()
        with quiet():
            made.train_one_epoch(loaders[0])
            middle = time.thread_time()
            made.evaluate(network, loaders[1])
        return middle - start, time.thread_time() - start

    return epoch


def quiet() -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack
