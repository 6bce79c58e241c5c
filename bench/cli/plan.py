"""`bench plan`: a protocol, written and hashed before anything is trained."""

from typing import Annotated, TypeAlias

from typer import Option

from bench.cli import completing
from bench.cli import run as of_run
from bench.cli.options import compared

Suite: TypeAlias = Annotated[
    str | None,
    Option(
        help="Instead of all these: balancing, patients, transfer, or the path of a TOML file that says what meets what.",
        autocompletion=completing.suites,
    ),
]


def plan(
    dataset: of_run.Dataset = None,
    data: of_run.Data = None,
    allow_leak: of_run.AllowLeak = None,
    methods: of_run.Methods = None,
    suite: Suite = None,
    folds: of_run.Folds = None,
    repeats: of_run.Repeats = None,
    seed: of_run.Seed = None,
    split: of_run.Split = None,
    cut: of_run.Cut = None,
    train_size: of_run.TrainSize = None,
    drop_modality: of_run.Drop = None,
    at: of_run.At = None,
    missing: of_run.Missing = None,
    test_data: of_run.TestData = None,
    text: of_run.TextAs = None,
    series: of_run.SeriesAs = None,
    outcomes: of_run.Outcomes = None,
    precision: of_run.Precision = None,
    tune: of_run.Tune = None,
    tune_minutes: of_run.TuneMinutes = None,
    reference: of_run.Reference = None,
    profile: of_run.ProfileOf = None,
    quick: of_run.Quick = False,
    primary: Annotated[str, Option(help="Metrics tested as one family and marked, separated by commas.")] = "auroc,ap",
    margin: Annotated[float | None, Option(help="A difference that would not matter, as 0.01, for `bench compare`.")] = None,
    adjust: Annotated[str, Option(help="Of p for the family: max_t (step-down on the joint resamples), holm, bh.")] = "max_t",
    interval: Annotated[str, Option(help="Of the bootstrap: percentile or bca.")] = "percentile",
    resamples: Annotated[int | None, Option(help="Of the bootstrap. [default: 2000; 200 with --quick; 10000 of paper]")] = None,
    lock: Annotated[
        str | None, Option(help="Write the plan into this file, with its hash. Without it the plan is printed.")
    ] = None,
    results: Annotated[str, Option(help="The folder of results; looked at, to say what is stored already.")] = "results",
    data_dir: Annotated[str | None, Option(help="A folder with the dataset's original file. [env: BENCH_DATA_DIR]")] = None,
) -> None:
    """Write down what will be compared and how it will be judged, before anything is trained.

    \b
    bench plan --dataset support2 --methods single_task,hard_sharing,mmoe --primary auroc --margin 0.01 --lock plan.toml
    bench run --plan plan.toml
    bench report --plan plan.toml
    """
    what, options = compared(locals())
    from bench import registry
    from bench.cli import planned

    options["primary"] = tuple(registry.parts(primary))
    planned.lock(options.pop("lock"), what, **options)
