"""Views of a prepared batch: a part hidden, to be told from the rest, and the two halves of a patient's series.

What is hidden looks as what is missing does. Only what is known is ever asked for.
"""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from bench.nets.encoders import Batch
from bench.prep import SeriesShape, Shape, TableShape

Part: TypeAlias = Mapping[str, Tensor]


def width(shape: Shape) -> int:
    """How many values `hide` can ask for in a modality."""
    if isinstance(shape, TableShape):
        return shape.numeric + sum(shape.cards)
    return shape.windows * shape.channels * shape.stats + shape.summary if isinstance(shape, SeriesShape) else shape.width


def hide(batch: Batch, shapes: Mapping[str, Shape], share: float) -> tuple[Batch, Tensor, Tensor]:
    """The batch with this share of its numbers, codes, windows, summaries and texts hidden; all values; which are asked for.

    Values (B, q), a code as one column a category, modality by modality; asked (B, q) bool: hidden, but known.
    """
    parts = {key: _hide(batch[key], shape, share) for key, shape in shapes.items()}
    view = {key: part for key, (part, _, _) in parts.items()}
    asked = [a & batch[key]["present"][:, None] for key, (_, _, a) in parts.items()]
    return view, torch.cat([values for _, values, _ in parts.values()], dim=1), torch.cat(asked, dim=1)


def half(batch: Batch, late: bool) -> Batch | None:
    """The earlier or later half of the series' windows, and nothing else. None where no series has two windows.

    `present`: where something was observed in that half. Statistics of the whole series are left out: they span both.
    """
    series = {key for key, part in batch.items() if "windows" in part and part["windows"].shape[1] > 1}
    if not series:
        return None
    return {k: _half(p, late) if k in series else {**p, "present": torch.zeros_like(p["present"])} for k, p in batch.items()}


def present(batch: Batch) -> Tensor:
    """(B,) whether a row has any modality."""
    return torch.stack([part["present"] for part in batch.values()]).any(0)


def _half(part: Part, late: bool) -> Part:
    windows = part["observed"].shape[1]
    kept = (torch.arange(windows, device=part["observed"].device) >= windows // 2) == late  # oldest first
    observed = part["observed"] * kept[:, None]
    return {
        **part, "observed": observed, "windows": part["windows"] * kept[:, None, None],
        "summary": torch.zeros_like(part["summary"]), "present": part["present"] & observed.flatten(1).any(1),
    }  # fmt: skip


def _hide(part: Part, shape: Shape, share: float) -> tuple[Part, Tensor, Tensor]:
    if isinstance(shape, TableShape):
        return _hide_columns(part, shape.cards, share)
    return _hide_windows(part, share) if isinstance(shape, SeriesShape) else _hide_text(part, share)


def _hide_columns(part: Part, cards: tuple[int, ...], share: float) -> tuple[Part, Tensor, Tensor]:
    numeric, missing, codes = part["numeric"], part["missing"], part["codes"]
    lost, blank = _drawn(numeric.shape, share, numeric), _drawn(codes.shape, share, numeric)
    view = {
        **part, "numeric": numeric.masked_fill(lost, 0), "missing": missing.masked_fill(lost, 1), "codes": codes.masked_fill(blank, 0)
    }  # fmt: skip
    categories = [functional.one_hot(codes[:, j], k).to(numeric) for j, k in enumerate(cards)]
    asked = [(blank & (codes > 0))[:, [j]].expand(-1, k) for j, k in enumerate(cards)]
    return view, torch.cat([numeric, *categories], dim=1), torch.cat([lost & (missing == 0), *asked], dim=1)


def _hide_windows(part: Part, share: float) -> tuple[Part, Tensor, Tensor]:
    windows, observed, summary = part["windows"], part["observed"], part["summary"]
    lost, whole = _drawn(windows.shape[:2], share, windows), _drawn((len(windows), 1), share, windows)
    view = {
        **part, "windows": windows.masked_fill(lost[..., None, None], 0), "observed": observed.masked_fill(lost[..., None], 0),
        "summary": summary.masked_fill(whole, 0),
    }  # fmt: skip
    asked = (lost[..., None] & (observed > 0))[..., None].expand_as(windows)
    values = torch.cat([windows.flatten(1), summary], dim=1)
    return view, values, torch.cat([asked.flatten(1), whole.expand_as(summary)], dim=1)


def _hide_text(part: Part, share: float) -> tuple[Part, Tensor, Tensor]:
    vector = part["vector"]
    lost = _drawn((len(vector), 1), share, vector)
    view = {**part, "vector": vector.masked_fill(lost, 0), "present": part["present"] & ~lost[:, 0]}
    return view, vector, lost.expand_as(vector)


def _drawn(shape: tuple[int, ...], share: float, like: Tensor) -> Tensor:
    return torch.rand(shape, device=like.device) < share
