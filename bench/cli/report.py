"""`bench report`: tables, figures and page again, from stored results alone."""

from typing import Annotated, Any, TypeAlias

from typer import Option

from bench.cli import completing

Dataset: TypeAlias = Annotated[
    str | None,
    Option(
        "--dataset",
        "--data",
        help="Datasets as `bench run` was given them, separated by commas. [default: surgical]",
        autocompletion=completing.datasets,
    ),
]
Methods: TypeAlias = Annotated[
    str | None,
    Option(help="Methods to show, separated by commas. [default: those of the last run]", autocompletion=completing.methods),
]
Reference: TypeAlias = Annotated[
    str | None,
    Option(
        help="The method the others are compared with. [default: as in the last run; with --methods single_task where it takes part]"
    ),
]
Style: TypeAlias = Annotated[
    str, Option(help="Of the tables: paper (SD over folds), clinical (95 % intervals), wide (every metric).")
]
Primary: TypeAlias = Annotated[
    str | None, Option(help="Metrics tested as one family and marked, separated by commas. [default: auroc,ap]")
]
Adjust: TypeAlias = Annotated[
    str | None,
    Option(
        help="Of p for the family: max_t (step-down on the joint resamples), holm, bh (false discovery rate). [default: max_t]"
    ),
]
Plan: TypeAlias = Annotated[
    str | None,
    Option(help="Judge as this plan says, where nothing else is given, and say where the results depart from it."),
]


def report(
    dataset: Dataset = None,
    methods: Methods = None,
    reference: Reference = None,
    style: Style = "paper",
    figure: Annotated[
        str | None, Option(help="This figure alone: forest, roc, pr, calibration, decision, risks, transfer ...")
    ] = None,
    task: Annotated[str | None, Option(help="With --figure: of this outcome, or mean. [default: each]")] = None,
    primary: Primary = None,
    adjust: Adjust = None,
    interval: Annotated[str | None, Option(help="Of the bootstrap: percentile or bca. [default: percentile]")] = None,
    resamples: Annotated[int | None, Option(help="Of the bootstrap. [default: 2000; 200 with --quick]")] = None,
    results: Annotated[str, Option(help="The folder of stored results.")] = "results",
    reports: Annotated[str, Option(help="The folder the report is written to.")] = "reports",
    protocol: Annotated[str | None, Option(help="Of several stored ones, as cv5-n500. [default: the newest]")] = None,
    against: Annotated[str | None, Option(help="Show published results too: 'published', or a folder or file of such.")] = None,
    quick: Annotated[bool, Option("--quick", help="Of the last quick look.")] = False,
    plan: Plan = None,
) -> int:
    """Write tables, figures and index.html again from stored results: no training.

    \b
    bench report --dataset support2 --style clinical
    bench report --figure forest --task mean
    bench report --plan plan.toml
    """
    from pathlib import Path

    from bench import plans, stored
    from bench.cli import screen
    from bench.core import BenchError
    from bench.report import Settings

    if task is not None and figure is None:
        raise BenchError(
            f"--task says of which outcome a figure is, but no --figure is named: add one, as --figure forest --task {task}"
        )
    metrics = None if primary is None else tuple(name.strip() for name in primary.split(","))
    given = {"primary": metrics, "adjust": adjust, "interval": interval, "resamples": resamples, "style": style}
    locked = None if plan is None else plans.read(Path(plan))
    settings = Settings.chosen(locked, **given)
    if locked is not None:
        dataset, quick = dataset or ",".join(locked.datasets), quick or locked.run["quick"]
        reference = reference or (locked.analysis["reference"] if methods is None else None)
    dataset = dataset or "surgical"
    where: dict[str, Any] = {
        "reference": reference, "results": results, "reports": reports, "quick": quick, "protocol": protocol, "settings": settings,
        "against": against,
    }  # fmt: skip
    if figure is None:
        return screen.show(stored.make_report(dataset, methods, **where))
    for path in stored.draw_figure(figure, task, dataset, methods, **where):
        print(path)
    return 0
