"""What an epoch of training costs here and in the usual loop, and what a backward pass costs under each balance.

By hand, on one core: OMP_NUM_THREADS=1 python tests/benchmarks/training.py                  an epoch, then balances; minutes
                      OMP_NUM_THREADS=1 python tests/benchmarks/training.py --others FOLDER  and torch-rechub's own trainer
FOLDER holds it: pip install --no-deps --target FOLDER torch-rechub. LibMTL does not load without torchvision, which has no CPU build.

The same network for all: 12,430 rows x 100 numbers, 4 outcomes, batches of 256, experts of 64 units with GELU and dropout 0.2, a
linear head an outcome; MMoE with 8 experts, PLE with 2 levels of 2 shared experts and 2 an outcome. Ours is `bench.train`'s loop as
`bench run` runs it (AdamW, clipping, running average of weights); the usual one a DataLoader over a TensorDataset, a module an
expert, a Python loop over experts and outcomes, Adam, and `.item()` of every loss at every step. The contestants take turns, an
epoch each; CPU time of this one thread, the median over the turns, so that a busy machine counts for little. Validation rows
(2,194, scored after the epoch) are in the second column and not in the first, for all alike.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench import prep, registry, train
from bench.balance import catalog, steps
from bench.core import Cohort, Inputs, Tabular, Task
from bench.nets.watch import Watch

ROWS, VALID, COLUMNS, TASKS, BATCH, WIDTH, DROPOUT = 12_430, 2_194, 100, 4, 256, 64, 0.2
EXPERTS, OWN, SHARED = 8, 2, 2
TURNS, PASSES = 7, 15
Trainer = Callable[[], tuple[float, float]]  # an epoch: seconds of training, seconds of training and validation


def cohort(outcomes: int = TASKS) -> Cohort:
    """Normal numbers, and outcomes of a fifth of the patients that hang on a few of them."""
    import pandas as pd

    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS + VALID, COLUMNS)).astype(np.float32)
    z = x[:, : 5 * outcomes].reshape(-1, outcomes, 5).sum(2) - 2.5
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(np.float32)
    ids = np.array([f"{i}" for i in range(len(x))])
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(COLUMNS)])
    tasks = tuple(Task(f"y{t}") for t in range(outcomes))
    inputs = Inputs({"table": Tabular(frame)})
    return Cohort(name="drawn", inputs=inputs, tasks=tasks, labels=y, patients=ids, groups=ids, digest="drawn")


# Ours


class Numbers(nn.Module):
    """A prepared batch -> its numbers, (B, 100): what the other loops feed to their experts."""

    width = COLUMNS

    def forward(self, batch: train.Batch) -> Tensor:
        return batch["table"]["numeric"]


def ours(name: str, data: Cohort) -> Trainer:
    """`bench.train`'s trainer and early stopping, the experts reading the numbers without our encoder."""
    method: Any = registry.method(name)
    plain = type("Plain", (type(method),), {"encode": lambda self, shapes: Numbers()})
    method = plain(**{f.name: getattr(method, f.name) for f in fields(method)})
    trainer, (batch, y, w, rows) = started(method, data.rows(np.arange(ROWS)))
    valid = data.rows(np.arange(ROWS, ROWS + VALID))
    watch = Watch(valid, train.tensors(prep.tokens(data.rows(np.arange(ROWS)))(valid.inputs), "cpu"), 10, "joint")

    def epoch() -> tuple[float, float]:
        start = time.thread_time()
        trainer.epoch(batch, y, w, rows)
        middle = time.thread_time()
        watch.look(train.logits(trainer.averaged, watch.batch), partial(copy.deepcopy, trainer.averaged))
        return middle - start, time.thread_time() - start

    return epoch


def started(method: Any, fitted: Cohort) -> tuple[Any, tuple[train.Batch, Tensor, Tensor, Tensor]]:
    """A trainer as `NeuralMethod.fit` makes it, and its data."""
    train.keep()
    tokens = prep.tokens(fitted)
    y, w = torch.tensor(fitted.labels), torch.tensor(fitted.loss_weights)
    torch.manual_seed(0)
    trainer = train._Trainer(method, method.build(tokens.shapes, y, w), len(fitted.tasks))
    return trainer, (train.tensors(tokens(fitted.inputs), "cpu"), y, w, torch.arange(len(y)))


# The usual loop


def expert(d: int) -> nn.Module:
    return nn.Sequential(nn.Linear(d, WIDTH), nn.GELU(), nn.Dropout(DROPOUT))


