"""CSV, TSV and other delimited text for DuckDB: encoding, line ends, separator and header are settled here, before it reads.

Nothing is guessed silently: whatever was found out other than by the file's own marks is a notice. A file that is not UTF-8 with
one kind of line end is rewritten so, into a temporary folder. Every cell stays text here; types are the business of `typed`.
"""

import codecs
import csv
import gzip
import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bench.cohorts.schema import Table
from bench.core import BenchError
from bench.sources.http import page

CHUNK = 1 << 23  # bytes a read
LINE = 1 << 25  # bytes a line may have; DuckDB by itself then reads 16 times as many at once, too many for two cores to share
SAMPLE = 1 << 20  # characters in which separator and header are found
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
ASCII = ("utf-8", "utf-8-sig", "cp1252", "latin-1", "iso8859-1")  # in which an ASCII byte is that character wherever it stands
csv.field_size_limit(1 << 30)  # a note of 131,073 characters is no error


@dataclass(frozen=True)
class Delimited:
    """A file as DuckDB can read it. skip: 1 where the header is still in it."""

    path: Path
    names: tuple[str, ...]
    separator: str
    skip: int
    notices: tuple[str, ...]

    def sql(self, parallel: bool = True) -> str:
        """A table function whose columns are c0, c1, ... of texts; empty cells are NULL."""
        columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(self.names)))
        return (
            f"read_csv({literal(str(self.path))}, delim={literal(self.separator)}, quote='\"', escape='\"', comment='', header=false, "
            f"skip={self.skip}, auto_detect=false, strict_mode=true, null_padding=false, max_line_size={LINE}, buffer_size={LINE}, "
            f"parallel={str(parallel).lower()}, columns={{{columns}}})"
        )


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def find(path: Path, table: Table, work: Path) -> Delimited:
    """How `path` is to be read. work: an own folder for a rewritten copy. BenchError: empty, no text, no header, names twice."""
    title = page(next(_bytes(path), b""))
    if title is not None:
        raise BenchError(f"{path.name} is an HTML page{title}, not a table")
    looks = _look(path, table.encoding)
    readable = path
    if looks.rewritten or path.suffix == ".gz":
        readable = _rewrite(path, looks, work / f"{len(list(work.iterdir()))}.csv")
    with readable.open(encoding="utf-8-sig", newline="") as stream:
        sample = stream.read(SAMPLE)
    if not sample.strip():
        raise BenchError(f"{path.name} is empty: a table needs a header line and rows")
    separator, records = _separated(path, sample, table.separator)
    cells, lines = records[0]
    if lines > 1:  # DuckDB counts a name with a line end in it, and blank lines, in a way of its own
        readable = _without_header(readable, _lines(sample)[:lines], work / f"{len(list(work.iterdir()))}.csv")
    return Delimited(readable, header(path.name, cells), separator, int(lines == 1), tuple(looks.notices))


@dataclass
class _Looks:
    encoding: str = "utf-8"
    ends: set[str] = field(default_factory=set[str])
    notices: list[str] = field(default_factory=list[str])

    @property
    def rewritten(self) -> bool:
        return self.encoding not in ("utf-8", "utf-8-sig") or len(self.ends) > 1


def _look(path: Path, given: str | None) -> _Looks:
    """One pass over the bytes: what encoding decodes them all, and what ends lines."""
    encoding = _known(path, given) if given else _marked(path)
    if encoding:
        try:
            return _passed(path, encoding)
        except UnicodeError as error:
            raise BenchError(f"{path.name} is no {encoding} text: {error}. Say its encoding under its table.") from None
    try:
        return _passed(path, "utf-8")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
    for other in ("cp1252", "latin-1"):
        try:
            looks = _passed(path, other)
        except UnicodeDecodeError:
            continue
        looks.notices.append(
            f"{path.name} is read as {other}: it is no UTF-8 (byte 0x{byte:02x}). Say encoding under its table if that is wrong."
        )
        return looks
    raise AssertionError("latin-1 decodes every byte")


def _passed(path: Path, encoding: str) -> _Looks:
    looks, lines, before = _Looks(encoding), 1, b""
    for text in _checked(path, encoding):
        if b"\0" in text:
            line = lines + text.count(b"\n", 0, text.index(b"\0"))
            raise BenchError(f"{path.name} holds a NUL character in line {line}: it is damaged, no text, or in another encoding")
        lines += text.count(b"\n")
        joined = before + text
        if b"\r" not in joined:
            looks.ends |= {"\n"} if b"\n" in joined else set()
            continue
        before = b"\r" if joined.endswith(b"\r") else b""
        pairs, feeds, returns = joined.count(b"\r\n"), joined.count(b"\n"), joined.count(b"\r") - len(before)
        looks.ends |= {end for end, seen in (("\r\n", pairs), ("\n", feeds > pairs), ("\r", returns > pairs)) if seen}
    looks.ends |= {"\r"} if before else set()
    return looks


def _checked(path: Path, encoding: str) -> Iterator[bytes]:
    """The file as UTF-8; what is ASCII is passed on as it is, which takes a tenth of the time. UnicodeError: it is not `encoding`."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in _bytes(path):
        if encoding in ASCII and chunk.isascii() and not decoder.getstate()[0]:
            yield chunk
        else:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    decoder.decode(b"", final=True)


def _known(path: Path, encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise BenchError(
            f"encoding '{encoding}' of {path.name} is unknown. Usual ones: utf-8, utf-16, cp1252, latin-1."
        ) from None


def _marked(path: Path) -> str | None:
    """The encoding that a byte-order mark names, or UTF-16 whose every other byte is 0."""
    head = next(_bytes(path), b"")[:400]
    for mark, name in BOMS.items():
        if head.startswith(mark):
            return name
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > 0.4 * len(head) / 2 and min(even, odd) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    return None


def _decoded(path: Path, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    for chunk in _bytes(path):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _bytes(path: Path) -> Iterator[bytes]:
    try:
        with opened(path) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise BenchError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error or type(error).__name__}") from None


def opened(path: Path) -> gzip.GzipFile | BinaryIO:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _rewrite(path: Path, looks: _Looks, to: Path) -> Path:
    """A UTF-8 copy with one kind of line end."""
    one = len(looks.ends) > 1
    before = ""
    with to.open("w", encoding="utf-8", newline="") as stream:
        for text in _decoded(path, looks.encoding):
            text, before = before + text, ""
            if one and text.endswith("\r"):
                text, before = text[:-1], "\r"
            stream.write(text.replace("\r\n", "\n").replace("\r", "\n") if one else text)
        stream.write("\n" if before else "")
    return to


def _without_header(path: Path, header: list[str], to: Path) -> Path:
    """A copy with blank lines in the header's place: DuckDB passes over them, and still counts lines as the user does."""
    with path.open(encoding="utf-8-sig", newline="") as source, to.open("w", encoding="utf-8", newline="") as target:
        source.read(sum(map(len, header)))
        target.write("\n" * len(header))
        shutil.copyfileobj(source, target)
    return to


def _lines(sample: str) -> list[str]:
    return re.split("(?<=\n)|(?<=\r)(?!\n)", sample)


def _separated(path: Path, sample: str, given: str | None) -> tuple[str, list[tuple[list[str], int]]]:
    """The separator under which most lines have as many cells as the first, and the records (cells, lines so far) it gives."""
    tried = {one: _records(path, sample, one) for one in ([given] if given else SEPARATORS)}

    def fit(one: str) -> tuple[bool, float, int]:
        width = len(tried[one][0][0])
        return width > 1, sum(len(cells) == width for cells, _ in tried[one]) / len(tried[one]), width

    best = max(tried, key=fit)
    return best, tried[best]


def _records(path: Path, sample: str, separator: str) -> list[tuple[list[str], int]]:
    reader = csv.reader(_lines(sample), delimiter=separator)
    out: list[tuple[list[str], int]] = []
    try:
        for cells in reader:
            if cells or out:
                out.append((cells, reader.line_num))
            if len(out) == 200:
                break
    except csv.Error as error:
        raise BenchError(f"{path.name}, line {reader.line_num}: {error}") from None
    return [one for one in out if one[0]][: -1 if len(sample) == SAMPLE and len(out) > 1 else None]


def header(title: str, cells: list[str], width: int = 1) -> tuple[str, ...]:
    """The names of the columns; one without a name is called by its number. width: columns that hold anything."""
    names = [cell.strip() for cell in cells]
    while len(names) > width and not names[-1]:  # a separator at the end of each line
        names.pop()
    if all(re.fullmatch(r"[+-]?\d+([.,]\d+)?", name) for name in names):
        raise BenchError(
            f"the first line of {title} must hold the columns' names, but holds numbers ({', '.join(names[:3])} ...)"
        )
    names = [name or f"column {i + 1}" for i, name in enumerate(names)]
    twice = next((i for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BenchError(
            f"columns of {title} need names, each once, but '{names[twice]}' stands over columns {names.index(names[twice]) + 1} "
            f"and {twice + 1}. Rename one."
        )
    return tuple(names)
