"""An alarm: a column that may hold the outcome, or something else that a method should never see."""

from dataclasses import dataclass

from bench.toml import one_line

DUPLICATES = "duplicates"  # stands for a column where whole rows are meant


@dataclass(frozen=True)
class Alarm:
    """column: what `--allow-leak` knows it by. outcome: "" where it is about none. text: a sentence or two that say what to do."""

    column: str
    outcome: str
    kind: str
    value: float
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", one_line(self.text))  # whatever a column is called


def way_out(column: str) -> str:
    """What a user may do about a column."""
    return f"Put it into columns.ignore, or let it through with --allow-leak {quoted(column)}."


def quoted(column: str) -> str:
    """As it is typed in a shell: quotes where there is anything but letters, digits and what is harmless."""
    return column if column and all(c.isalnum() or c in "_.-" for c in column) else "'" + column.replace("'", "'\\''") + "'"
