"""`bench run`: train every method on every fold, and print the comparison."""

from typing import Annotated

from typer import Option


def run(
    dataset: Annotated[
        str | None, Option(help="Datasets, separated by commas; dials as in surgical:relatedness=0.3 [default: surgical]")
    ] = None,
    methods: Annotated[
        str | None, Option(help="Methods, separated by commas; settings as in mmoe:experts=16. [default: all, every one]")
    ] = None,
    suite: Annotated[
        str | None,
        Option(
            help="Instead of all these: balancing, claims, patients, transfer, or the path of a TOML file that says what meets what."
        ),
    ] = None,
    folds: Annotated[int | None, Option(help="Folds of the cross-validation. [default: 5; 2 with --quick]")] = None,
    repeats: Annotated[
        int | None, Option(help="How often the cross-validation is repeated with other folds. [default: 1]")
    ] = None,
    seed: Annotated[int | None, Option(help="Of the splits and the models. [default: 0; the suite's own with --suite]")] = None,
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
    diagnose: Annotated[
        bool, Option("--diagnose", help="Look at the fitted networks too, for `bench diagnose`; cells without are trained again.")
    ] = False,
) -> int:
    """Train and compare. A rerun does only what is missing.

    \b
    bench run --methods all
    bench run --dataset support2 --methods xgboost,hard_sharing,mmoe:experts=16
    bench run --suite claims --quick
    """
    from bench.cli import screen

    what = {"dataset": dataset, "methods": methods, "folds": folds, "repeats": repeats, "reference": reference}
    return screen.run(
        suite, {name: value for name, value in what.items() if value is not None}, data_dir, seed=seed, results=results, reports=reports,
        workers=workers, quick=quick, accept_code=accept_code, retry_failed=retry_failed, diagnose=diagnose,
    )  # fmt: skip
