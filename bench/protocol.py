"""How methods are compared: the split, how many patients are learned from, and what the methods are shown."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import PurePath
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from bench import registry, splits
from bench.core import JSON, BenchError, Cohort, Encodings, Precision, Series, Text
from bench.registry import Spec, unknown
from bench.splits import RANDOM, Splits, kinds
from bench.store import Part

At: TypeAlias = Literal["test", "train", "both"]
FEWEST = 20  # patients to learn from: 3 of them validate
QUICK_ROWS = 1500
LONGEST = 60  # characters of outcomes' names in a label
TFIDF, WINDOWS = Encodings().text, Encodings().series
BASE = ("folds", "seed", "quick", "rows")  # of every stored identity; all else only where it is not the default


@dataclass(frozen=True)
class Protocol:
    """How methods are compared. quick: a first look on `rows` patients, trained briefly.

    split: random, site (leave one out), time (before and from `cut`), or a column of the cohort, see `bench.splits.kinds`. folds: of a
    random split; of others what the cohort gives, see `on`. train_size: patients learned from at most, validation among them; the
    same test rows. drop: modalities that no row has, at the test, in training or both. text, series: how they become numbers, see
    `bench.prep`; encoder: the digest of the pretrained one that text names. outcomes: those trained and judged alone, () for all; the
    same rows in every side, as the split is made on all. precision: of networks in training, see `bench.core.Run`. tune, tune_minutes:
    trials of other settings before every cell, or minutes of them, see `bench.tune`; 0 of both: every method's defaults.
    """

    folds: int = 5
    repeats: int = 1
    seed: int = 0
    quick: bool = False
    rows: int | None = None
    split: str = RANDOM
    cut: str = "0.7"
    train_size: int | None = None
    drop: tuple[str, ...] = ()
    at: At = "test"
    text: str = TFIDF
    series: str = WINDOWS
    encoder: str = ""
    outcomes: tuple[str, ...] = ()
    precision: Precision = "float32"
    tune: int = 0
    tune_minutes: float = 0.0

    def __post_init__(self) -> None:
        for name in ("drop", "outcomes"):  # lists where they come from JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def part(self) -> Part:
        """Repeats are no part of it: they add cells to the same protocol."""
        defaults = {field.name: field.default for field in fields(self)}
        values: dict[str, Any] = {k: v for k, v in asdict(self).items() if k in BASE or v != defaults[k]}
        values.pop("repeats", None)
        if self.encoder:
            values["text"] = self._text()  # wherever the folder lies: `encoder` says what is in it
        identity: dict[str, JSON] = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        return Part(self._label(), identity)

    def _label(self) -> str:
        kind = f"cv{self.folds}" if self.split == RANDOM else self.split
        dropped = f"-{self.at}-without-{'-'.join(self.drop)}" if self.drop else ""
        encoded = "".join(f"-{word}" for word, usual in ((self._text(), TFIDF), (self.series, WINDOWS)) if word != usual)
        encoded += f"-{self.precision}" if self.precision != Protocol.precision else ""
        chosen = f"-of-{joined(self.outcomes)}" if self.outcomes else ""
        size = f"-n{self.train_size}" if self.train_size else ""
        tuned = f"-{self.tuning.replace('=', '')}" if self.tuning else ""
        return f"{'quick-' if self.quick else ''}{kind}{size}{dropped}{encoded}{chosen}{tuned}"

    @property
    def tuning(self) -> str:
        """The budget of every cell: tune=20 trials, tune=15min; "" of none."""
        if self.tune_minutes:
            return f"tune={self.tune_minutes:g}min"
        return f"tune={self.tune}" if self.tune else ""

    def _text(self) -> str:
        """The word; of a folder its last part alone."""
        return f"hf:{PurePath(self.text[3:]).name}" if self.text.startswith("hf:") else self.text

    @property
    def word(self) -> str:
        """What a line says of it besides method and cell; "" of the default."""
        size = "" if self.train_size is None else f"n={self.train_size}"
        return " ".join(filter(None, (size, joined(self.outcomes), self.tuning)))

    def on(self, cohort: Cohort, only: int | None = None) -> Splits:
        """The splits of a cohort, of this repeat `only` or of all. BenchError for a split or a modality that it does not have."""
        names = list(cohort.inputs.modalities)
        for name in self.drop:
            if name not in names:
                raise BenchError(unknown(f"modality of '{cohort.name}'", name, names))
        if set(names) <= set(self.drop):
            raise BenchError(f"a method needs a modality, but all of '{cohort.name}' are dropped: {', '.join(names)}. Keep one.")
        within = splits.subsample(cohort, self.rows, self.seed) if self.rows else None
        return splits.of(
            cohort, self.split, folds=self.folds, repeats=self.repeats, seed=self.seed, cut=self.cut, patients=self.train_size,
            within=within, only=only,
        )  # fmt: skip

    def fitting(self, cohort: Cohort) -> "Protocol":
        """The same, with the usual encoding of what the cohort does not have: no cell is trained twice for a word that says nothing.

        Nor for naming all outcomes. BenchError for an outcome that it does not have.
        """
        names = list(cohort.task_names)
        for name in self.outcomes:
            if name not in names:
                raise BenchError(unknown(f"outcome of '{cohort.name}'", name, names))
        texts, series = (bool(cohort.inputs.of(kind)) for kind in (Text, Series))
        usual: dict[str, Any] = {} if texts else {"text": TFIDF, "encoder": ""}
        chosen = () if set(names) == set(self.outcomes) else self.outcomes
        return replace(self, **usual, series=self.series if series else WINDOWS, outcomes=chosen)

    def unfollowed(self, given: "Protocol") -> list[str]:
        """What a reader has to know of the encodings that were asked for. self: what became of `given` on a cohort."""
        pairs = (("text", given.text, self.text, "texts"), ("series", given.series, self.series, "series"))
        said = [f"{name}={word} changes nothing here: the cohort has no {what}" for name, word, now, what in pairs if word != now]
        if self.text != TFIDF:
            from bench.prep import text

            said += filter(None, [text.said(self.text)])
        return said

    def encoded(self, cohort: Cohort) -> Cohort:
        """The cohort, whose inputs say how texts and series become numbers. BenchError where the encoder is no longer what it was."""
        if self.encoder and _encoder(self.text, self.series) != self.encoder:
            raise BenchError(f"the encoder of text={self.text} changed while the run was under way. Start the run again.")
        return replace(cohort, inputs=replace(cohort.inputs, encodings=Encodings(self.text, self.series)))

    def learned(self, rows: int) -> float:
        """Patients a cell learns from, validation among them, in a cohort of so many."""
        share = 1 - 1 / self.folds if self.folds > 1 else 0.7
        return min((self.rows or rows) * share, self.train_size or np.inf)


def joined(outcomes: Sequence[str]) -> str:
    """a+b; of many the first and how many more, with a hash of them all, for a file name has 255 characters at most."""
    whole = "+".join(outcomes)
    if len(whole) <= LONGEST:
        return whole
    return f"{outcomes[0][:LONGEST]}+{len(outcomes) - 1}-more-{hashlib.sha256(whole.encode()).hexdigest()[:4]}"


def own_split(dataset: Spec) -> dict[str, Any]:
    """What a dataset says of its split, where the command does not: `split(**dials)` in its file gives {"split": ..., "cut": ...}."""
    own: Any = getattr(registry.loaded(dataset), "split", None)
    return own(**registry.settings(dataset)) if own is not None else {}


def wanted(dataset: Spec, split: str | None, cut: str | float | None, **options: Any) -> list[Protocol]:
    """What `asked` gives, with the dataset's own split where split is None."""
    own: dict[str, Any] = own_split(dataset) if split is None else {"split": split}
    given: dict[str, Any] = own if cut is None else {**own, "cut": str(cut)}
    return asked(**options, **given)


