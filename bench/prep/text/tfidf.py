"""Notes as TF-IDF of words and word pairs, reduced by a truncated singular value decomposition."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import Text
from bench.prep.text.scripts import UNSPACED

COMPONENTS = 32
WORDS = 20_000  # most frequent words and pairs kept
TOKEN = rf"[{UNSPACED}]|[^\W{UNSPACED}]{{2,}}"  # scikit-learn's words of two letters or more, or one sign of an unspaced script


@dataclass(frozen=True, slots=True, eq=False)
class TextVectors:
    """n notes -> (n, k) float32, k <= 32. A row without the modality is NaN; an empty note, or one of unknown words, is 0.

    Words and pairs seen in fewer than three training notes are left out; of a script that writes without spaces each sign is a word.
    When nothing is left, k = 1 and every vector is 0.
    With at most 32 words and pairs left there is nothing to reduce, and the vectors are the TF-IDF weights themselves.
    """

    vectorizer: Any  # a fitted TfidfVectorizer, or None where the training notes hold no word
    components: NDArray[np.float64] | None  # (words, k), or None for the TF-IDF weights themselves
    width: int

    @classmethod
    def fit(cls, text: Text) -> "TextVectors":
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        notes = [str(s) for s in text.strings[text.present] if s]
        vectorizer: Any = TfidfVectorizer(
            token_pattern=TOKEN, ngram_range=(1, 2), min_df=min(3, max(len(notes), 1)), max_features=WORDS, sublinear_tf=True
        )
        try:
            weights: Any = vectorizer.fit_transform(notes)
        except ValueError:  # scikit-learn's word for "no word is left"
            return cls(None, None, 1)
        if weights.shape[1] <= COMPONENTS:
            return cls(vectorizer, None, weights.shape[1])
        svd: Any = TruncatedSVD(min(COMPONENTS, *weights.shape), random_state=0).fit(weights)
        components = np.ascontiguousarray(svd.components_.T)
        return cls(vectorizer, components, components.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"svd{i}" for i in range(self.width))

    def __call__(self, text: Text) -> NDArray[np.float32]:
        out = np.zeros((len(text), self.width), np.float32)
        if self.vectorizer is not None and len(text):
            weights = self.vectorizer.transform([str(s) for s in text.strings])
            # sparse times dense sums each row by itself: a note alone has the same vector as in a batch
            dense = weights.toarray() if self.components is None else weights @ self.components
            # the last bits of the SVD differ between processors' BLAS kernels; what a network learns from must not
            out = np.round(np.asarray(dense), 5).astype(np.float32)
        out[~text.present] = np.nan
        return out
