"""The trainers of two other libraries, for training.py: torch-rechub's and LibMTL's own code around their own networks."""

import contextlib
import io
import time
from typing import Any

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, dataloader
from training import BATCH, COLUMNS, DROPOUT, EXPERTS, OWN, ROWS, SHARED, TASKS, WIDTH, Trainer, expert, numbers

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


def libmtl(name: str, data: Cohort) -> Trainer:
    """LibMTL's Trainer, release 1.1.5 of 2021, which has a GPU and an old torch in mind: two lines make it run on this one.

    Its PLE takes ResNets only.
    """
    if name != "mmoe":
        raise ImportError("its PLE is for ResNets")
    from LibMTL import Trainer as Theirs
    from LibMTL.architecture import MMoE
    from LibMTL.loss import AbsLoss
    from LibMTL.metrics import AbsMetric
    from LibMTL.weighting import EW

    dataloader._BaseDataLoaderIter.next = dataloader._BaseDataLoaderIter.__next__

    class Loss(AbsLoss):
        def compute_loss(self, pred: Tensor, gt: Tensor) -> Tensor:
            return nn.functional.binary_cross_entropy_with_logits(pred.squeeze(-1), gt)

    class Score(AbsMetric):
        def update_fun(self, pred: Tensor, gt: Tensor) -> None:
            self.record.append(pred.detach().squeeze(-1))
            self.bs.append(gt)

        def score_fun(self) -> list[float]:
            return [float(roc_auc_score(torch.cat(self.bs), torch.cat(self.record)))]

    x, y = numbers(data)
    names = [f"y{t}" for t in range(TASKS)]

    def loader(rows: slice, shuffle: bool) -> DataLoader[Any]:
        rows_of = [(x[i], {name: y[i, t] for t, name in enumerate(names)}) for i in range(*rows.indices(len(x)))]
        return DataLoader(rows_of, batch_size=BATCH, shuffle=shuffle)  # pyright: ignore

    def task() -> dict[str, Any]:
        return {"metrics": ["AUC"], "metrics_fn": Score(), "loss_fn": Loss(), "weight": [1]}

    device, torch.device = torch.device, lambda _: device("cpu")  # type: ignore[assignment]
    with quiet():
        made = Theirs(
            {name: task() for name in names}, EW, MMoE, lambda: expert(COLUMNS), nn.ModuleDict({n: nn.Linear(WIDTH, 1) for n in names}),
            False, False, {"optim": "adam", "lr": 1e-3}, None, weight_args={}, arch_args={"img_size": [COLUMNS], "num_experts": [EXPERTS]},
        )  # fmt: skip
    torch.device = device  # type: ignore[misc]
    fitted, valid, nothing = loader(slice(0, ROWS), True), loader(slice(ROWS, None), False), list[Any]()
    spent: list[float] = []
    made.test = lambda *_, **__: spent.append(time.thread_time())  # where training ends
    tested = Theirs.test

    def epoch() -> tuple[float, float]:
        start = time.thread_time()
        with quiet():
            made.train(fitted, nothing, 1)
            tested(made, valid, 0)
        return spent[-1] - start, time.thread_time() - start

    return epoch


def quiet() -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack
