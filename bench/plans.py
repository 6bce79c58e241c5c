"""Plans: what is to be compared, on whom and how it will be judged, written into a TOML file before anything is trained.

The file's line `sha256` is the digest of all that the file says besides: an edited plan is no plan. What it says is made by
`bench.planning`; here it is written, read and checked, by those too who only report on results.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import toml
from bench.core import BenchError
from bench.store.files import canonical, digest

FORMAT = 1
INLINE = 110  # characters of a table that stands on one line
HEAD = """\
# A plan of `bench run`, written before anything was trained. `bench run --plan FILE` does what it says, `bench report --plan FILE` says
# whether the results kept to it. Do not edit it: the line sha256 is of all that stands here but comments. Whoever gives that number to
# somebody else now, as with a registration, can show later that nothing was changed.
"""


@dataclass(frozen=True)
class Locked:
    """A plan as it stands in its file. content: without its sha256; see `bench.planning.contents`."""

    sha256: str
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The first eight digits of its hash, as reports have it."""
        return self.sha256[:8]

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.content["locked"])

    @property
    def run(self) -> Mapping[str, Any]:
        """What `bench.run` is given."""
        return self.content["run"]

    @property
    def analysis(self) -> Mapping[str, Any]:
        """reference, primary, adjust, interval, resamples, and margin where there is one."""
        return self.content["analysis"]

    @property
    def datasets(self) -> Mapping[str, Mapping[str, Any]]:
        return {one["name"]: one for one in self.content["dataset"]}

    @property
    def methods(self) -> Mapping[str, Mapping[str, Any]]:
        return {one["name"]: one for one in self.content["method"]}


def said(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def text(content: Mapping[str, Any]) -> str:
    """A plan as TOML, without a hash: to be looked at. Whatever is None is left out."""
    return "\n\n".join("\n".join(lines) for lines in _tables("", _without_none(content))) + "\n"


def lock(content: Mapping[str, Any], path: Path) -> Locked:
    """Write a plan and its hash. BenchError where there is a file already: a plan that could be written again would be none."""
    body = text(content)
    sha256 = _hash(tomllib.loads(body))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(f'{HEAD}sha256 = "{sha256}"\n{body}')
    except FileExistsError:
        raise there(path) from None
    except OSError as error:
        raise BenchError(f"cannot write {path}: {error.strerror or error}") from error
    return read(path)


def there(path: Path) -> BenchError:
    return BenchError(f"{path} is there already, and a plan is not written over. Give another name.")


def read(path: Path) -> Locked:
    """A plan from its file. BenchError for one that was changed after it was locked, or that is no plan."""
    content = toml.read(path)
    sha256 = content.pop("sha256", None)
    if not isinstance(sha256, str):
        raise BenchError(f"{path} is no locked plan: it has no line sha256. `bench plan --lock {path.name}` writes one.")
    found = _hash(content)
    if found != sha256:
        raise BenchError(
            f'{path} was changed after it was locked: its line sha256 = "{sha256}" is not of what it says now ({found[:8]}...). '
            "Take the file as it was, or lock another plan."
        )
    if content.get("format") != FORMAT:
        raise BenchError(f"{path} is of format {content.get('format')}, but this version of bench reads {FORMAT}")
    return Locked(sha256, content)


def _hash(content: Mapping[str, Any]) -> str:
    return digest(canonical(_plain(content)).encode())


def _plain(value: Any) -> Any:
    """As JSON has it: TOML knows dates, infinities and NaN besides, which we never write but an edited file may hold."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value if isinstance(value, str | bool | int) else repr(value)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value if part is not None] if isinstance(value, list | tuple) else value


def _tables(name: str, content: Mapping[str, Any]) -> Iterator[list[str]]:
    """The lines of a table, and then of those in it. Lists of tables as [[name]]; a short table in a table stands inline."""
    inner = {key: part for key, part in content.items() if _is_table(part) or _are_tables(part)}
    inner = {key: part for key, part in inner.items() if not name or isinstance(part, list) or len(toml.value(part)) > INLINE}
    plain = [f"{toml.key(key)} = {_value(part)}" for key, part in content.items() if key not in inner]
    if plain:
        yield plain
    for key, part in inner.items():
        path = f"{name}.{toml.key(key)}".lstrip(".")
        for one in part if isinstance(part, list) else [part]:
            first, *others = list(_tables(path, one))
            yield [f"[[{path}]]" if isinstance(part, list) else f"[{path}]", *first]
            yield from others


def _value(part: Any) -> str:
    """Lists of many texts a line each, so that a plan can be read."""
    line = toml.value(part)
    if isinstance(part, list) and len(line) > 100:
        return "[\n" + "".join(f"    {toml.value(one)},\n" for one in part) + "]"
    return line


def _is_table(part: Any) -> bool:
    return isinstance(part, Mapping) and len(part) > 0


def _are_tables(part: Any) -> bool:
    return isinstance(part, list) and len(part) > 0 and all(map(_is_table, part))
