"""`bench new-method`: a file to begin with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

if TYPE_CHECKING:
    from bench.templates import Kind


def new_method(
    name: Annotated[str, Argument(help="Of the method, and of its file: my_net.")],
    kind: Annotated[
        Literal["neural", "estimator", "plain"],
        Option(
            help="neural: a torch module between patient vector and outcomes; estimator: of scikit-learn; plain: fit and predict."
        ),
    ] = "neural",
    out: Annotated[Path, Option(help="The folder to write it to.")] = Path(),
) -> None:
    """Write a file of at most 25 lines that is a working method, to change into your own.

    \b
    bench new-method my_net
    bench new-method my_forest --kind estimator
    """
    from bench import templates

    chosen: Kind = kind
    path = templates.write(name, chosen, out)
    lines = len(path.read_text("utf-8").splitlines())
    print(f"{path} is written: a method of {lines} lines that works as it is. Next:")
    for command in templates.following(path):
        print(f"  {command}")
