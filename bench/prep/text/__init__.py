"""Notes as numbers. The word that says how, the same for all methods of a run:

tfidf         TF-IDF of words and word pairs, reduced to 32 numbers on training rows. The default.
minilm        sentence vectors of all-MiniLM-L6-v2, frozen, from a package that carries the weights.
hf:FOLDER     any Hugging Face encoder in a folder on disk, frozen in the same way.
tokens        the words themselves, for a small trainable encoder in the network.

minilm:tune and hf:FOLDER:tune train the encoder's last layer inside the network. Trees and linear models cannot train an encoder:
with `tokens` they get TF-IDF, with `:tune` the frozen vectors, and so does a network with an input layer of its own (`said`).
A row without the modality is NaN (in networks 0 and masked); an empty note is 0.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from bench.core import BenchError, Text
from bench.prep.text.frozen import READ, Encoder, Reduced, States, open_encoder
from bench.prep.text.tfidf import TextVectors
from bench.prep.text.words import LENGTH, Words

__all__ = [
    "Columns",
    "Encoder",
    "Encoding",
    "Reduced",
    "States",
    "TextVectors",
    "Words",
    "check",
    "fit",
    "parse",
    "said",
    "sequences",
]

TUNE = ":tune"
WORDS = ("tfidf", "minilm", "hf:FOLDER", "tokens", "minilm:tune", "hf:FOLDER:tune")

Columns: TypeAlias = TextVectors | Reduced


@dataclass(frozen=True, slots=True)
class Encoding:
    """kind: tfidf, tokens or frozen. source: minilm or a folder, of what is frozen. tuned: its last layer in networks."""

    kind: str
    source: str = ""
    tuned: bool = False


def parse(word: str) -> Encoding:
    """What the word asks for. BenchError, with the closest word, if it asks for nothing known; no file is looked at."""
    source = word.removesuffix(TUNE)
    if word in ("tfidf", "tokens"):
        return Encoding(word)
    if source == "minilm":
        return Encoding("frozen", source, source != word)
    if source.startswith("hf:") and len(source) > 3:
        return Encoding("frozen", source[3:], source != word)
    near = get_close_matches(word.lower(), WORDS, 1, 0.4) or ["tfidf"]
    raise BenchError(f"text is one of {', '.join(WORDS)}, but it is {word!r}: did you mean {near[0]}?")


def check(word: str) -> None:
    """BenchError if the word is unknown, or what it needs is not there: the package, the folder, a layer that can be tuned."""
    encoding = parse(word)
    if encoding.kind == "frozen":
        encoder = open_encoder(encoding.source)
        encoder.load()
        if encoding.tuned:
            encoder.last_layer()


def said(word: str) -> str:
    """What a reader has to know of the methods that cannot follow the word; empty if all can."""
    encoding = parse(word)
    if encoding.kind == "tokens":
        return (
            f"text=tokens: of a note its first {LENGTH} known words are read; trees, linear models and networks with an input layer of "
            "their own take TF-IDF of the whole notes"
        )
    if encoding.tuned:
        return (
            f"text={word}: the tuned layer reads the first {READ} tokens of a note; trees, linear models and networks with an input "
            "layer of their own take the frozen vectors of the whole notes"
        )
    return ""


def fit(text: Text, word: str) -> Columns:
    """Notes -> columns for trees and linear models, fitted on these notes."""
    encoding = parse(word)
    return Reduced.fit(open_encoder(encoding.source), text) if encoding.kind == "frozen" else TextVectors.fit(text)


def sequences(text: Text, word: str) -> Words | States | None:
    """Notes -> what the network's own text encoder reads beside the vector; None where the vector is all there is."""
    encoding = parse(word)
    if encoding.kind == "tokens":
        return Words.fit(text)
    return States.fit(open_encoder(encoding.source), text) if encoding.tuned else None
