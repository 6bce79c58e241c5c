"""Is every file of a results folder what was written? Each that is not, and what that costs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from bench.store.cells import checked_cell, placed
from bench.store.contents import Contents, Shelf, contents
from bench.store.files import Fault, abandoned, digest, named, opened
from bench.store.files import contents as read
from bench.store.walk import FOREIGN, File

Kind = Literal["damaged", "missing", "unreadable", "format", "unfinished", "foreign"]
HARMLESS = ("unfinished", "foreign")
RUN = "`bench run` writes it again"


class Finding(NamedTuple):
    """path: below the results folder. text: what is wrong, and what follows from it."""

    kind: Kind
    path: str
    text: str


@dataclass(frozen=True)
class Verified:
    files: int
    cells: int
    findings: tuple[Finding, ...]

    @property
    def damaged(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.kind not in HARMLESS)


def verify(root: Path) -> Verified:
    """Read every file. What is found is looked at once more at the end: a run may have been writing it."""
    held = contents(root)
    findings = tuple(_findings(held))
    if any(one.kind != FOREIGN for one in findings):
        first = {(one.kind, one.path) for one in findings}
        findings = tuple(one for one in _findings(contents(root), {path for _, path in first}) if (one.kind, one.path) in first)
    ours = [file for file in held.files if file.kind != FOREIGN]
    return Verified(len(ours), sum(file.kind == "cell" for file in ours), findings)


def findings(held: Contents) -> tuple[Finding, ...]:
    """Of what the folder holds, in the order of the files."""
    return tuple(_findings(held))


def _findings(held: Contents, only: set[str] | None = None) -> Iterator[Finding]:
    shelves = {shelf.folder: shelf for shelf in held.shelves}
    there = {file.path for file in held.files}
    for file in held.files:
        if only is None or file.path in only:
            found = _CHECKS.get(file.kind, _sealed)(held, file, shelves, there)
            if found is not None:
                yield found
    for path, text in _expected(held, list(shelves.values())):
        if path not in there and (only is None or path in only):
            yield Finding("missing", path, f"is missing; {text}")


def _expected(held: Contents, shelves: list[Shelf]) -> Iterator[tuple[str, str]]:
    """Files that others cannot be read without, and what writes them."""
    above: dict[str, str] = {}
    for shelf in shelves:
        dataset, method, _ = shelf.folder.split("/")
        again = RUN if shelf.current else "nothing reads cells of older code"
        above |= {
            f"{dataset}/dataset.json": RUN,
            f"{dataset}/{method}/method.json": again,
            f"{shelf.folder}/protocol.json": again,
        }
    for dataset in dict.fromkeys(file.parts[0] for file in held.files if file.kind in ("dataset", "run")):
        above[f"{dataset}/dataset.json"] = RUN
        if "cohort" in held.about(f"{dataset}/dataset.json"):
            above[f"{dataset}/cohort.parquet"] = RUN
    for file in held.files:
        if file.kind == "run":
            for rows in held.about(file.path).get("external", {}).values():
                above[f"{file.parts[0]}/{rows}"] = "`bench run --test-data` writes it again"
    yield from above.items()


Check = Callable[[Contents, File, dict[str, Shelf], set[str]], Finding | None]


def _cell(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    *_, fault = checked_cell(held.root / file.folder, *placed(file.cell))
    return None if fault is None else _finding(fault, file, _costs(shelves[file.folder], file.cell))


def _predictions(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    """Checked with the cell's json; without one it was being written when its process ended."""
    if file.path.removesuffix("parquet") + "json" in there:
        return None
    return Finding("unfinished", file.path, f"has no json beside it; {_costs(shelves[file.folder], file.cell)}")


def _costs(shelf: Shelf, cell: str) -> str:
    whose = f"cell {cell} of {shelf.method} on {shelf.dataset}"
    if shelf.current:
        return f"the same `bench run` trains {whose} again"
    return f"{whose} is of older code, and nothing reads it"


def _described(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    """dataset.json, method.json, protocol.json: the folder is named by the hash of what stands in it."""
    value, fault = opened(held.root / file.path)
    if fault is None and "hashed" in value:
        identity = {key: value.get(key) for key in value["hashed"]}
        if named(value["label"], identity) != file.parts[-2]:
            fault = Fault("damaged", f"is of another folder, {named(value['label'], identity)}")
    return None if fault is None else _finding(fault, file, RUN)


def _run(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    value, fault = opened(held.root / file.path)
    h8 = file.parts[-1].removesuffix(".json").rpartition("@")[2]
    if fault is None and named("", value.get("protocol", {})) != f"@{h8}":
        fault = Fault("damaged", "is the record of a run under another protocol")
    return None if fault is None else _finding(fault, file, f"`bench report` does not know this run until {RUN}")


def _cohort(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    sha256 = held.about(f"{file.parts[0]}/dataset.json").get("cohort")
    return _frame(held, file, sha256, f"`bench report` stops at it until {RUN}")


def _rows(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    sha256 = held.about(file.path.removesuffix("parquet") + "json").get("rows")
    return _frame(held, file, sha256, "`bench run --test-data` writes it again")


def _frame(held: Contents, file: File, sha256: str | None, costs: str) -> Finding | None:
    """sha256: None where none is stored, or what stores it is damaged, which is said there."""
    data, fault = read(held.root / file.path)
    if fault is None and sha256 is None and (data[:4], data[-4:]) != (b"PAR1", b"PAR1"):
        fault = Fault("damaged", "is no Parquet file")
    if fault is None and sha256 not in (None, digest(data)):
        fault = Fault("damaged", "does not match the checksum that is stored for it")
    return None if fault is None else _finding(fault, file, costs)


def _sealed(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    fault = opened(held.root / file.path)[1]
    return None if fault is None else _finding(fault, file, RUN)


def _aside(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding | None:
    gone = abandoned(file.parts[-1])
    return Finding("unfinished", file.path, "was left behind by a process that ended; nothing reads it") if gone else None


def _foreign(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> Finding:
    return Finding("foreign", file.path, "is not of bench, and is left alone")


def _nothing(held: Contents, file: File, shelves: dict[str, Shelf], there: set[str]) -> None:
    return None


_CHECKS: dict[str, Check] = {
    "dataset": _described, "method": _described, "protocol": _described, "run": _run, "cohort": _cohort, "rows": _rows, "cell": _cell,
    "predictions": _predictions, "aside": _aside, "lock": _nothing, FOREIGN: _foreign,
}  # fmt: skip


def _finding(fault: Fault, file: File, costs: str) -> Finding:
    if fault.kind == "format":
        costs = "update bench, or take another --results folder"
    if fault.kind == "unreadable":
        costs = "let it be read, and verify again"
    return Finding(fault.kind, file.path, f"{fault.text}; {costs}")
