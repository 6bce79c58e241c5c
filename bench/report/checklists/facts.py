"""What the stored predictions say of the design, before any performance: who is in which part, and with how many events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.store import Results

SIDES = ["repeat", "fold", "side", "task", "n", "known", "events"]
SHRINKAGE = 0.9  # of the criterion of `parameters`
NAGELKERKE = 0.15  # the share of the largest R2 that Riley et al. advise where nothing is known


@dataclass(frozen=True, eq=False)
class Facts:
    """Of one results folder. `learned`, of sides, is training and validation rows together.

    sides: repeat, fold, side ("train" | "valid" | "test" | "learned"), task, n, known, events. Of random folds on all rows "train" and
    "learned" only where every fold of the repeat has predictions, "train" and "valid" only where validation rows are stored; of other
    splits as the receipt has it.
    labels: row, y:<task> of the first repeat's test rows.
    """

    rows: int  # of the cohort
    patients: int
    groups: int
    scored: int  # rows of the cohort with a test prediction
    sides: pd.DataFrame
    labels: pd.DataFrame
    repeated: int  # rows in two test folds of one repeat
    overlapping: int  # rows among the test and the validation rows of one fold
    crossing: int  # groups or patients with rows in two test folds of a repeat, or in validation and test rows of a fold
    external: tuple[str, ...]  # names of other data that were predicted

    def of(self, side: str, task: str) -> pd.DataFrame:
        """n, known and events of one side and outcome, one row per repeat and fold."""
        return self.sides[(self.sides["side"] == side) & (self.sides["task"] == task)]

    def smallest(self, task: str) -> tuple[float, float]:
        """Rows with a known outcome that the fold with the fewest events learned from, and their events; NaN if unknown."""
        learned = self.of("learned", task)
        if learned.empty:
            return np.nan, np.nan
        known, events = learned[["known", "events"]].sort_values("events", kind="stable").to_numpy(np.float64)[0]
        return float(known), float(events)


def gather(results: Results) -> Facts:
    """Count. Predictions of no method: everything 0 and empty. Methods agree about rows and labels (`stats.gather` checks)."""
    cohort, tasks = results.cohort, [task.name for task in results.tasks]
    keys = cohort[[column for column in ("row", "patient", "group") if column in cohort]]
    placed = _placed(results.predictions, tasks)
    test, valid = (placed[placed["view"] == view] for view in ("test", "valid"))
    both = test.merge(valid, on=["repeat", "fold", "row"])
    first = test[test["repeat"] == test["repeat"].min()] if len(test) else test
    complement = not {"split", "train_size"} & set(results.protocol)  # learned from: the other folds' test rows
    owned = test.merge(keys, on="row"), valid.merge(keys, on="row"), list(keys.columns[1:])
    return Facts(
        rows=len(cohort),
        patients=int(keys.iloc[:, 1].nunique()),
        groups=int(keys.iloc[:, -1].nunique()),
        scored=int(test["row"].nunique()),
        sides=_sides(test, valid, tasks, results.protocol.get("folds")) if complement else _of_receipt(results, test),
        labels=first[["row", *(f"y:{task}" for task in tasks)]] if len(first) else pd.DataFrame(),
        repeated=int(test.duplicated(["repeat", "row"]).sum()),
        overlapping=len(both),
        crossing=_crossing(*owned, complement),
        external=tuple(sorted(view.removeprefix("external:") for view in _views(results) if view.startswith("external:"))),
    )


def parameters(n: float, rate: float) -> float:
    """Predictor parameters that n rows with this share of events allow for an expected shrinkage of .9.

    NaN without both classes. Riley et al., "Calculating the sample size required for developing a clinical prediction model",
    BMJ 2020;368:m441, criterion for shrinkage: P = n (S - 1) ln(1 - R2 / S), R2 (Cox-Snell) at 15 % of its largest value.
    """
    if not 0 < rate < 1:
        return np.nan
    largest = 1 - np.exp(2 * (rate * np.log(rate) + (1 - rate) * np.log1p(-rate)))
    return float(n * (SHRINKAGE - 1) * np.log1p(-NAGELKERKE * largest / SHRINKAGE))


def rows_for_overall_risk(rate: float) -> float:
    """Rows that estimate the overall risk to within .05 with 95 % confidence (Riley et al. 2020, first criterion)."""
    return float((1.96 / 0.05) ** 2 * rate * (1 - rate))


def external_labels(results: Results, name: str) -> pd.DataFrame:
    """row, y:<task> of other data: each row once."""
    found = results.predictions[results.predictions["view"] == f"external:{name}"]
    return found.drop_duplicates("row")[["row", *(f"y:{task.name}" for task in results.tasks)]]


def _views(results: Results) -> list[str]:
    return [str(view) for view in results.predictions["view"].unique()] if len(results.predictions) else []


def _placed(predictions: pd.DataFrame, tasks: Sequence[str]) -> pd.DataFrame:
    """repeat, fold, view, row, y:<task>: each test and validation row of a fold once, from the first method that has it."""
    columns = ["repeat", "fold", "view", "row", *(f"y:{task}" for task in tasks)]
    if predictions.empty:
        return pd.DataFrame({column: pd.Series(dtype=float) for column in columns})
    here = predictions[predictions["view"].isin(["test", "valid"])]
    first = here.groupby(["repeat", "fold", "view"], sort=False)["method"].transform("first")
    return here.loc[here["method"] == first, columns]


def _sides(test: pd.DataFrame, valid: pd.DataFrame, tasks: Sequence[str], folds: object) -> pd.DataFrame:
    columns = [f"y:{task}" for task in tasks]
    of_valid = {
        place: (own["row"].to_numpy(), own[columns].to_numpy(np.float64)) for place, own in valid.groupby(["repeat", "fold"])
    }
    table: list[dict[str, Any]] = []
    for repeat, tested in test.groupby("repeat"):
        rows, fold_of, y = tested["row"].to_numpy(), tested["fold"].to_numpy(), tested[columns].to_numpy(np.float64)
        there = np.unique(fold_of)
        for fold in there:
            own = fold_of == fold
            parts = {"test": y[own]} | ({"learned": y[~own]} if len(there) == folds else {})
            if (repeat, fold) in of_valid:
                checked, parts["valid"] = of_valid[repeat, fold]
                if len(there) == folds:
                    parts["train"] = y[~own & ~np.isin(rows, checked)]
            table += [
                {"repeat": repeat, "fold": fold, "side": side, "task": task, "n": len(part),
                 "known": int((~np.isnan(part[:, t])).sum()), "events": int((part[:, t] == 1).sum())}
                for side, part in parts.items() for t, task in enumerate(tasks)
            ]  # fmt: skip
    return pd.DataFrame(table, columns=SIDES)


def _of_receipt(results: Results, test: pd.DataFrame) -> pd.DataFrame:
    """As the receipt of the splits counted them, of the folds that have predictions."""
    table = pd.DataFrame(results.receipt.get("folds", []), columns=[*SIDES, "prevalence"])[SIDES]
    table = table.merge(test[["repeat", "fold"]].drop_duplicates(), on=["repeat", "fold"])
    learned = table[table["side"] != "test"].groupby(["repeat", "fold", "task"], sort=False)[["n", "known", "events"]].sum()
    return pd.concat([table, learned.reset_index().assign(side="learned")], ignore_index=True)[SIDES]


def _crossing(test: pd.DataFrame, valid: pd.DataFrame, owners: Sequence[str], complement: bool) -> int:
    """Owners found on both sides of a fold; each kind of owner counted by itself, the larger number given.

    complement: the other folds' test rows are learned from, so that no owner may be in two test folds.
    """
    counts = [0]
    for owner in owners:
        folds = test.groupby(["repeat", owner])["fold"].nunique()
        split = set(folds[folds > 1].index.get_level_values(1)) if complement else set[object]()
        shared = test[["repeat", "fold", owner]].merge(valid[["repeat", "fold", owner]])[owner]
        counts.append(len(split | set(shared)))
    return max(counts)
