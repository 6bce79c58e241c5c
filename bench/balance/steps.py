"""One training step under each kind of balance, and the two combinations of gradients that TorchJD lacks or gets wrong."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

Tensors: TypeAlias = Sequence[Tensor]
Look: TypeAlias = Literal["shared", "features", "sharing", "nothing"]
"""Where the tasks' gradients are compared: on all shared parameters, on what the encoder makes, on the sharing block's parameters."""


class Balance(nn.Module, ABC):
    """State of one training. Its parameters, if any, are trained beside the network's, at a rate of their own and without decay."""

    lr = 0.025  # of its parameters. At the network's 1e-3 they would hardly have moved when early stopping ends the training
    needs_second_look = False  # whether `updated` wants the losses of the same batch after the step
    skipped = 0  # steps in which the combined gradient was not finite: the shared parameters stood still
    look: Look = "shared"

    @abstractmethod
    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Tensors, heads: Tensors, at: Tensors | None = None
    ) -> None:
        """Put gradients into the parameters. losses, active: (T,), the loss of a task and whether it has known labels.

        at: what `look` names, of this forward pass; None where that is the shared parameters or the network has nothing of the kind.
        """

    def place(self, features: Tensors, sharing: nn.Module, shared: Tensors) -> Tensors | None:
        """What `look` names among these: the encoder's vectors of this forward pass, the sharing block, all shared parameters."""
        block = {id(p) for p in sharing.parameters()}
        there = {
            "shared": [],
            "nothing": [],
            "features": [h for h in features if h.requires_grad],
            "sharing": [p for p in shared if id(p) in block],
        }[self.look]
        return there if there or self.look == "nothing" else None

    def updated(self, losses: Tensor, active: Tensor) -> None:
        """After the optimizer's step, with the losses of the same batch and dropout masks computed anew."""

    def epoch_ended(self) -> None:
        """After each pass over the rows."""


class Equal(Balance):
    """The mean over the tasks that take part; or a mean with fixed weights (T,)."""

    def __init__(self, weights: Tensor | None = None) -> None:
        super().__init__()
        self.weights = weights

    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Tensors, heads: Tensors, at: Tensors | None = None
    ) -> None:
        plus(self.total(losses, active), penalty).backward()

    def total(self, losses: Tensor, active: Tensor) -> Tensor:
        if self.weights is None:
            return losses.sum() / active.sum().clamp(min=1)
        w = self.weights.to(losses) * active
        return (w * losses).sum() / w.sum().clamp(min=1e-12)


class Aggregated(Balance):
    """A combination of the tasks' gradients. One aggregator, with its own state, for each set of tasks that takes part.

    make(tasks): gradients (T, P) -> the tasks' weights (T,) or, unless `weighs`, a direction (P,). What looks elsewhere than at the
    shared parameters must weigh: one backward pass of the weighted losses then gives the gradients.
    """

    def __init__(self, make: Callable[[int], Callable[[Tensor], Tensor]], weighs: bool, look: Look = "shared") -> None:
        super().__init__()
        self.make, self.weighs, self.look = make, weighs, look
        self.made: dict[tuple[bool, ...], Callable[[Tensor], Tensor]] = {}

    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Tensors, heads: Tensors, at: Tensors | None = None
    ) -> None:
        who = tuple(active.tolist())
        if sum(who) < 2:
            return Equal().backward(losses, active, penalty, shared, heads)
        if who not in self.made:
            self.made[who] = self.make(sum(who))
        some = losses[active]
        rows = jacobian(some, shared if at is None else at)
        found = self.made[who](rows)
        if not torch.isfinite(found).all():
            self.skipped += 1
            found, rows = torch.zeros_like(found), torch.zeros_like(rows)
        _add(heads, gradient(plus(some.mean(), penalty), heads))
        if at is None:
            _add(shared, found @ rows if self.weighs else found)
            _add(shared, gradient(penalty, shared))
        else:
            _add(shared, gradient(plus(found.to(some) @ some, penalty), shared))