def asked(
    *,
    folds: int | None = None,
    repeats: int = 1,
    seed: int = 0,
    quick: bool = False,
    split: str = RANDOM,
    cut: str | None = None,
    train_size: "int | str | Sequence[int | str] | None" = None,
    drop: Sequence[str] = (),
    at: str = "test",
    text: str = TFIDF,
    series: str = WINDOWS,
    outcomes: Sequence[str] = (),
    precision: str = "float32",
    tune: int = 0,
    tune_minutes: float = 0.0,
) -> list[Protocol]:
    """The protocols that a user's options ask for, one a training size. BenchError where they are out of range or do not fit."""
    count = (2 if quick else 5) if folds is None else folds
    for name, value, least in (("folds", count, 2), ("repeats", repeats, 1), ("seed", seed, 0)):
        if value < least:
            raise BenchError(f"{name} must be {least} or more, but is {value}")
    if folds is not None and split != RANDOM:
        raise BenchError(
            f"folds are of the random split, but the split is '{split}', which has its own. Leave --folds out or add --split random."
        )
    if cut is not None and split != kinds.TIME:
        raise BenchError(f"cut is of the split by time, but the split is '{split}'. Add --split time or leave --cut out.")
    if at not in get_args(At):
        raise BenchError(unknown("side to drop a modality at", at, list(get_args(At))))
    if precision not in get_args(Precision):
        raise BenchError(unknown("precision", precision, list(get_args(Precision))))
    if at != "test" and not drop:
        raise BenchError(f"at={at} says where a modality is dropped, but none is. Add --drop-modality or leave --at out.")
    _check_budget(tune, tune_minutes)
    rows = QUICK_ROWS if quick else None
    side: Any = at
    rounded: Any = precision
    common = Protocol(
        count, repeats, seed, quick, rows, split, _cut(cut), drop=tuple(sorted(set(drop))), at=side, text=text, series=series,
        encoder=_encoder(text, series), outcomes=tuple(sorted(set(outcomes))), precision=rounded, tune=tune, tune_minutes=tune_minutes,
    )  # fmt: skip
    return [replace(common, train_size=size) for size in _sizes(train_size)]


