"""results/: one cell is one parquet of predictions and one json. Written aside, then renamed; read by anyone with pandas.

    results/<dataset>@<h8>/dataset.json, cohort.parquet
    results/<dataset>@<h8>/<method>@<h8>/method.json
    results/<dataset>@<h8>/<method>@<h8>/<protocol>@<h8>/protocol.json, r0-f3.json, r0-f3.parquet
    results/<dataset>@<h8>/<method>@<h8>/<protocol>@<h8>/trials/r0-f3.json     what tuning tried, see `bench.tune`
    results/<dataset>@<h8>/runs/<protocol>@<h8>.json       which methods the last run asked for, the split receipt, what reading said

h8 is a hash of the canonical JSON that stands beside. A cell counts once its json is there; the json is written last.
"""

from bench.store.cells import Part, Store, cell_name, task_json
from bench.store.files import canonical, finite, named, safe
from bench.store.reading import Results, Words, labels, read, runs

__all__ = [
    "Part", "Results", "Store", "Words", "canonical", "cell_name", "finite", "labels", "named", "read", "runs", "safe", "task_json",
]  # fmt: skip