class GradNorm(Balance):
    """Chen et al., ICML 2018: weights (sum T) that bring the tasks' gradient norms to their mean times (L_t / L_t0)^alpha, relative.

    Norms are those of the last shared layer, here the sharing block with its gates; of all shared parameters if the block has none
    or with `last=0`. Departures: L_t0 is the mean loss of the first epoch, during which the weights are 1; heads are not weighted.
    """

    def __init__(self, tasks: int, alpha: float = 1.5, lr: float = 0.025, last: bool = True) -> None:
        super().__init__()
        self.alpha = alpha
        self.look = "sharing" if last else "shared"
        self.weights = torch.ones(tasks, requires_grad=True)  # no parameter of the network's optimizer
        self.optimizer = torch.optim.Adam([self.weights], lr)
        self.first, self.seen = torch.zeros(tasks), torch.zeros(tasks)
        self.epochs = 0

    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Tensors, heads: Tensors, at: Tensors | None = None
    ) -> None:
        count = int(active.sum())
        if self.epochs == 0:
            self.first += torch.where(active, losses.detach(), 0.0).cpu()
            self.seen += active.cpu()
        if count < 2:
            return Equal().backward(losses, active, penalty, shared, heads)
        some, rows = losses[active], None
        if self.epochs:
            rows = jacobian(some, shared if at is None else at)
            self._learn(rows.norm(dim=1).cpu(), losses.detach().cpu(), active.cpu())
        weights = self.weights.detach().to(some)[active] / count
        _add(heads, gradient(plus(some.mean(), penalty), heads))
        if rows is None or at is not None:
            _add(shared, gradient(plus(weights @ some, penalty), shared))
        else:
            _add(shared, weights.to(rows) @ rows)
            _add(shared, gradient(penalty, shared))

    def epoch_ended(self) -> None:
        self.epochs += 1

    def _learn(self, norms: Tensor, losses: Tensor, active: Tensor) -> None:
        ratio = (losses / (self.first / self.seen.clamp(min=1)).clamp(min=1e-12))[active]
        weighted = self.weights[active] * norms
        target = (weighted.mean() * (ratio / ratio.mean()) ** self.alpha).detach()
        self.optimizer.zero_grad()
        (weighted - target).abs().sum().backward()
        self.optimizer.step()
        with torch.no_grad():
            self.weights.clamp_(min=1e-3)
            self.weights *= len(self.weights) / self.weights.sum()


def nash(gradients: Tensor) -> Tensor:
    """Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022: sum_t a_t g_t with a > 0 and (A a)_t a_t = 1, A = G G'.

    a minimises a'Aa / 2 - sum log a, which is strictly convex: damped Newton, on gradients of unit length, since the direction
    does not depend on their lengths. A ridge of 1e-9 bounds a where gradients oppose each other exactly.
    """
    length = gradients.double().norm(dim=1, keepdim=True).clamp(min=1e-30)
    unit = gradients.double() / length
    gram = unit @ unit.T + 1e-9 * torch.eye(len(unit)).to(unit)
    x = torch.ones(len(unit)).to(unit)
    for _ in range(100):
        step = torch.linalg.solve(gram + torch.diag(1 / x**2), gram @ x - 1 / x)
        decrement = float((step @ (gram @ step + step / x**2)).sqrt())
        x = x - step / (1 + decrement)  # self-concordant: this step never leaves x > 0
        if decrement < 1e-12:
            break
    return (x @ unit).to(gradients)


def jacobian(losses: Tensor, at: Tensors) -> Tensor:
    """Gradients of each loss at tensors, rows (T, numbers): one batched pass, or T where a kernel cannot be batched. The graph is kept."""
    count, each = len(losses), torch.eye(len(losses)).to(losses)
    if not at:
        return losses.new_zeros(count, 0)
    try:
        found = torch.autograd.grad(losses, at, each, retain_graph=True, allow_unused=True, is_grads_batched=True)
    except RuntimeError:
        rows = [_flat(torch.autograd.grad(loss, at, retain_graph=True, allow_unused=True), at) for loss in losses]
        return torch.stack(rows)
    every = cast(Sequence[Tensor | None], found)  # None where no loss comes from a tensor
    return torch.cat(
        [p.new_zeros(count, p.numel()) if g is None else g.flatten(1) for g, p in zip(every, at, strict=True)], dim=1
    )


def gradient(loss: Tensor | None, at: Tensors) -> Tensor:
    """Of a loss at tensors, side by side; 0 where it does not come from there. The graph is kept."""
    if loss is None or not at or not loss.requires_grad:
        return _flat([None] * len(at), at)
    return _flat(torch.autograd.grad(loss, at, retain_graph=True, allow_unused=True), at)


def _flat(gradients: Sequence[Tensor | None], at: Tensors) -> Tensor:
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, at, strict=True)]
    return torch.cat([part.flatten() for part in parts]) if parts else torch.zeros(0)


def plus(loss: Tensor, penalty: Tensor | None) -> Tensor:
    return loss if penalty is None else loss + penalty


def _add(parameters: Tensors, direction: Tensor) -> None:
    """Add a flat direction to the gradients."""
    for p, g in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
        p.grad = g.view_as(p) if p.grad is None else p.grad + g.view_as(p)
