"""Verdicts as lines of a terminal."""

import shutil
import textwrap
from collections.abc import Sequence

from bench.contract.judge import Verdict

WIDTHS = 80, 120  # of the text, at least and at most
MARK, NAME = 10, 24  # columns of "not judged", and of a law's name


def line(verdict: Verdict) -> str:
    """The law and whether it is kept; under a broken one what was done, expected and seen, and the usual cause."""
    status = verdict.status.upper() if verdict.status == "fail" else verdict.status
    more = f" ({verdict.words})" if verdict.status in ("declined", "not judged") else ""
    lines = _wrapped(f"{verdict.says}{more}", f"  {status:<{MARK}}  {verdict.law:<{NAME}}")
    if verdict.status in ("fail", "warning"):
        told = {"We": f"{verdict.did}.", "Expected:": verdict.expected, "Seen:": verdict.saw, "Usual cause:": verdict.cause}
        lines += [one for word, text in told.items() for one in _wrapped(f"{word} {text}", " " * (MARK + 4))]
    return "\n".join(lines)


def summary(label: str, verdicts: Sequence[Verdict]) -> str:
    """How many laws were kept, which were not, and the seconds it took."""
    n, seconds = len(verdicts), sum(one.seconds for one in verdicts)
    named = {status: [one.law for one in verdicts if one.status == status] for status in ("fail", "warning", "declined")}
    words = {"fail": "breaks", "warning": "is warned of", "declined": "declines"}
    said = [f"{words[status]} {len(laws)} ({', '.join(laws)})" for status, laws in named.items() if laws]
    kept = sum(one.status == "pass" for one in verdicts)
    return f"{label} keeps {kept} of {n} laws{''.join(f', {one}' for one in said)}. [{seconds:.0f} s]"


def _wrapped(text: str, before: str) -> list[str]:
    width = min(max(shutil.get_terminal_size((WIDTHS[1], 24)).columns, WIDTHS[0]), WIDTHS[1])
    return textwrap.wrap(text, width, initial_indent=before, subsequent_indent=" " * len(before), break_on_hyphens=False)
