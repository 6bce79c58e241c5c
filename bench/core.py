"""The nouns every part of the suite shares: tasks, inputs, cohorts, splits, methods and predictors.

Missing things first: NaN in a table is "not measured", "" in a text is "no note", `present` marks a modality that a row
lacks as a whole, and a NaN label is "unknown or not at risk". Nothing here fills any of them in.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import pandas as pd
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
Floats: TypeAlias = NDArray[np.floating[Any]]
Rows: TypeAlias = NDArray[np.int64]

# The ranges that settings are declared with: checked by the registry before anything is trained.
Count = Annotated[int, Ge(1)]
NonNegative = Annotated[float, Ge(0.0)]
Positive = Annotated[float, Gt(0.0)]
Share = Annotated[float, Ge(0.0), Le(1.0)]
PositiveShare = Annotated[float, Gt(0.0), Le(1.0)]
ProperShare = Annotated[float, Ge(0.0), Lt(1.0)]


class BenchError(Exception):
    """What a user can mend: one line with the rule, the value seen and the way out. Printed without a traceback."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # a value from a user's file may hold line ends


class Unsupported(BenchError):
    """A method declines a cohort; the reason is shown in the table instead of a number."""


@dataclass(frozen=True, slots=True)
class Task:
    """One outcome. `implies`: tasks that must be 1 when this one is. `competing`: how death before the horizon is coded.

    `thresholds`: the range of risks over which a decision curve makes sense.
    """

    name: str
    label: str = ""
    kind: Literal["binary"] = "binary"
    implies: tuple[str, ...] = ()
    competing: str = ""
    thresholds: tuple[float, float] | None = None


def _present(present: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_]:
    out = np.ones(n, bool) if present is None else np.asarray(present, bool).copy()
    out.flags.writeable = False
    return out


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, init=False)
class Tabular:
    """A table (n, columns): numeric columns with NaN for "not measured", pandas Categorical columns for codes."""

    _frame: pd.DataFrame
    present: NDArray[np.bool_]

    def __init__(self, frame: pd.DataFrame, present: NDArray[np.bool_] | None = None) -> None:
        object.__setattr__(self, "_frame", frame.reset_index(drop=True))
        object.__setattr__(self, "present", _present(present, len(frame)))

    @property
    def frame(self) -> pd.DataFrame:
        """A shallow copy: a method that fills in or scales in place does so for itself, not for those that share these rows."""
        return self._frame.copy(deep=False)

    def __len__(self) -> int:
        return len(self._frame)

    def rows(self, which: Rows) -> "Tabular":
        return Tabular(self.frame.iloc[which], self.present[which])

    def feed(self, add: Callable[[Any], None]) -> None:
        for name, column in self.frame.items():
            add(str(name))
            if isinstance(column.dtype, pd.CategoricalDtype):
                add([str(c) for c in column.cat.categories])
                add(column.cat.codes.to_numpy(np.int64))
            else:
                add(column.to_numpy(np.float64))


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, init=False)
class Series:
    """Irregular events, sorted by row: row i owns the events offsets[i]:offsets[i + 1].

    offsets: (n + 1,) int64. time: (events,) float32, minutes before the prediction (0 = the moment of prediction, larger = earlier).
    channel: (events,) int16, an index into `channels`. value: (events,) float32. `units`: one per channel.
    """

    offsets: NDArray[np.int64]
    time: NDArray[np.float32]
    channel: NDArray[np.int16]
    value: NDArray[np.float32]
    channels: tuple[str, ...]
    units: tuple[str, ...]
    present: NDArray[np.bool_]

    def __init__(
        self,
        offsets: NDArray[Any],
        time: NDArray[Any],
        channel: NDArray[Any],
        value: NDArray[Any],
        channels: Iterable[str],
        units: Iterable[str] = (),
        present: NDArray[np.bool_] | None = None,
    ) -> None:
        names = tuple(channels)
        arrays = {
            "offsets": np.array(offsets, np.int64),
            "time": np.array(time, np.float32),
            "channel": np.array(channel, np.int16),
            "value": np.array(value, np.float32),
        }
        for key, array in arrays.items():
            array.flags.writeable = False
            object.__setattr__(self, key, array)
        object.__setattr__(self, "channels", names)
        object.__setattr__(self, "units", tuple(units) or ("",) * len(names))
        if len(offsets) == 0:
            raise BenchError("offsets of a series need one entry per row and one more, but there are none")
        object.__setattr__(self, "present", _present(present, len(offsets) - 1))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self, which: Rows) -> "Series":
        start, stop = self.offsets[which], self.offsets[which + 1]
        length = stop - start
        offsets = np.concatenate([[0], np.cumsum(length)])
        take = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], length)
        return Series(
            offsets, self.time[take], self.channel[take], self.value[take], self.channels, self.units, self.present[which]
        )

    def feed(self, add: Callable[[Any], None]) -> None:
        add([*self.channels, *self.units])
        for array in (self.offsets, self.time, self.channel, self.value):
            add(array)


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False, init=False)
class Text:
    """n strings, "" for none."""

    strings: NDArray[np.object_]
    present: NDArray[np.bool_]

    def __init__(self, strings: Iterable[str], present: NDArray[np.bool_] | None = None) -> None:
        array = np.array(list(strings), dtype=object)
        array.flags.writeable = False
        object.__setattr__(self, "strings", array)
        object.__setattr__(self, "present", _present(present, len(array)))

    def __len__(self) -> int:
        return len(self.strings)

    def rows(self, which: Rows) -> "Text":
        return Text(self.strings[which], self.present[which])

    def feed(self, add: Callable[[Any], None]) -> None:
        add(list(self.strings))


Modality: TypeAlias = Tabular | Series | Text


