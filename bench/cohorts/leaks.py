"""What looks like the outcome in disguise: alarms that stop a run unless the column is let through by name.

A column, a series' channel or a text is judged by itself, on at most 100,000 rows, missing values as a level of their own and
unknown labels left out. An alarm needs the lower end of a 95 % interval above its threshold, and at least `EVENTS` rows of either
class, so that a few events raise none by chance. What passes is not proven harmless: a weak leak looks like a good predictor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.cohorts import separation, texts, traces
from bench.cohorts.alarm import DUPLICATES, Alarm, quoted, way_out
from bench.cohorts.separation import Told
from bench.core import BenchError, Modality, Series, Tabular, Task, Text
from bench.registry import unknown
from bench.splits import kinds

if TYPE_CHECKING:
    from bench.cohorts.build import Made

ALONE, ABSENT, SAME = 0.95, 0.65, 0.9  # AUROC of a value, AUROC of being missing, phi
# Times prove that a channel was not measured before the prediction, and tests are ordered for the sick (fib4 of the Mayo study
# tells death at .68 by being there): only what no practice explains is an alarm.
ABSENT_CHANNEL = 0.8
SETTLED, APART = 0.2, 0.25  # share of rows in which an outcome is settled, and how far its rate lies from there elsewhere
SPLIT = "split"  # kind of the alarm of a torn split
EVENTS, EQUAL = 8, 3  # rows of either class; of a column that is the outcome itself
ORDER = ("equal", "alone", "missing", "settled")  # of a column only the first that holds is said


@dataclass(frozen=True, eq=False)
class Candidate:
    """What one column tells. what: how it is called in a sentence."""

    column: str
    what: str
    told: Told
    absent: float = ABSENT


def alarms(made: "Made", each: Iterable[Candidate] | None = None) -> list[Alarm]:
    """Every alarm of a cohort made of the user's own files, the surest first. each: its candidates, where they are known already."""
    return [*_late(made.late), *_split(made), *search(made.modalities, made.tasks, made.labels, made.ids, each)]


def search(
    modalities: Mapping[str, Modality],
    tasks: Sequence[Task],
    labels: NDArray[np.float32],
    patients: NDArray[Any],
    each: Iterable[Candidate] | None = None,
) -> list[Alarm]:
    """The alarms that need no more than the inputs and labels of a cohort. each: as for `alarms`."""
    each = candidates(modalities, labels, patients) if each is None else each
    found = [alarm for one in each for alarm in _judged(one, tasks)]
    found += [alarm for key, text in _of(modalities, Text) for alarm in texts.alarms(key, text, tasks, labels)]
    return [*found, *traces.identifiers(modalities), *traces.duplicates(modalities, patients)]


def candidates(modalities: Mapping[str, Modality], labels: NDArray[np.float32], patients: NDArray[Any]) -> Iterator[Candidate]:
    """Every column, channel and text, with what it tells of the outcomes."""
    taken = separation.sample(labels, patients)
    for _, table in _of(modalities, Tabular):
        frame = table.frame.iloc[taken.rows] if len(taken) < len(table) else table.frame
        for name, column in frame.items():
            if isinstance(column.dtype, pd.CategoricalDtype):
                yield Candidate(str(name), f"column '{name}'", separation.levels(column.cat.codes.to_numpy(), taken))
            else:
                yield Candidate(str(name), f"column '{name}'", separation.numeric(column.to_numpy(np.float64), taken))
    for key, series in _of(modalities, Series):
        part = series.rows(taken.rows)
        for c, channel in enumerate(series.channels):
            what = f"the last '{channel}' of series '{key}'"
            yield Candidate(f"{key}.{channel}", what, separation.numeric(traces.last(part, c), taken), ABSENT_CHANNEL)
    for key, text in _of(modalities, Text):
        empty = np.array([not s.strip() for s in text.strings[taken.rows]], bool) | ~text.present[taken.rows]
        yield Candidate(key, f"text '{key}'", separation.levels(np.where(empty, -1, 0), taken))


def allowed(made: "Made", names: Iterable[str]) -> list[str]:
    """The names that may be let through. BenchError, with the closest, for one that no alarm could be about."""
    known = [*made.source.columns, *made.modalities, DUPLICATES]
    channels = [f"{key}.{channel}" for key, series in _of(made.modalities, Series) for channel in series.channels]
    out = list(names)
    for name in out:
        if name not in known and name not in channels:
            raise BenchError(unknown("column in allow_leak", name, known))
    return out


def judge(found: Iterable[Alarm], allow: Iterable[str]) -> tuple[list[Alarm], list[Alarm]]:
    """(alarms that stop a run, alarms let through). allow: columns, `series.channel`, a whole series, or "duplicates".

    A split that tears patients apart is never let through: no run could be made of it.
    """
    names = set(allow)
    stop: list[Alarm] = []
    passed: list[Alarm] = []
    for alarm in found:
        let = alarm.kind != SPLIT and {alarm.column, alarm.column.partition(".")[0]} & names
        (passed if let else stop).append(alarm)
    return stop, passed


