"""`bench fit` and `bench predict`: one method fitted on a whole cohort and kept, and new patients predicted by it."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from bench.cli.run import AllowLeak, Data, Dataset, Outcomes, Precision, SeriesAs, TextAs


def fit(
    method: Annotated[str, Option(help="One method; settings as in mmoe:experts=16.")],
    out: Annotated[Path, Option(help="The folder of the model: a new or an empty one.")],
    dataset: Dataset = None,
    data: Data = None,
    allow_leak: AllowLeak = None,
    outcomes: Outcomes = None,
    seed: Annotated[int, Option(help="Of the rows that validate and of the model.")] = 0,
    text: TextAs = None,
    series: SeriesAs = None,
    precision: Precision = None,
    device: Annotated[str, Option(help="Where a network is trained: auto (a GPU when there is one), cpu, cuda, mps.")] = "auto",
    threads: Annotated[int, Option(help="Of the processor.", min=1)] = 1,
    quick: Annotated[bool, Option("--quick", help="A first look: few patients, trained briefly.")] = False,
    force: Annotated[bool, Option("--force", help="Write over a model that is there.")] = False,
) -> None:
    """Fit one method on all patients of a cohort, 15 % of them to say when to stop, and save it for `bench predict`.

    \b
    bench fit --method orthtd --data cohort.toml --out model/
    bench fit --method xgboost --dataset surgical:n=300 --out model/
    """
    from bench import registry, saved

    saved.free(out, force)
    chosen = registry.own_data(data, dataset, allow_leak)
    asked = {"text": text, "series": series, "outcomes": outcomes, "precision": precision}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    model = saved.fit(method, chosen or "surgical", seed=seed, quick=quick, device=device, threads=threads, **given)
    model.save(out, force=force)
    rows = f"{model.about['train_rows']:,} rows, stopped by {model.about['valid_rows']:,}"
    print(f"{model.method.label}, fitted on {rows}, is saved in {out}. Outcomes: {', '.join(task.name for task in model.tasks)}")
    for text in saved.rows.said(saved.kept_rows(out)):
        print(f"note: {text}")
    print(f"What it is worth: bench run --methods {model.method.label}. New patients: bench predict {out} new.csv")


def predict(
    model: Annotated[Path, Argument(help="The folder of a model, as `bench fit --out` wrote it.")],
    table: Annotated[Path | None, Argument(help="New patients: a table like the one the model was fitted on.")] = None,
    further: Annotated[
        list[str] | None,
        Option("--table", help="A series or a joined table of theirs, as in vitals=new_vitals.csv; may be given again."),
    ] = None,
    data: Annotated[str | None, Option(help="Instead: a cohort file (.toml) that says where their tables lie.")] = None,
    dataset: Annotated[str | None, Option(help="Instead: a dataset, with dials as in surgical:seed=1.")] = None,
    out: Annotated[Path, Option(help="The predictions, .csv or .parquet.")] = Path("predictions.csv"),
    method_file: Annotated[
        Path | None, Option(help="The file of the user's own method that was fitted, where it is no longer at its place.")
    ] = None,
    device: Annotated[str, Option(help="Where a network predicts: auto, cpu, cuda, mps.")] = "cpu",
    force: Annotated[bool, Option("--force", help="Write over predictions that are there.")] = False,
) -> None:
    """Predict new patients by a saved model: one row a row of the table, one column p:OUTCOME an outcome. No outcome is looked at.

    \b
    bench predict model/ new.csv
    bench predict model/ new.csv --table vitals=new_vitals.csv --out risks.parquet
    """
    import sys

    from bench import saved

    made, notices = saved.predict(
        model, table, further or (), data=data, dataset=dataset, out=out, method_file=method_file, device=device, force=force
    )
    for text in notices:
        print(f"note: {text}", file=sys.stderr)
    print(f"{len(made):,} rows are predicted: {out}")
