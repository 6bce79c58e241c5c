"""`bench run`: train every method on every fold, and print the comparison."""

from typing import Annotated, Literal, TypeAlias

from typer import Option

from bench.cli import completing
from bench.cli.options import compared

Dataset: TypeAlias = Annotated[
    str | None,
    Option(
        help="Datasets, separated by commas; dials as in surgical:relatedness=0.3 [default: surgical]",
        autocompletion=completing.datasets,
    ),
]
Data: TypeAlias = Annotated[
    str | None,
    Option(help="Your own data instead: a cohort file (.toml), see `bench data init`.", autocompletion=completing.cohorts),
]
AllowLeak: TypeAlias = Annotated[
    list[str] | None, Option(help="A column of --data that a leakage alarm does not stop for; may be given again.")
]
Methods: TypeAlias = Annotated[
    str | None,
    Option(
        help="Methods, separated by commas; settings as in mmoe:experts=16. [default: all, every one but adapters (sklearn)]",
        autocompletion=completing.methods,
    ),
]
Suite: TypeAlias = Annotated[
    str | None,
    Option(
        help="Instead of all these: balancing, claims, pairs, patients, transfer, or the path of a TOML file that says what meets what.",
        autocompletion=completing.suites,
    ),
]
Folds: TypeAlias = Annotated[int | None, Option(help="Folds of the random split. [default: 5; 2 with --quick]")]
Repeats: TypeAlias = Annotated[
    int | None, Option(help="How often the split is repeated with other folds or other seeds. [default: 1]")
]
Seed: TypeAlias = Annotated[int | None, Option(help="Of the splits and the models. [default: 0; the suite's own with --suite]")]
Split: TypeAlias = Annotated[
    str | None,
    Option(
        help="random, site (leave one out), time (learn before, test after), or a column: levels train, valid and test, or folds. "
        "[default: the dataset's own, else random]"
    ),
]
Cut: TypeAlias = Annotated[
    str | None, Option(help="Where --split time cuts: a date, a number, or the share of the earliest rows. [default: 0.7]")
]
TrainSize: TypeAlias = Annotated[
    str | None, Option(help="Patients to learn from at most, as in 200,500,all: one run after another, with the same test rows.")
]
Drop: TypeAlias = Annotated[str | None, Option(help="Modalities that no row has, separated by commas; see --at.")]
At: TypeAlias = Annotated[
    Literal["test", "train", "both"] | None, Option(help="Where --drop-modality takes them away. [default: test]")
]
Missing: TypeAlias = Annotated[
    str | None, Option(help="Predict the test rows also with each modality missing with these probabilities, as in 0,0.25,0.5.")
]
TestData: TypeAlias = Annotated[
    str | None,
    Option(
        help="Another dataset that every fitted model predicts too (external validation); matched by name.",
        autocompletion=completing.datasets,
    ),
]
TextAs: TypeAlias = Annotated[
    str | None,
    Option(
        "--text",
        help="How notes become numbers, for all methods: tfidf, minilm, hf:FOLDER (a Hugging Face encoder on disk), tokens (a small "
        "encoder trained in the network); minilm:tune, hf:FOLDER:tune train the last layer in the network. [default: tfidf]",
    ),
]
SeriesAs: TypeAlias = Annotated[
    str | None, Option("--series", help="How series become numbers: windows, summary, grud, tcn, patch. [default: windows]")
]
Outcomes: TypeAlias = Annotated[
    str | None, Option(help="Train and judge these outcomes alone, separated by commas; split as for all. [default: all]")
]
Tune: TypeAlias = Annotated[
    int | None,
    Option(
        help="Try this many settings of every method in each training fold, its defaults among them, judged on validation rows. 0: none."
    ),
]
TuneMinutes: TypeAlias = Annotated[
    float | None, Option(help="The same for so many minutes a method and fold, however many that makes. 0: none.")
]
Reference: TypeAlias = Annotated[
    str | None,
    Option(
        help="The method the others are compared with. [default: single_task, else the first]", autocompletion=completing.methods
    ),
]
Against: TypeAlias = Annotated[
    str | None,
    Option(
        help="Compare with published results too: 'published', or a folder or file of such. --methods is then trained alone, on their splits."
    ),
]
Workers: TypeAlias = Annotated[
    int | None, Option(help="Processes of one thread each; 0: this process. [default: one per processor]")
]
Device: TypeAlias = Annotated[
    str, Option(help="Where networks are trained: auto (a GPU when there is one), cpu, cuda, cuda:1, mps. Cells share a GPU.")
]
Precision: TypeAlias = Annotated[
    str | None,
    Option(help="Of networks in training: float32, bfloat16 (mixed), float64. Stored apart but for float32. [default: float32]"),
]
Grouped: TypeAlias = Annotated[
    bool | None,
    Option("--group/--no-group", help="Train the folds and repeats of a network as one. [default: on a GPU]", show_default=False),
]
ShardOf: TypeAlias = Annotated[
    str | None,
    Option(
        "--shard",
        help="Do the K-th of N parts of the cells alone, as in 3/16, in a job array; `bench report` shows all parts together.",
    ),
]
Cluster: TypeAlias = Annotated[
    str | None,
    Option(help="Run the cells on a Dask cluster: a scheduler as in tcp://10.0.0.1:8786, or a file (.toml) for SLURM."),
]
Quick: TypeAlias = Annotated[
    bool, Option("--quick", help="A first look in under two minutes, not a result: few patients, 2 folds.")
]
CellTimeout: TypeAlias = Annotated[
    str | None, Option(help="Stop a cell that takes longer: seconds, or as in 90s, 10m, 2h. It failed until this is wider.")
]
CellMemory: TypeAlias = Annotated[
    str | None, Option(help="Stop a cell whose process holds more memory, as in 500MB, 4GB. It failed until this is wider.")
]
Retries: TypeAlias = Annotated[int, Option(help="How often a cell is tried again whose process was lost, killed say.")]
Diagnose: TypeAlias = Annotated[
    bool, Option("--diagnose", help="Look at the fitted networks too, for `bench diagnose`; cells without are trained again.")
]
ProfileOf: TypeAlias = Annotated[
    str | None,
    Option(
        help="quick (as --quick), standard (the defaults), or paper: 5 repeats and 10,000 resamples, five times the training. What is "
        "given besides stands before it."
    ),
]
PlanOf: TypeAlias = Annotated[
    str | None,
    Option(
        help="Do what this plan says (see `bench plan --lock`), and say in the report whether it was kept; instead of all that is compared."
    ),
]
DryRun: TypeAlias = Annotated[
    bool, Option("--dry-run", help="Read and check the data, show what would be trained and what it may cost, and write nothing.")
]
Json: TypeAlias = Annotated[bool, Option("--json", help="With --dry-run: as JSON, for programs.")]