def refuse(stop: Sequence[Alarm], where: str) -> None:
    """BenchError where an alarm is left: the first one in words, the others by name. where: what `bench data check` is asked of."""
    if not stop:
        return
    others = list(dict.fromkeys(alarm.column for alarm in stop if alarm.column != stop[0].column))
    more = f" So {'do' if len(others) > 1 else 'does'} {_some(others)}." if others else ""
    raise BenchError(f"leakage alarm: {stop[0].text}{more} `bench data check {where}` shows {'all' if others else 'it'}.")


def _judged(one: Candidate, tasks: Sequence[Task]) -> list[Alarm]:
    """At most one alarm of a column: the surest kind, of the outcome it tells most of."""
    told, end = one.told, way_out(one.column)
    whole = (told.low > ALONE) & (told.auroc > told.missing + 0.005)  # else it is the missing that tells
    values = {
        "equal": told.phi,
        "alone": np.where(whole, told.auroc, told.among),
        "settled": told.settled,
        "missing": told.missing,
    }
    raised = {
        "equal": told.phi > SAME,
        "alone": whole | (told.among_low > ALONE),
        "settled": (told.settled >= SETTLED) & (np.abs(told.outside - told.always) >= APART),
        "missing": told.missing_low > one.absent,
    }
    for kind in ORDER:
        hit = np.flatnonzero(raised[kind] & (told.fewer >= (EQUAL if kind == "equal" else EVENTS)))
        if len(hit):
            t = int(hit[np.argmax(values[kind][hit])])
            value, outcome = float(values[kind][t]), tasks[t].name
            among = kind == "equal" or (kind == "alone" and not whole[t])
            said = _sentence(kind, one, outcome, value, t) + (_where_measured(told.measured[t]) if among else "")
            others = f" (and of {len(hit) - 1} more outcome{'s' * (len(hit) > 2)})" if len(hit) > 1 else ""
            return [Alarm(one.column, outcome, kind, value, f"{said}{others}. {end}")]
    return []


def _sentence(kind: str, one: Candidate, outcome: str, value: float, t: int) -> str:
    what, told = one.what, one.told
    if kind == "equal":
        return f"{what} is nearly the outcome '{outcome}' itself (phi {value:.3f}, above {SAME:g})"
    if kind == "alone":
        return f"{what} alone predicts '{outcome}' with AUROC {value:.3f}, above {ALONE:g}: it may hold what came after"
    if kind == "missing":
        return f"whether {what} is missing predicts '{outcome}' with AUROC {value:.3f}, above {one.absent:g}: it may be asked of some only"
    always = "always" if told.always[t] else "never"
    return f"{what} decides '{outcome}' in {value:.0%} of the rows: there it {always} happens, in the others to {told.outside[t]:.0%}"


def _where_measured(share: float) -> str:
    return f" (in the {share:.0%} of the rows where it is measured)" if share < 1 else ""


def _late(late: Mapping[str, tuple[int, int]]) -> list[Alarm]:
    """What was measured after the moment of prediction."""
    return [
        Alarm(
            name, "", "late", after / total,
            f"'{name}' holds {after:,} of {total:,} measurements from after the moment of prediction. Leave it out, give a series a "
            f"window, or let it through with --allow-leak {quoted(name)}.",
        )
        for name, (after, total) in late.items() if after
    ]  # fmt: skip


def _split(made: "Made") -> list[Alarm]:
    """A patient whose rows a given split puts on both sides. A split by site or time leaves such rows out of what is learned."""
    by = made.source.file.split.by
    if by in ("random", "site", "time"):
        return []
    owner = pd.Series(made.ids if made.groups is None else made.groups)
    rows = pd.DataFrame({"owner": owner.to_numpy(), "patient": np.asarray(made.ids), "side": kinds.levels(made.source.frame[by])})
    rows = rows[rows["side"] != ""]  # in no fold
    torn = rows.groupby("owner", sort=False)["side"].nunique() > 1
    if not torn.any():
        return []
    first = rows["patient"][(rows["owner"] == torn[torn].index[0]).to_numpy()].iloc[0]
    text = (
        f"column '{by}' splits the patients, but {torn.sum():,} of {len(torn):,}{'' if made.groups is None else ' groups'} have rows "
        f"on several sides (first: patient {first}). Give each patient one value, or split by patient: leave split.by out. "
        "No --allow-leak lets this through."
    )
    return [Alarm(by, "", SPLIT, float(torn.mean()), text)]


def _of(modalities: Mapping[str, Modality], kind: type[Modality]) -> list[tuple[str, Any]]:
    return [(key, modality) for key, modality in modalities.items() if isinstance(modality, kind)]


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
