"""Whether results keep to the plan that was locked before: one sentence, and a line for each place where they depart from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bench.plans import Locked, said
from bench.report.sheet import Sheet
from bench.report.words import clean, short
from bench.store import Results

EXTERNAL = "external"  # the split of results on another cohort


def told(sheet: Sheet, results: Results, plan: Locked, judged: Mapping[str, Any]) -> Sheet:
    """The sheet, with what is to be said of the plan. judged: as `_analysis` takes it."""
    departures = tuple(departed(results, plan, judged))
    lines = (sentence(results, plan, bool(departures)), *(clean(f"Departs from the plan: {one}.") for one in departures))
    places = f"{len(departures)} place{'s' * (len(departures) > 1)}"
    warning = (f"departs from its plan in {places}, named below",) if departures else ()
    return replace(sheet, plan=lines, warnings=(*sheet.warnings, *warning))


def sentence(results: Results, plan: Locked, departs: bool) -> str:
    """Which plan, from when, and when the first cell was trained."""
    made = f"{'Made with' if departs else 'Made under'} the plan {plan.name}, locked on {said(plan.when)}"
    began = _began(results)
    if len(began) == 0:
        return f"{made}; when the first cell was trained is not stored."
    first = said(datetime.fromtimestamp(float(began.min()), UTC))
    early = began.min() < plan.when.timestamp()
    return f"{made}, {'after' if early else 'before'} the first cell was trained ({first})."


def departed(results: Results, plan: Locked, judged: Mapping[str, Any]) -> Iterator[str]:
    """A line a departure."""
    yield from _early(results, plan)
    yield from _analysis(plan, {**judged, "reference": results.reference})
    yield from _methods(results, plan)
    if results.protocol.get("split") == EXTERNAL:
        yield from _elsewhere(results, plan)
        return
    about = plan.datasets.get(results.dataset)
    if about is None:
        yield f"{results.dataset} is not among its datasets, {', '.join(plan.datasets)}"
        return
    if results.digest != about["digest"]:
        yield f"another cohort: its digest is {results.digest[:12]}, not {about['digest'][:12]}"
    yield from _outcomes(results, about.get("outcome", []))
    yield from _protocol(results, about.get("split", []))


def _began(results: Results) -> Any:
    """When the training of the cells began, as far as known."""
    if "begun" not in results.cells:
        return np.array([])
    began = results.cells["begun"].to_numpy(np.float64)
    return began[~np.isnan(began)]


def _early(results: Results, plan: Locked) -> Iterator[str]:
    began = _began(results)
    early = int((began < plan.when.timestamp()).sum())
    if early:
        yield f"{early:,} of {len(results.cells):,} cells were trained before it was locked"
    elif plan.content.get("stored"):
        yield f"{plan.content['stored']:,} of its cells were stored when it was locked"


def _analysis(plan: Locked, judged: Mapping[str, Any]) -> Iterator[str]:
    """judged: primary, adjust, interval, resamples and reference as they were chosen."""
    names = {
        "primary": "primary metric",
        "adjust": "adjustment",
        "interval": "kind of interval",
        "resamples": "number of resamples",
    }
    for name, value in judged.items():
        planned = plan.analysis.get(name)
        if _listed(value) != _listed(planned):
            yield f"another {names.get(name, name)}, {_listed(value)} and not {_listed(planned)}"


def _methods(results: Results, plan: Locked) -> Iterator[str]:
    added = [method for method in results.methods if method not in plan.methods]
    missing = [method for method in plan.methods if method not in results.methods]
    if added:
        yield f"methods that it has not: {', '.join(added)}"
    if missing:
        yield f"methods of it that are not here: {', '.join(missing)}"
    for what in ("code", "settings"):
        other = [method for method in results.methods if method in plan.methods and _other(results, plan, method, what)]
        if other:
            yield f"other {what} of {', '.join(other)}"
    for library, planned in plan.content.get("versions", {}).items():
        found = {made["versions"][library] for made in results.made.values() if library in made.get("versions", {})} - {planned}
        if found:
            yield f"another version of {library}, {', '.join(sorted(found))} and not {planned}"


def _other(results: Results, plan: Locked, method: str, what: str) -> bool:
    """Whether a method's cells were made otherwise; what is not stored is not held against them."""
    found, planned = results.made.get(method, {}).get(what), plan.methods[method].get(what)
    return found is not None and _known(found) != _known(planned)


def _known(value: Any) -> Any:
    """As a plan can hold it: without what is None."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


def _outcomes(results: Results, planned: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    known = {one["name"]: one for one in planned}
    names = [task.name for task in results.tasks]
    if added := [name for name in names if name not in known]:
        yield f"outcomes that it has not: {', '.join(added)}"
    if missing := [name for name in known if name not in names]:
        yield f"outcomes of it that are not here: {', '.join(missing)}"
    for task in results.tasks:
        now = {"definition": results.words.definitions.get(task.name, ""), "coding of death before": task.competing}
        for what, planned_as in (("definition", "definition"), ("coding of death before", "competing")):
            then = known.get(task.name, {}).get(planned_as, "")
            if task.name in known and now[what] != then:
                yield f"another {what} of {task.name}, {short(now[what]) or 'none'} and not {short(then) or 'none'}"


def _protocol(results: Results, planned: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Repeats, and whatever else the protocol says. planned: of the same training size, where there are several."""
    size = results.protocol.get("train_size")
    split = next((one for one in planned if one["protocol"].get("train_size") == size), None)
    if split is None:
        yield f"at most {size or 'all'} patients to learn from, which is no training size of it"
        return
    repeats = results.protocol.get("repeats", 1)
    if repeats != split["repeats"]:
        yield f"{'more' if int(str(repeats)) > split['repeats'] else 'fewer'} repeats, {repeats} and not {split['repeats']}"
    now = {name: value for name, value in results.protocol.items() if name != "repeats"}
    for name in sorted({*now, *split["protocol"]}):
        mine, its = now.get(name), split["protocol"].get(name)
        if _listed(mine) != _listed(its):
            yield f"another {name.replace('_', ' ')}, {_listed(mine)} and not {_listed(its)}"
    found = results.receipt.get("hash")
    if repeats == split["repeats"] and found and found != split["hash"]:
        yield f"other folds: the hash of the splits is {found[:12]}, not {split['hash'][:12]}"


def _elsewhere(results: Results, plan: Locked) -> Iterator[str]:
    """Of models that were tested on another cohort: whether that one is in the plan. Its name follows "tested on"."""
    known = [f"{name} tested on {other['name']}" for name, one in plan.datasets.items() for other in one.get("external", [])]
    if not any(results.dataset == one for one in known):
        yield f"{results.dataset}, which it does not have"


def _listed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def asked(plan: Locked, metric: str | None, margin: float | None) -> tuple[str, float | None, tuple[str, ...]]:
    """What a comparison of two methods takes from the plan where it is not told otherwise, and what is to be said of it."""
    primary, planned = plan.analysis["primary"], plan.analysis.get("margin")
    chosen, within = metric or primary[0], planned if margin is None else margin
    lines = [f"Metric and margin of the plan {plan.name}, locked on {said(plan.when)}: {', '.join(primary)}; {_listed(planned)}."]
    if chosen not in primary:
        lines.append(f"Departs from the plan: {chosen} is no primary metric of it.")
    if within != planned:
        lines.append(f"Departs from the plan: another margin, {_listed(within)} and not {_listed(planned)}.")
    return chosen, within, tuple(lines)
