"""`bench methods` and `bench datasets`: a line each, read from the files without importing them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.registry import Kind


def methods() -> None:
    """List the methods: id, what it is, what it needs."""
    _print("methods")


def datasets() -> None:
    """List the datasets: id, what it is, what it needs."""
    _print("datasets")


def _print(kind: "Kind") -> None:
    from bench.registry import about

    lines = about(kind)
    width = max((len(name) for name in lines), default=0)
    for name, text in lines.items():
        first = " ".join(text.partition("\n\n")[0].split())
        print(f"{name:<{width}}  {first}")
