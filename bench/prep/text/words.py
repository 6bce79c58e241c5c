"""Notes as numbered words, for an encoder that learns its own embedding of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import Text
from bench.prep.text.scripts import WORD

KEPT = 20_000  # most frequent words
LENGTH = 256  # words of a note that are read


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """n notes -> ids (n, length) int32, 0 = nothing. A word that fewer than three training notes hold is left out.

    An absent row, an empty note and one of unknown words are all 0. Of a long note the first 256 known words are read.
    """

    numbers: Mapping[str, int]  # word -> 1..k
    length: int

    @classmethod
    def fit(cls, text: Text) -> "Words":
        notes = [_words(str(s)) for s in text.strings[text.present] if s]
        count = Counter(word for note in notes for word in set(note))
        known = sorted((w for w, k in count.items() if k >= min(3, len(notes))), key=lambda w: (-count[w], w))[:KEPT]
        numbers = {word: i for i, word in enumerate(known, 1)}
        longest = max((sum(word in numbers for word in note) for note in notes), default=0)
        return cls(numbers, max(min(longest, LENGTH), 1))

    @property
    def size(self) -> int:
        """Rows the embedding needs besides nothing's: at least one, so that a cohort without a word trains too."""
        return max(len(self.numbers), 1)

    def __call__(self, text: Text) -> dict[str, NDArray[Any]]:
        out = np.zeros((len(text), self.length), np.int32)
        for i in np.flatnonzero(text.present):
            ids = [self.numbers[w] for w in _words(str(text.strings[i])) if w in self.numbers][: self.length]
            out[i, : len(ids)] = ids
        return {"ids": out}


def _words(note: str) -> list[str]:
    return WORD.findall(note.lower())
