"""Texts that tell the outcome: a word that alone separates, or the outcome's own words where they are mostly right.

The outcome's words are those of its name and label, so "unplanned ICU admission" in a note written afterwards is found while an
operation that always ends in intensive care is not: that is knowledge, not a leak. An empty note holds no word. Inflected forms
are other words, but where one holds the other. Scripts that write without spaces are read in pieces of two signs.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cohorts import separation
from bench.cohorts.alarm import Alarm, way_out
from bench.core import Floats, Task, Text
from bench.prep.text.scripts import SIGN, UNSPACED

ROWS, LETTERS = 20_000, 20_000_000  # at most so many notes, and letters in all
WORDS = 20_000  # most frequent ones looked at
ALONE, OWN = 0.95, 0.8  # AUROC of a word's presence: of any, and of an outcome's own
SURE, ODDS = 0.8, 10.0  # or, of an outcome's own word: lower end of the outcome's rate where it stands, and odds ratio
LEAST = 10  # rows that hold it
GENERAL = frozenset(
    ["the", "and", "for", "with", "without", "within", "after", "before", "from", "into", "over", "under", "above", "below", "any", "all", "not", "non", "new", "old", "high", "low", "day", "days", "hour", "hours", "week", "weeks", "month", "months", "year", "years", "min", "time", "patient", "patients", "hospital", "outcome", "event", "label", "days30", "die", "der", "das", "und", "mit", "ohne", "患者", "病人", "住院", "入院", "院内", "院後", "术后", "術後", "期间", "期間", "환자", "병원"]
)  # fmt: skip
NEGATED = (
    r"(?:\b(?:no|not|without|denies|denied|never|kein\w*|ohne|nicht|negative for|free of)\s+(?:\w+\s+)?"
    r"|(?:未|无|無|没有|沒有|否认|否認)(?:发生|發生|出现|出現|见|見)?)"
)
# every two signs of a script without spaces, overlapping; of others a word of two letters or more
PIECE = rf"(?=([{UNSPACED}]{{2}}|(?<![^\W{UNSPACED}])[^\W{UNSPACED}]{{2,}}))"
RUN = re.compile(rf"[{UNSPACED}]+|[^\W_{UNSPACED}]+")


def alarms(key: str, text: Text, tasks: Sequence[Task], labels: NDArray[np.float32]) -> list[Alarm]:
    """At most one alarm of a text for each outcome."""
    notes, kept = _notes(text, labels)
    if not any(notes):
        return []
    found: list[Alarm] = []
    rates = _presence(notes)
    for t, task in enumerate(tasks):
        y = kept[:, t]
        alarm = _own(key, task, notes, y) or _alone(key, task, *rates, y)
        found += [alarm] if alarm else []
    return found


def _notes(text: Text, labels: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
    """Plain notes, and the labels of their rows."""
    n = len(text)
    rows = np.arange(n) if n <= ROWS else np.sort(np.random.default_rng(2).choice(n, ROWS, replace=False))
    notes = [_plain(str(text.strings[r])) if text.present[r] else "" for r in rows]
    total = np.cumsum([len(note) for note in notes])
    enough = int(np.searchsorted(total, LETTERS, "right")) + 1
    return notes[:enough], labels[rows[:enough]]


def _plain(text: str) -> str:
    """In small letters, each written in one way: an accent is part of its letter, a full-width letter a letter."""
    return unicodedata.normalize("NFKC", text.casefold())


def own_words(task: Task) -> list[str]:
    """Words of an outcome's name and label that are about it; of a run without spaces its pieces besides."""
    runs = RUN.findall(_plain(f"{task.name} {task.label}"))
    parts = [part for run in runs for part in (run, *(_pairs(run) if SIGN.match(run) else ()))]
    return [
        word
        for word in dict.fromkeys(parts)
        if not word.isdigit() and word not in GENERAL and len(word) > (1 if not word.isascii() else 2)
    ]


