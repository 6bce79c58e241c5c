"""How the methods of a table were adapted to this program, in the words of their own files, as the run stored them."""

import pandas as pd

from bench.report.words import clean
from bench.store import Results

NOTHING = "its file names no departure"


def adapters(results: Results) -> pd.DataFrame:
    """method, text: what stands under "Adapter" and "Departures", also of the methods and the balance that it runs on.

    No row of a method whose cells are older than these notes. What an earlier row says is not said again.
    """
    said: dict[str, str] = {}  # text -> the method that has it first
    rows: list[dict[str, str]] = []
    for method in results.methods:
        parts = results.made.get(method, {}).get("adapted", {})
        texts = [_part(clean(str(name)), clean(str(text)), said, method, i == 0) for i, (name, text) in enumerate(parts.items())]
        rows += [{"method": method, "text": " ".join(texts)}] if texts else []
    return pd.DataFrame(rows, columns=["method", "text"])


def _part(name: str, text: str, said: dict[str, str], method: str, own: bool) -> str:
    first = said.setdefault(text, method) if text else method
    words = f"see {clean(first)}." if first != method else text or f"{NOTHING}."
    return words if own else f"[{name}] {words}"
