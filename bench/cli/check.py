"""`bench check`: does a method keep the contract?"""

from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

if TYPE_CHECKING:
    from bench.contract import Verdict


def check(
    methods: Annotated[list[str], Argument(help="Methods, as `bench run` takes them: ./my_net.py, mmoe:experts=2.")],
    json: Annotated[bool, Option("--json", help="Print what was found as JSON.")] = False,
) -> int:
    """Put methods through the contract, a law after the other, and explain each that is broken. Exit status 1: one is.

    \b
    bench check ./my_net.py
    bench check ./my_net.py:width=32 mmoe:experts=2
    """

    from bench import asjson, contract, registry
    from bench.execute import one_thread

    found: dict[str, list[Verdict]] = {}
    with one_thread():
        for spec in registry.parse("methods", ",".join(methods)):
            if not json:
                print(f"{spec.label}{f' ({spec.path})' * bool(spec.path)}", flush=True)
            found[spec.label] = []
            for verdict in contract.judged(spec, contract.CHECKED):
                found[spec.label].append(verdict)
                if not json:
                    print(contract.line(verdict), flush=True)
            if not json:
                print(contract.summary(spec.label, found[spec.label]), flush=True)
    if json:
        print(asjson.text({label: [one.json() for one in verdicts] for label, verdicts in found.items()}))
    return int(any(one.status == "fail" for verdicts in found.values() for one in verdicts))