def _check_budget(trials: int, minutes: float) -> None:
    if trials and minutes:
        raise BenchError(
            f"a budget is of trials or of minutes, but got tune={trials} and tune_minutes={minutes:g}. Leave one out."
        )
    if trials < 0 or trials == 1:
        raise BenchError(f"tune must be 2 trials or more, the first of which has the defaults, but is {trials}")
    if not 0 <= minutes < np.inf:
        raise BenchError(f"tune minutes must be above 0, but is {minutes:g}")


def _encoder(text: str, series: str) -> str:
    """The digest of the pretrained encoder, "" if text asks for none. BenchError for an encoding that there is not."""
    if (text, series) == (TFIDF, WINDOWS):
        return ""
    from bench.prep import series as of_series  # scikit-learn: not for those who ask for nothing
    from bench.prep import text as of_text

    of_series.check(series)
    of_text.check(text)
    source = of_text.parse(text).source
    return of_text.open_encoder(source).digest if source else ""


def _cut(cut: str | None) -> str:
    """In one spelling: .70 and 0.7 are the same protocol."""
    if cut is None:
        return Protocol.cut
    try:
        return f"{float(cut):.12g}"
    except ValueError:
        return cut.strip()


def _sizes(given: "int | str | Sequence[int | str] | None") -> list[int | None]:
    """Each once, rising; None for all, last: the newest run is the one whose report has the learning curve."""
    if given is None:
        return [None]
    parts = (
        [part.strip() for part in given.split(",")] if isinstance(given, str) else [given] if isinstance(given, int) else given
    )
    sizes = [_size(part) for part in parts if part != ""]
    if not sizes:
        raise BenchError("no training size given. It is a number of patients, or all.")
    return sorted(set(sizes), key=lambda size: (size is None, size or 0))


def _size(part: int | str) -> int | None:
    if part == "all":
        return None
    text = str(part)
    if not text.isdecimal() or int(text) < FEWEST:
        raise BenchError(f"train size must be {FEWEST} patients or more, or all, but is '{part}'")
    return int(text)