def gate(d: int, experts: int) -> nn.Module:
    return nn.Sequential(nn.Linear(d, experts), nn.Softmax(dim=-1))


class UsualMMoE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(expert(COLUMNS) for _ in range(EXPERTS))
        self.gates = nn.ModuleList(gate(COLUMNS, EXPERTS) for _ in range(TASKS))
        self.towers = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(TASKS))

    def forward(self, x: Tensor) -> list[Tensor]:
        experts = torch.stack([expert(x) for expert in self.experts], dim=1)
        mixed = [(gate(x).unsqueeze(-1) * experts).sum(1) for gate in self.gates]
        return [tower(z).squeeze(-1) for tower, z in zip(self.towers, mixed, strict=True)]


class UsualLevel(nn.Module):
    def __init__(self, d: int, last: bool) -> None:
        super().__init__()
        self.own = nn.ModuleList(nn.ModuleList(expert(d) for _ in range(OWN)) for _ in range(TASKS))
        self.shared = nn.ModuleList(expert(d) for _ in range(SHARED))
        self.gates = nn.ModuleList(gate(d, OWN + SHARED) for _ in range(TASKS))
        self.shared_gate = None if last else gate(d, OWN * TASKS + SHARED)

    def forward(self, states: list[Tensor]) -> list[Tensor]:
        own = [[expert(state) for expert in experts] for experts, state in zip(self.own, states, strict=False)]
        shared = [expert(states[-1]) for expert in self.shared]
        out: list[Tensor] = []
        for gate, state, mine in zip(self.gates, states, own, strict=False):
            out.append((gate(state).unsqueeze(-1) * torch.stack(mine + shared, dim=1)).sum(1))
        if self.shared_gate is not None:
            every = torch.stack([e for mine in own for e in mine] + shared, dim=1)
            out.append((self.shared_gate(states[-1]).unsqueeze(-1) * every).sum(1))
        return out


class UsualPLE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList([UsualLevel(COLUMNS, last=False), UsualLevel(WIDTH, last=True)])
        self.towers = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(TASKS))

    def forward(self, x: Tensor) -> list[Tensor]:
        states = [x] * (TASKS + 1)
        for level in self.levels:
            states = level(states)
        return [tower(z).squeeze(-1) for tower, z in zip(self.towers, states, strict=True)]


