"""All tables that a report is drawn from, computed once: figures, page and checklists only read them."""

from dataclasses import dataclass, fields, replace

import pandas as pd

from bench.report import ledger
from bench.report import worth as told
from bench.report.definitions import sentences
from bench.report.sheet import Sheet, build
from bench.stats import Evidence, Scoring
from bench.store import Results


@dataclass(frozen=True, eq=False)
class Frames:
    """Fractions throughout, NaN where undefined. A table of what was not there to compute it from is empty.

    Columns: see the function of the same name in `bench.stats`, in the module named beside.
    """

    results: Results
    scoring: Scoring
    sheet: Sheet
    curves: pd.DataFrame  # curves
    risks: pd.DataFrame
    calibration: pd.DataFrame  # calibration
    smooth: pd.DataFrame
    net_benefit: pd.DataFrame  # benefit
    benefit_differences: pd.DataFrame
    subgroups: pd.DataFrame  # subgroups
    heterogeneity: pd.DataFrame
    delong: pd.DataFrame  # delong
    corrected: pd.DataFrame  # procedure
    bayes: pd.DataFrame
    transfer: pd.DataFrame  # multitask
    gains: pd.DataFrame
    unions: pd.DataFrame
    coherence: pd.DataFrame
    affinity: pd.DataFrame
    costs: pd.DataFrame  # costs
    robustness: pd.DataFrame  # levels: where tests with missing modalities are stored
    learning: pd.DataFrame  # learning: where runs with fewer patients to learn from are stored
    worth: pd.DataFrame
    variants: pd.DataFrame  # variants
    definitions: pd.DataFrame
    tuned: pd.DataFrame  # bench.report.ledger: where methods were tuned

    @classmethod
    def of(cls, results: Results, evidence: Evidence | None, scoring: Scoring, style: str = "paper") -> "Frames":
        """Compute them all. evidence: None where no cell has test predictions. style: of the sheet."""
        if evidence is None:
            none = {field.name: pd.DataFrame() for field in fields(cls)[3:]}
            return cls(results, scoring, build(results, scoring, style), **none)
        from bench.stats import (
            benefit,
            calibration,
            costs,
            curves,
            delong,
            learning,
            levels,
            multitask,
            procedure,
            subgroups,
            variants,
        )

        tasks = results.tasks
        calibrated, how = calibration.calibration(evidence), scoring.interval
        sized = learning.curves(evidence, results.learned, results.sizes)
        sheet = build(results, scoring, style, calibrated)
        robustness = levels.robustness(evidence, results.predictions, results.cells, how)
        curve, worth = learning.learning(sized, how), learning.worth(sized)
        said = sentences(variants.definitions(evidence), variants.variants(evidence), scoring)
        return cls(
            results, scoring,
            replace(
                sheet, remarks=(*ledger.remarks(results), *sheet.remarks, *told.remarks(worth, robustness), *said),
                blocks=(*sheet.blocks, *ledger.blocks(results), *told.blocks(worth, curve, results, scoring.primary)),
            ),
            curves=curves.curves(evidence), risks=curves.risks(evidence),
            calibration=calibrated, smooth=calibration.smooth(evidence),
            net_benefit=benefit.net_benefit(evidence, tasks), benefit_differences=benefit.differences(evidence, tasks),
            subgroups=subgroups.subgroups(evidence), heterogeneity=subgroups.heterogeneity(evidence),
            delong=delong.delong(evidence), corrected=procedure.corrected(evidence), bayes=procedure.bayes(evidence),
            transfer=multitask.transfer(evidence), gains=multitask.gains(evidence),
            unions=multitask.unions(evidence, tasks), coherence=multitask.coherence(evidence, tasks),
            affinity=multitask.affinity(evidence, results.cells), costs=costs.costs(evidence, results.cells),
            robustness=robustness, learning=curve, worth=worth,
            variants=variants.variants(evidence), definitions=variants.definitions(evidence),
            tuned=ledger.tuned(results),
        )  # fmt: skip