def run(
    dataset: Dataset = None,
    data: Data = None,
    allow_leak: AllowLeak = None,
    methods: Methods = None,
    suite: Suite = None,
    folds: Folds = None,
    repeats: Repeats = None,
    seed: Seed = None,
    split: Split = None,
    cut: Cut = None,
    train_size: TrainSize = None,
    drop_modality: Drop = None,
    at: At = None,
    missing: Missing = None,
    test_data: TestData = None,
    text: TextAs = None,
    series: SeriesAs = None,
    outcomes: Outcomes = None,
    precision: Precision = None,
    tune: Tune = None,
    tune_minutes: TuneMinutes = None,
    reference: Reference = None,
    against: Against = None,
    results: Annotated[str, Option(help="The folder results are stored in; what is there is not trained again.")] = "results",
    reports: Annotated[str, Option(help="The folder tables are written to.")] = "reports",
    workers: Workers = None,
    shard: ShardOf = None,
    cluster: Cluster = None,
    quick: Quick = False,
    data_dir: Annotated[str | None, Option(help="A folder with the dataset's original file. [env: BENCH_DATA_DIR]")] = None,
    accept_code: Annotated[bool, Option("--accept-code", help="Take stored cells made by older code.")] = False,
    retry_failed: Annotated[bool, Option("--retry-failed", help="Try cells again that failed before.")] = False,
    diagnose: Diagnose = False,
    cell_timeout: CellTimeout = None,
    cell_memory: CellMemory = None,
    retries: Retries = 2,
    device: Device = "auto",
    group: Grouped = None,
    profile: ProfileOf = None,
    plan: PlanOf = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Train and compare. A rerun does only what is missing.

    \b
    bench run --methods all
    bench run --dataset support2 --methods xgboost,hard_sharing,mmoe:experts=16
    bench run --data cohort.toml --methods xgboost,hard_sharing
    bench run --methods ./my_net.py --dataset support2 --against published
    bench run --suite claims --quick
    bench run --methods all --profile paper --dry-run
    """
    what, options = compared(locals())
    from bench.cli import screen

    return screen.run(what, **options)