def usual(network: nn.Module, data: Cohort) -> Trainer:
    x, y = numbers(data)
    fitted = DataLoader(TensorDataset(x[:ROWS], y[:ROWS]), batch_size=BATCH, shuffle=True)
    valid = DataLoader(TensorDataset(x[ROWS:], y[ROWS:]), batch_size=BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    loss_fn = nn.BCEWithLogitsLoss()

    def epoch() -> tuple[float, float]:
        start = time.thread_time()
        network.train()
        totals = [0.0] * TASKS
        for x, y in fitted:
            out = network(x)
            losses = [loss_fn(z, y[:, t]) for t, z in enumerate(out)]
            loss = sum(losses) / TASKS
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            for t, each in enumerate(losses):
                totals[t] += each.item()
        middle = time.thread_time()
        network.eval()
        with torch.no_grad():
            p = torch.cat([torch.stack(network(x), dim=1).sigmoid() for x, _ in valid]).numpy()
        _ = [roc_auc_score(data.labels[ROWS:, t], p[:, t]) for t in range(TASKS)]
        return middle - start, time.thread_time() - start

    return epoch


def numbers(data: Cohort) -> tuple[Tensor, Tensor]:
    tokens = prep.tokens(data.rows(np.arange(ROWS)))
    return torch.tensor(tokens(data.inputs)["table"]["numeric"]), torch.tensor(data.labels)


# Balances


def balances(name: str, data: Cohort) -> Iterator[str]:
    """CPU time of a backward pass, and of a whole step, under each balance, as a multiple of `equal`'s."""
    tasks = len(data.tasks)
    made = {text: started(registry.method(f"{name}:balance={text}"), data.rows(np.arange(10 * BATCH))) for text in BALANCES}
    for trainer, _ in made.values():
        trainer.balance.epoch_ended()  # gradnorm compares nothing in the first
    spent: dict[str, list[tuple[float, float]]] = {text: [] for text in made}
    for _ in range(PASSES):
        for text, (trainer, (batch, y, w, rows)) in made.items():
            trainer.network.train()
            index = rows[torch.randperm(len(rows))[:BATCH]]
            part = (train.take(batch, index), y[index], w[index])
            backward = trainer.balance.backward
            inner: list[float] = []

            def timed(*given: Any, backward: Any = backward, inner: list[float] = inner) -> None:
                start = time.thread_time()
                backward(*given)
                inner.append(time.thread_time() - start)

            trainer.balance.backward = timed
            start = time.thread_time()
            trainer.step(*part, index)
            spent[text].append((inner[0], time.thread_time() - start))
            trainer.balance.backward = backward
    plain = np.median(spent["equal"], axis=0)
    yield f"{name}: equal {1e3 * plain[0]:.2f} ms backward, {1e3 * plain[1]:.2f} ms a step; T = {tasks}, (T + 1) / 2 = {(tasks + 1) / 2}"
    for text, seconds in spent.items():
        backward, step = np.median(seconds, axis=0) / plain
        yield f"{text:<22} backward {backward:5.2f}   step {step:5.2f}"


ELSEWHERE = ("mgda+features=0", "imtl_g+features=0", "aligned_mtl+features=1", "gradnorm+last=0")
BALANCES = ("equal", *catalog.ENTRIES, *ELSEWHERE)


def passes(name: str, data: Cohort) -> Iterator[str]:
    """What the outcomes' gradients are made of, as multiples of the plain backward pass: CPU time of this one thread, medians."""
    trainer, (batch, y, w, rows) = started(registry.method(name), data.rows(np.arange(BATCH)))
    trainer.network.train()
    shared, first = trainer.shared, [next(p for p in trainer.network.encoder.encoders[0].parameters())]
    one_each = partial(torch.autograd.grad, retain_graph=True, allow_unused=True)
    kinds: dict[str, Callable[[Tensor], Any]] = {
        "a plain pass": lambda losses: one_each(losses.sum(), shared),
        "no gradients of weights": lambda losses: one_each(losses.sum(), first),
        "T without weights": lambda losses: [one_each(loss, first) for loss in losses],
        "T without weights, batched": lambda losses: steps.jacobian(losses, first),
        "T": lambda losses: [one_each(loss, shared) for loss in losses],
        "T batched": lambda losses: steps.jacobian(losses, shared),
    }
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(2 * PASSES):
        for kind, run in kinds.items():
            losses, _ = trainer.objective(batch, y, w, rows)
            start = time.thread_time()
            run(losses)
            spent[kind].append(time.thread_time() - start)
    plain = float(np.median(spent["a plain pass"]))
    yield from (f"{kind:<28} {np.median(seconds) / plain:5.2f}" for kind, seconds in spent.items())


def epochs(contestants: Mapping[str, Trainer], turns: int) -> Iterator[str]:
    """Seconds an epoch of each, in turns, and how many of ours each takes."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in range(turns + 1):
        for name, epoch in contestants.items():
            seconds = epoch()
            if turn:  # the first warms up
                spent[name].append(seconds)
    first = np.median(spent[next(iter(spent))], axis=0)
    for name, seconds in spent.items():
        training, both = np.median(seconds, axis=0)
        ratios = f"{training / first[0]:5.2f} x        {both:6.3f} s  {both / first[1]:5.2f} x"
        yield f"{name:<34} {training:6.3f} s  {ratios}   least {min(s for s, _ in seconds):6.3f} s"


def contestants(name: str, data: Cohort, others: bool) -> dict[str, Trainer]:
    spec = {"mmoe": f"mmoe:experts={EXPERTS}", "ple": f"ple:levels=2:shared_experts={SHARED}:task_experts={OWN}"}[name]
    found = {"ours": ours(f"{spec}:width={WIDTH}:dropout={DROPOUT}", data)}
    found["usual loop"] = usual(UsualMMoE() if name == "mmoe" else UsualPLE(), data)
    if others:
        from training_peers import rechub

        found["torch-rechub"] = rechub(name, data)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", metavar="FOLDER", help="where torch-rechub lies")
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--only", choices=["epochs", "balances"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.others:
        sys.path.append(options.others)
    data = cohort()
    if options.only != "balances":
        for name in ("mmoe", "ple"):
            print(f"{name}: training alone, and with validation", flush=True)
            for line in epochs(contestants(name, data, bool(options.others)), options.turns):
                print(line, flush=True)
    if options.only != "epochs":
        for name in ("mmoe",):
            for tasks in (TASKS, 2 * TASKS):
                drawn = cohort(tasks)
                for line in (*balances(name, drawn), *passes(name, drawn)):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
