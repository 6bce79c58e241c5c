"""Published reference results: predictions of every method that stand beside one's own without being trained again.

    results/published/<dataset>@<h8>.parquet        of many methods, made by the maintainers
    results/published/<dataset>-<method>@<h8>.parquet       of a method that somebody added

See `bench/docs/published.md`.
"""

from bench.published.beside import Beside, Stored, stored
from bench.published.files import WORD, Published, find, opened, there
from bench.published.merge import Shelf, alone, merged, shelf, shelves
from bench.published.submit import submit
from bench.published.verify import Verified, verify

__all__ = [
    "WORD", "Beside", "Published", "Shelf", "Stored", "Verified", "alone", "find", "merged", "opened", "shelf", "shelves", "stored", "submit",
    "there", "verify",
]  # fmt: skip