def _pairs(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(len(run) - 1)]


def _own(key: str, task: Task, notes: Sequence[str], y: Floats) -> Alarm | None:
    """The outcome's own word, where the outcome nearly always follows."""
    for word in own_words(task):
        # inside longer words too, where it is long enough to mean the same there, or the script has no spaces
        inside = len(word) >= 5 or not word.isascii()
        plain = re.compile(re.escape(word) if inside else rf"\b{re.escape(word)}\b")
        negated = re.compile(NEGATED + plain.pattern)
        for cleaned in (False, True):
            has = np.array([plain.search(negated.sub(" ", note) if cleaned else note) is not None for note in notes])
            rate, low, odds = _rate(has, y)
            auroc, least = _auroc(has, y)
            if (low > SURE and odds > ODDS) or least > OWN:
                said = (
                    f"text '{key}' holds the word '{word}' of outcome '{task.name}', which is 1 in {rate:.0%} of the "
                    f"{int((has & ~np.isnan(y)).sum()):,} rows that do (AUROC {auroc:.3f}): it may have been written afterwards. "
                    f"{way_out(key)}"
                )
                return Alarm(key, task.name, "words", rate, said)
            if not has.any():
                break
    return None


def _rate(has: NDArray[np.bool_], y: Floats) -> tuple[float, float, float]:
    """(rate of the outcome where the word stands, lower end of its Wilson interval, odds ratio); zeros where it hardly stands."""
    known = ~np.isnan(y)
    n, rest = int((has & known).sum()), int((~has & known).sum())
    if n < LEAST:
        return 0.0, 0.0, 0.0
    events, others = float(y[has & known].sum()), float(y[~has & known].sum())
    odds = (events + 0.5) / (n - events + 0.5) / ((others + 0.5) / (rest - others + 0.5))
    return events / n, separation.wilson(events, n)[0], float(odds)


def _auroc(has: NDArray[np.bool_], y: Floats) -> tuple[float, float]:
    """AUROC of holding the word, and the lower end of its interval; chance where there are few of either class."""
    event, other = y == 1, y == 0
    m, n = event.sum(), other.sum()
    if min(m, n) < LEAST:
        return 0.5, 0.5
    auroc = 0.5 + np.array([float(has[event].mean() - has[other].mean())]) / 2
    return float(auroc[0]), float(separation.lower(auroc, m[None], n[None])[0])


def _presence(notes: Sequence[str]) -> tuple[Any, list[str]]:
    """(notes, words) sparse, 1 where the note holds the word."""
    from sklearn.feature_extraction.text import CountVectorizer

    pattern = PIECE if any(SIGN.search(note) for note in notes) else r"\w\w+"
    vectorizer = CountVectorizer(binary=True, token_pattern=pattern, min_df=LEAST, max_features=WORDS)
    try:
        return vectorizer.fit_transform(notes), vectorizer.get_feature_names_out().tolist()
    except ValueError:  # scikit-learn's word for "no word is left"
        return None, []


def _alone(key: str, task: Task, matrix: Any, words: Sequence[str], y: Floats) -> Alarm | None:
    """A word whose mere presence, or absence, tells the outcome."""
    if not words:
        return None
    event, other = y == 1, y == 0
    if min(event.sum(), other.sum()) < LEAST:
        return None
    share = [np.asarray(of.astype(np.float64) @ matrix).ravel() / of.sum() for of in (event, other)]
    auroc = 0.5 + np.abs(share[0] - share[1]) / 2
    best = int(np.argmax(auroc))
    if not separation.lower(auroc[best : best + 1], event.sum()[None], other.sum()[None])[0] > ALONE:
        return None
    what = f"whether text '{key}' holds the word '{words[best]}' alone predicts '{task.name}' with AUROC {auroc[best]:.3f}"
    return Alarm(key, task.name, "words", float(auroc[best]), f"{what}, above {ALONE:g}. {way_out(key)}")
