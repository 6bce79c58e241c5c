"""TOML files: those of users are read here, and those that are made for them, in which whatever stands in a name comes back as it was."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core import BenchError


def read(path: Path) -> dict[str, Any]:
    """The content of a file, with a byte order mark or without. BenchError for one that cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BenchError(f"{path} is no TOML file: {error}") from None


def string(text: str) -> str:
    """A basic string on one line. Half a surrogate pair, which no file can hold, becomes a question mark."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else string(name)


def value(one: Any) -> str:
    """A string, a number, true or false, a list of these, or an inline table."""
    if isinstance(one, str):
        return string(one)
    if isinstance(one, bool):
        return str(one).lower()
    if isinstance(one, Mapping):
        return "{ " + ", ".join(f"{key(k)} = {value(v)}" for k, v in one.items()) + " }" if one else "{}"
    if isinstance(one, Sequence):
        return "[" + ", ".join(value(v) for v in one) + "]"
    return repr(one)


def document(content: Mapping[str, Any]) -> str:
    """Plain keys first, then a table for each mapping; what they hold in turn stands inline."""
    plain = [f"{key(k)} = {value(v)}" for k, v in content.items() if not isinstance(v, Mapping)]
    parts = ["\n".join(plain)] if plain else []
    for name, table in content.items():
        if isinstance(table, Mapping):
            parts.append("\n".join([f"[{key(name)}]", *(f"{key(k)} = {value(v)}" for k, v in table.items())]))
    return "\n\n".join(parts) + "\n"


def one_line(text: str) -> str:
    """Without line ends and whatever else a terminal or an editor would act on: fit for a comment and for a message."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
