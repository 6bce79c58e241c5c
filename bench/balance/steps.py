"""One training step under each kind of balance, and the two combinations of gradients that TorchJD lacks or gets wrong."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Balance(nn.Module, ABC):
    """State of one training. Its parameters, if any, are trained beside the network's, at a rate of their own and without decay."""

    lr = 0.025  # of its parameters. At the network's 1e-3 they would hardly have moved when early stopping ends the training
    needs_second_look = False  # whether `updated` wants the losses of the same batch after the step
    skipped = 0  # steps in which the combined gradient was not finite: the shared parameters stood still

    @abstractmethod
    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Sequence[Tensor], heads: Sequence[Tensor]
    ) -> None:
        """Put gradients into the parameters. losses, active: (T,), the loss of a task and whether it has known labels."""

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
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Sequence[Tensor], heads: Sequence[Tensor]
    ) -> None:
        plus(self.total(losses, active), penalty).backward()

    def total(self, losses: Tensor, active: Tensor) -> Tensor:
        if self.weights is None:
            return losses.sum() / active.sum().clamp(min=1)
        w = self.weights.to(losses) * active
        return (w * losses).sum() / w.sum().clamp(min=1e-12)


class Aggregated(Balance):
    """A combination of the tasks' gradients. One aggregator, with its own state, for each set of tasks that takes part."""

    def __init__(self, make: Callable[[int], Callable[[Tensor], Tensor]]) -> None:
        super().__init__()
        self.make = make
        self.made: dict[tuple[bool, ...], Callable[[Tensor], Tensor]] = {}

    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Sequence[Tensor], heads: Sequence[Tensor]
    ) -> None:
        who = tuple(active.tolist())
        count = sum(who)
        if count < 2:
            return Equal().backward(losses, active, penalty, shared, heads)
        if who not in self.made:
            self.made[who] = self.make(count)
        gradients, own = jacobian(losses[active], shared, heads)
        direction = self.made[who](gradients)
        if not torch.isfinite(direction).all():
            self.skipped += 1
            direction = torch.zeros_like(direction)
        plus(losses.new_zeros((), requires_grad=True), penalty).backward()
        _add(shared, direction)
        _add(heads, own.sum(0) / count)


class GradNorm(Balance):
    """Chen et al., ICML 2018: weights (sum T) that bring the tasks' gradient norms to their mean times (L_t / L_t0)^alpha, relative.

    Departures: norms over all shared parameters; L_t0 is the mean loss of the first epoch, during which the weights are 1; heads
    are not weighted.
    """

    def __init__(self, tasks: int, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__()
        self.alpha = alpha
        self.weights = torch.ones(tasks, requires_grad=True)  # no parameter of the network's optimizer
        self.optimizer = torch.optim.Adam([self.weights], lr)
        self.first, self.seen = torch.zeros(tasks), torch.zeros(tasks)
        self.epochs = 0

    def backward(
        self, losses: Tensor, active: Tensor, penalty: Tensor | None, shared: Sequence[Tensor], heads: Sequence[Tensor]
    ) -> None:
        count = int(active.sum())
        if self.epochs == 0:
            self.first += torch.where(active, losses.detach(), 0.0).cpu()
            self.seen += active.cpu()
        if count < 2:
            return Equal().backward(losses, active, penalty, shared, heads)
        gradients, own = jacobian(losses[active], shared, heads)
        if self.epochs:
            self._learn(gradients.norm(dim=1).cpu(), losses.detach().cpu(), active.cpu())
        plus(losses.new_zeros((), requires_grad=True), penalty).backward()
        _add(shared, self.weights.detach().to(gradients)[active] @ gradients / count)
        _add(heads, own.sum(0) / count)

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


def jacobian(losses: Tensor, shared: Sequence[Tensor], heads: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Gradients of each loss, rows (T, parameters): of the shared parameters, of the heads'."""
    parameters = [*shared, *heads]
    rows = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in losses]

    def flat(row: Sequence[Tensor | None], which: slice) -> Tensor:
        pairs = zip(row[which], parameters[which], strict=True)
        return torch.cat([losses.new_zeros(0), *((torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs)])

    split = len(shared)
    return torch.stack([flat(r, slice(split)) for r in rows]), torch.stack([flat(r, slice(split, None)) for r in rows])


def plus(loss: Tensor, penalty: Tensor | None) -> Tensor:
    return loss if penalty is None else loss + penalty


def _add(parameters: Sequence[Tensor], direction: Tensor) -> None:
    """Add a flat direction to the gradients."""
    for p, g in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
        p.grad = g.view_as(p).clone() if p.grad is None else p.grad + g.view_as(p)