@dataclass(frozen=True, slots=True)
class Encodings:
    """How texts and series become numbers, the same for all methods of a run: see `bench.prep`."""

    text: str = "tfidf"
    series: str = "windows"


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """All a method may see when it predicts: no label can leak, by type. encodings: of what is fitted on them."""

    modalities: Mapping[str, Modality]
    encodings: Encodings = Encodings()

    def __len__(self) -> int:
        return len(next(iter(self.modalities.values())))

    def rows(self, which: NDArray[Any]) -> "Inputs":
        index = row_index(which)
        return Inputs({name: modality.rows(index) for name, modality in self.modalities.items()}, self.encodings)

    def of(self, kind: type[Modality]) -> dict[str, Any]:
        """The modalities of one kind, by name."""
        return {name: modality for name, modality in self.modalities.items() if isinstance(modality, kind)}


def row_index(which: NDArray[Any]) -> Rows:
    """A mask or an index array as an index array of int64."""
    array = np.asarray(which)
    return np.flatnonzero(array) if array.dtype == bool else array.astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Cohort:
    """Patients, what is known of them and what became of them. Made by `checks.build`; a part of one by `rows`.

    labels: (n, T) float32, 0, 1 or NaN. weights: (n, T) float32, inverse probability of not being censored, or None.
    patients, groups: (n,) str; a group never crosses a split. variants: other definitions of outcomes, which nobody learns from: a
    column `variant:OUTCOME~NAME` of labels each, and `variant-weight:OUTCOME~NAME` where follow-up ends early. definitions: of an outcome,
    or of OUTCOME~NAME, the rule as its user wrote it.
    """

    name: str
    inputs: Inputs
    tasks: tuple[Task, ...]
    labels: NDArray[np.float32]
    patients: NDArray[np.str_]
    groups: NDArray[np.str_]
    digest: str
    weights: NDArray[np.float32] | None = None
    site: NDArray[np.str_] | None = None
    time: NDArray[np.datetime64] | None = None
    subgroups: pd.DataFrame | None = None
    variants: pd.DataFrame | None = None
    notices: tuple[str, ...] = ()  # what the checks changed, in words
    leaks: tuple[tuple[str, str], ...] = ()  # alarms let through by name: the column, and the text, which is among the notices
    definitions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def task_names(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.tasks)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(n, T) where the label is known."""
        return ~np.isnan(self.labels)

    @property
    def loss_weights(self) -> NDArray[np.float32]:
        """(n, T) weight of each label in losses and metrics: 0 where unknown."""
        weights = np.ones_like(self.labels) if self.weights is None else self.weights
        return np.where(self.mask, weights, np.float32(0)).astype(np.float32)

    def rows(self, which: NDArray[Any]) -> "Cohort":
        index = row_index(which)

        def part(array: Any) -> Any:
            return None if array is None else array[index]

        def of(frame: pd.DataFrame | None) -> pd.DataFrame | None:
            return None if frame is None else frame.iloc[index].reset_index(drop=True)

        return replace(
            self,
            inputs=self.inputs.rows(index),
            labels=self.labels[index],
            patients=self.patients[index],
            groups=self.groups[index],
            weights=part(self.weights),
            site=part(self.site),
            time=part(self.time),
            subgroups=of(self.subgroups),
            variants=of(self.variants),
            digest=hashlib.sha256(self.digest.encode() + np.ascontiguousarray(index).tobytes()).hexdigest(),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One fold of one repeat: disjoint row indices into the cohort."""

    repeat: int
    fold: int
    train: Rows
    valid: Rows
    test: Rows


Precision: TypeAlias = Literal["float32", "bfloat16", "float64"]


@dataclass(frozen=True, slots=True)
class Run:
    """How to train, as opposed to what: the same for every method of a cell. `quick`: a first look, train as little as makes sense.

    device: as torch writes it, cpu or cuda:0; a method that cannot use it stays on the CPU. precision: of networks; bfloat16 is mixed,
    the products of a training step alone.
    """

    seed: int = 0
    device: str = "cpu"
    precision: Precision = "float32"
    threads: int = 1
    quick: bool = False
    report: Callable[[int, float], None] = field(default=lambda step, score: None, compare=False)


class Fold(NamedTuple):
    """What one training is given."""

    train: Cohort
    valid: Cohort
    run: Run


class Predictor(Protocol):
    """What was learned. It owns its fitted preparation, so it works on new patients."""

    @property
    def facts(self) -> Mapping[str, JSON]: ...

    def predict(self, inputs: Inputs) -> NDArray[np.float32]:
        """(n, T) probabilities, one column a task."""
        ...


class Method(Protocol):
    """A frozen dataclass whose fields are its settings. Its file ends with METHOD = ThatClass.

    An unknown label teaches nothing, and a row without any known label no more than what is fitted to the inputs alone (medians,
    scales, words). A method that learns from such rows says so in its docstring under "Adapter", which its card and the report show.

    It may also have `family` (the heading in tables; `group` where it depends on settings), `uses` (ids of methods whose code it runs
    on), `packages` and `files` (libraries, by their import names, and code that it uses and its file does not import) and `check(tasks)`, which raises
    BenchError before anything is trained where a setting does not fit the outcomes' names. And `fit_group(folds)`, which trains several
    at once and yields (place among the folds, Predictor) as each ends, with `alone`: why it cannot with these settings, "" if it can.
    And `idle(cohort)`: settings that tuning leaves alone, see `bench.search`. An adapter's class has `resolved(settings)`: the class
    with the fields that these settings ask for; its file says ADAPTER = True, and `all` leaves it out.
    """

    def fit(self, train: Cohort, valid: Cohort, run: Run) -> Predictor: ...
