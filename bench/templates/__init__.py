"""`bench new-method`: a file to begin with, one of the modules beside this one with another name in it."""

import keyword
import re
import shlex
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal, TypeAlias

from bench import registry
from bench.core import BenchError

Kind: TypeAlias = Literal["neural", "estimator", "plain"]


def write(name: str, kind: Kind, folder: Path) -> Path:
    """Write `name.py` into a folder, which is made where it is missing. BenchError for a name that is none, or is taken."""
    path = folder / f"{name}.py"
    _check(name, path)
    template = Path(__file__).with_name(f"{kind}.py").read_text("utf-8")
    text = re.sub(r"\bMine\b", _class(name), re.sub(r"\bmine\b", name, template))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def following(path: Path) -> tuple[str, ...]:
    """The commands that come next, for a shell."""
    shown = shlex.quote(str(path) if path.is_absolute() else f"./{path}")
    return (
        f"bench check {shown}",
        f"bench run --methods {shown},orthtd --dataset surgical:n=1200 --quick",
        f"bench run --methods {shown} --dataset support2 --against published",
    )


def _check(name: str, path: Path) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        near = re.sub(r"\W", "_", name.removesuffix(".py")).lstrip("0123456789_")
        raise BenchError(
            f"a method's name is made of letters, digits and _, and begins with a letter, but got '{name}'"
            + (f". Try {near}." if near.isidentifier() and not keyword.iskeyword(near) else "")
        )
    if path.exists():
        raise BenchError(f"{path} is there already. Take another name, or remove it first.")
    if name in registry.ids("methods"):
        raise BenchError(f"there is a method '{name}' already: see `bench methods {name}`. Try my_{name}.")
    if name in sys.stdlib_module_names or PathFinder.find_spec(name, [p for p in sys.path if Path(p).resolve() != Path.cwd()]):
        raise BenchError(f"'{name}' is an installed Python module, which {name}.py would hide from others. Try my_{name}.")


def _class(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Mine"
