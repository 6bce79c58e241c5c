"""The same cells on local worker processes."""

from bench.execute.local import Event, run

__all__ = ["Event", "run"]
