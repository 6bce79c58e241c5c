"""`bench run`: train every method on every fold, and print the comparison."""

from typing import Annotated

from typer import Option


def run(
    dataset: Annotated[str, Option(help="Datasets, separated by commas; dials as in surgical:relatedness=0.3")] = "surgical",
    methods: Annotated[str, Option(help="Methods, separated by commas; settings as in mmoe:experts=16. all: every one.")] = "all",
    folds: Annotated[int | None, Option(help="Folds of the cross-validation. [default: 5; 2 with --quick]")] = None,
    repeats: Annotated[int, Option(help="How often the cross-validation is repeated with other folds.")] = 1,
    seed: Annotated[int, Option(help="Of the splits and the models.")] = 0,
    reference: Annotated[
        str | None, Option(help="The method the others are compared with. [default: single_task, else the first]")
    ] = None,
    results: Annotated[str, Option(help="The folder results are stored in; what is there is not trained again.")] = "results",
    reports: Annotated[str, Option(help="The folder tables are written to.")] = "reports",
    workers: Annotated[
        int | None, Option(help="Processes of one thread each; 0: this process. [default: one per processor]")
    ] = None,
    quick: Annotated[
        bool, Option("--quick", help="A first look in under two minutes, not a result: few patients, 2 folds.")
    ] = False,
    data_dir: Annotated[str | None, Option(help="A folder with the dataset's original file. [env: BENCH_DATA_DIR]")] = None,
    accept_code: Annotated[bool, Option("--accept-code", help="Take stored cells made by older code.")] = False,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Try cells again that failed before.")] = False,
) -> int:
    """Train and compare. A rerun does only what is missing.

    \b
    bench run --methods all
    bench run --dataset support2 --methods xgboost,hard_sharing,mmoe:experts=16
    """
    from bench.cli import screen

    return screen.run(
        dataset, methods, data_dir, folds=folds, repeats=repeats, seed=seed, reference=reference, results=results, reports=reports,
        workers=workers, quick=quick, accept_code=accept_code, retry_failed=retry_failed,
    )  # fmt: skip
