"""What the workers of a cluster are sent, by its sha256: cohorts, and the files of methods and datasets outside the suite."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from bench.cohorts import parcel
from bench.core import BenchError
from bench.draws import Draws
from bench.jobs import Job, loaded
from bench.registry import Spec

PIECE = 2**25  # bytes of a file sent at once


class Luggage:
    """Files by their sha256; a cohort is packed when the first cell needs it. folder: where it is kept meanwhile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.cohorts: dict[Spec, str] = {}

    def of(self, job: Job) -> tuple[dict[str, str], dict[str, str]]:
        """sha256 -> the file's name, and a dataset's label -> the sha256 of its cohort. Draws are made by the workers."""
        datasets = [job.dataset, *(view.external for view in job.views if view.external is not None)]
        for spec in (job.method, *datasets):
            if spec.path and spec.sha256 not in self.files:
                self.files[spec.sha256] = self._copy(spec)
        drawn = isinstance(job.protocol, Draws)
        cohorts = {} if drawn else {spec.label: self._cohort(spec) for spec in datasets}
        digests = [*(spec.sha256 for spec in (job.method, *datasets) if spec.path), *cohorts.values()]
        return {digest: self.files[digest].name for digest in digests}, cohorts

    def _copy(self, spec: Spec) -> Path:
        """The file as the run was told of it: it may change before the last worker has come."""
        folder = self.folder / spec.sha256
        folder.mkdir(exist_ok=True)
        copy = Path(shutil.copy(spec.path, folder))
        if hashlib.sha256(copy.read_bytes()).hexdigest() != spec.sha256:
            raise BenchError(f"{spec.path} changed while the run was under way. Start the run again.")
        return copy

    def _cohort(self, spec: Spec) -> str:
        if spec not in self.cohorts:
            data = parcel.packed(loaded(spec))
            digest = hashlib.sha256(data).hexdigest()
            self.files[digest] = self.folder / f"{len(self.files)}.cohort"
            self.files[digest].write_bytes(data)
            self.cohorts[spec] = digest
        return self.cohorts[spec]

    def pieces(self, digest: str) -> Iterable[tuple[str, int, bytes, bool]]:
        """Of a file: its name, where the piece begins, the piece, and whether it is the last."""
        path = self.files[digest]
        size = path.stat().st_size
        with path.open("rb") as file:
            for offset in range(0, max(size, 1), PIECE):
                yield path.name, offset, file.read(PIECE), offset + PIECE >= size
