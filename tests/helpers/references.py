"""Sharing blocks written from the formulas of methods.md 4 with plain loops over tasks, experts and levels.

A reference takes lists of small tensors and shares nothing with the suite.
"""

import math
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

TASKS = 3

Linear: TypeAlias = tuple[Tensor, Tensor]  # (out, in) and (out,)


def apply(layer: Linear, x: Tensor) -> Tensor:
    return torch.stack([(x * row).sum(1) + bias for row, bias in zip(layer[0], layer[1], strict=True)], dim=1)


def expert_output(layer: Linear, x: Tensor) -> Tensor:
    z = apply(layer, x)
    return z * (1 + torch.erf(z / math.sqrt(2))) / 2


def gate_output(layer: Linear, x: Tensor) -> list[Tensor]:
    """One weight (B, 1) an expert."""
    e = torch.exp(apply(layer, x))
    return [e[:, [k]] / e.sum(1, keepdim=True) for k in range(e.shape[1])]


def mixture(weights: list[Tensor], experts: list[Tensor]) -> Tensor:
    total = torch.zeros_like(experts[0])
    for weight, expert in zip(weights, experts, strict=True):
        total = total + weight * expert
    return total


def mmoe(h: Tensor, experts: list[Linear], gates: list[Linear]) -> list[Tensor]:
    """f_t = sum_k softmax(W_t h)_k E_k(h)."""
    return [mixture(gate_output(gate, h), [expert_output(e, h) for e in experts]) for gate in gates]


@dataclass
class Level:
    """own[t]: the experts of task t. gates: one a task, and one of the shared stream where it goes on."""

    own: list[list[Linear]]
    gates: list[Linear]
    shared: list[Linear] = field(default_factory=list)
    native: list[list[Tensor]] | None = None  # AdaTT's residual weights


def ple(h: Tensor, levels: list[Level]) -> list[Tensor]:
    """v_t = softmax(W_t u_t).[E_t(u_t); E_s(u_s)]; v_s = softmax(W_s u_s).[all experts], at all levels but the last."""
    u, us = [h] * TASKS, h
    for level in levels:
        own = [[expert_output(e, u[t]) for e in level.own[t]] for t in range(TASKS)]
        shared = [expert_output(e, us) for e in level.shared]
        v = [mixture(gate_output(level.gates[t], u[t]), own[t] + shared) for t in range(TASKS)]
        if len(level.gates) > TASKS:
            us = mixture(gate_output(level.gates[TASKS], us), [x for group in own for x in group] + shared)
        u = v
    return u


def cross_stitch(h: Tensor, levels: list[tuple[list[Linear], list[list[Tensor]]]]) -> list[Tensor]:
    """y_t = E_t(x_t); x_t = sum_u a_tu y_u."""
    x = [h] * TASKS
    for columns, a in levels:
        y = [expert_output(columns[t], x[t]) for t in range(TASKS)]
        x = [mixture(a[t], y) for t in range(TASKS)]
    return x


def stem(h: Tensor, embed: list[Linear], levels: list[Level]) -> list[Tensor]:
    """v_t = softmax(W_t (x_t + x_s)).[E_t(x_t); {sg E_u(x_u)}; E_s(x_s)]; v_s = softmax(W_s x_s).[all], nothing stopped."""
    x, xs = [apply(embed[t], h) for t in range(TASKS)], apply(embed[TASKS], h)
    for level in levels:
        own = [[expert_output(e, x[t]) for e in level.own[t]] for t in range(TASKS)]
        shared = [expert_output(e, xs) for e in level.shared]
        v: list[Tensor] = []
        for t in range(TASKS):
            heard = [y if u == t else y.detach() for u in range(TASKS) for y in own[u]]
            v.append(mixture(gate_output(level.gates[t], x[t] + xs), heard + shared))
        if len(level.gates) > TASKS:
            xs = mixture(gate_output(level.gates[TASKS], xs), [y for group in own for y in group] + shared)
        x = v
    return x


def adatt(h: Tensor, levels: list[Level]) -> list[Tensor]:
    """x_t <- softmax(W_t x_t).[all experts] + sum_i v_ti E_ti(x_t), v = 1 where there is one expert a task."""
    x = [h] * TASKS
    for level in levels:
        own = [[expert_output(e, x[t]) for e in level.own[t]] for t in range(TASKS)]
        everyone = [y for group in own for y in group]
        fused = [mixture(gate_output(level.gates[t], x[t]), everyone) for t in range(TASKS)]
        if level.native is not None:
            fused = [f + mixture(level.native[t], own[t]) for t, f in enumerate(fused)]
        x = fused
    return x
