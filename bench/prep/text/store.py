"""What was computed of a note, kept by the note's digest in one SQLite file, shared by folds and worker processes.

A note that changed has another digest, and alone is computed again. The file holds no text, but vectors say something of the
notes they come from: only its owner may read it.
"""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from bench.core import BenchError
from bench.sources import cache

BLOCK = 256  # notes computed under one lock
WAIT = 3600.0  # seconds that a worker waits for another's block
ASKED = 500  # parameters of one query


@dataclass(frozen=True, slots=True)
class Store:
    name: str

    def get(self, notes: list[str], compute: Callable[[list[str]], list[bytes]]) -> dict[str, bytes]:
        """Of each note what is kept; what is not is computed and kept. BenchError where the cache cannot be read or written."""
        path = cache() / "text" / f"{self.name}.sqlite"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as base:
                base.execute("CREATE TABLE IF NOT EXISTS kept (note BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
                return _get(base, {_digest(note): note for note in notes}, compute)
        except (OSError, sqlite3.OperationalError) as error:
            raise BenchError(
                f"vectors of notes are kept in {path}, but: {error}. Set BENCH_CACHE to a folder with room"
            ) from error
        except sqlite3.DatabaseError as error:
            raise BenchError(f"vectors of notes are kept in {path}, which is damaged ({error}): delete it") from error


def _get(base: sqlite3.Connection, notes: dict[bytes, str], compute: Callable[[list[str]], list[bytes]]) -> dict[str, bytes]:
    held = _held(base, list(notes))
    missing = sorted((d for d in notes if d not in held), key=lambda d: (len(notes[d]), d))  # like lengths together
    for start in range(0, len(missing), BLOCK):
        block = missing[start : start + BLOCK]
        base.execute("BEGIN IMMEDIATE")  # another worker that wants the same block waits, and then finds it
        try:
            held |= _held(base, block)
            new = [d for d in block if d not in held]
            made = dict(zip(new, compute([notes[d] for d in new]), strict=True)) if new else {}
            base.executemany("INSERT INTO kept VALUES (?, ?)", made.items())
            base.execute("COMMIT")
        except BaseException:
            if base.in_transaction:
                base.execute("ROLLBACK")
            raise
        held |= made
    return {note: held[digest] for digest, note in notes.items()}


def _held(base: sqlite3.Connection, digests: list[bytes]) -> dict[bytes, bytes]:
    out: dict[bytes, bytes] = {}
    for start in range(0, len(digests), ASKED):
        some = digests[start : start + ASKED]
        out |= dict(base.execute(f"SELECT note, value FROM kept WHERE note IN ({','.join('?' * len(some))})", some).fetchall())
    return out


def _digest(note: str) -> bytes:
    return hashlib.blake2b(note.encode("utf-8", "surrogatepass"), digest_size=20).digest()
