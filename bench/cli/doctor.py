"""`bench doctor`: is everything here that a run needs?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from bench.doctor import Finding


def doctor(
    results: Annotated[Path, Option(help="The folder of stored results.")] = Path("results"),
    as_json: Annotated[bool, Option("--json", help="As JSON, for programs.")] = False,
) -> int:
    """Say what is installed and what this machine has, and what a run would miss. Exit status 1 if there is such a thing.

    \b
    bench doctor
    bench doctor --json > doctor.json
    """
    from bench import doctor

    found = doctor.examine(results)
    faults = sum(one.state == doctor.FAULT for one in found)
    if as_json:
        from bench import asjson

        print(asjson.text({"ok": not faults, "findings": found}))
    else:
        for one in doctor.shortened(found):
            print(_line(one))
        print(f"{faults} fault{'s' * (faults != 1)} that a run would meet." if faults else "Nothing is missing that a run needs.")
    return 1 if faults else 0


def _line(one: "Finding") -> str:
    value = (
        ""
        if one.value is None
        else {True: "yes", False: "no"}.get(one.value, one.value)
        if isinstance(one.value, bool)
        else one.value
    )
    words = f"{one.name} {value}" if isinstance(value, str) and value else one.name
    return f"{one.state:<5} {one.topic}: {words}" + (f": {one.text}" if one.text else "")
