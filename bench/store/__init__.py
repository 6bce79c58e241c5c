"""results/: one cell is one parquet of predictions and one json. Written aside, then renamed; read by anyone with pandas.

    results/<dataset>@<h8>/dataset.json, cohort.parquet
    results/<dataset>@<h8>/<method>@<h8>/method.json
    results/<dataset>@<h8>/<method>@<h8>/<protocol>@<h8>/protocol.json, r0-f3.json, r0-f3.parquet
    results/<dataset>@<h8>/<method>@<h8>/<protocol>@<h8>/trials/r0-f3.json     what tuning tried, see `bench.tune`
    results/<dataset>@<h8>/runs/<protocol>@<h8>.json       which methods the last run asked for, the split receipt, what reading said
    results/<dataset>@<h8>/external/<name>@<h8>.parquet, .json         rows of another cohort that is predicted, and their checksum

h8 is a hash of the canonical JSON that stands beside, of the fields it names as `hashed`. A cell counts once its json is there; the
json is written last. Every json has the number of the format and its own checksum: see `bench/docs/results.md`.
"""

from bench.store.cells import Part, Store, cell_name, task_json
from bench.store.clean import KINDS, Removal, clean, removable
from bench.store.contents import Contents, Shelf, contents, size, statuses
from bench.store.files import canonical, finite, named, safe
from bench.store.locks import looking, writing
from bench.store.reading import DAMAGED, OTHER, Results, Words, labels, methods_of, read, runs
from bench.store.verify import Verified, verify

__all__ = [
    "DAMAGED", "KINDS", "OTHER", "Contents", "Part", "Removal", "Results", "Shelf", "Store", "Verified", "Words", "canonical", "cell_name", "clean",
    "contents", "finite", "labels", "looking", "methods_of", "named", "read", "removable", "runs", "safe", "size", "statuses", "task_json",
    "verify", "writing",
]  # fmt: skip
