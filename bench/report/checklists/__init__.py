"""Reporting checklists, filled in as far as the stored results can, with the rest marked for the authors."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from bench.report.checklists import design, judgements, measures, people, performance
from bench.report.checklists.facts import Facts, gather
from bench.report.checklists.text import blank, say
from bench.report.evidence import Frames

Filler: TypeAlias = Callable[[Frames, Facts], list[str]]

FILLERS: Mapping[str, Filler] = {
    "10": design.sample_size, "11": design.missing_data, "12a": design.partition, "12c": design.building, "12d": design.clusters,
    "12e": measures.measures, "12f": measures.updating, "12g": measures.predicted, "13": measures.imbalance,
    "14": measures.fairness, "18c": people.protocol, "18e": people.data, "18f": people.code, "20a": people.flow, "20b": people.characteristics,
    "20c": measures.compared, "21": people.analyses, "22": people.specification, "23a": performance.performance,
    "23b": performance.heterogeneity,
}  # fmt: skip
APPLIES = {"D": "development", "E": "evaluation"}
NOTHING = "The store does not say."


def tripod(frames: Frames) -> str:
    """TRIPOD+AI items 10 to 14, 18 and 20 to 23b as Markdown; 12f and 12g only where predictions of other data are stored.

    What the results folder does not say is a blank for the authors, never a guess. No prediction at all: blanks and counts of 0.
    """
    facts, about = gather(frames.results), _about("tripod")
    items = [item for item in about["item"] if facts.external or not item.get("external")]
    skipped = [item["number"] for item in about["item"] if item not in items]
    body = [text for item in items for text in _item(item, frames, facts)]
    if skipped:
        body.append(f"Left out: {' and '.join(skipped)}, filled in only where predictions of other data are stored.")
    return _page(about, frames, body)


def probast(frames: Frames) -> str:
    """The signalling questions of PROBAST+AI that the store can speak to, each with an answer to start from and its evidence."""
    facts, about = gather(frames.results), _about("probast")
    body = [text for question in about["question"] for text in _question(question, frames, facts)]
    return _page(about, frames, [*body, f"Left to the authors, for the store says nothing of them: {about['left']}."])


@cache
def _about(name: str) -> Mapping[str, Any]:
    return tomllib.loads(files("bench.report.checklists").joinpath(f"{name}.toml").read_text("utf-8"))


def _page(about: Mapping[str, Any], frames: Frames, body: list[str]) -> str:
    gaps = "\n".join(body).count(blank("")[:-3])
    head = [
        f"# {about['title']}: {say(frames.results.dataset)}",
        *(f"**{say(warning)}**" for warning in frames.sheet.warnings),
        f"Items of {about['source']}, in our words, filled in from the stored results. {gaps} blanks are left, marked like this: "
        f"{blank('what is missing')}. Check what is filled in: it says what the results folder says, and no more.",
    ]  # fmt: skip
    return "\n\n".join([*head, *body]) + "\n"


def _item(item: Mapping[str, Any], frames: Frames, facts: Facts) -> list[str]:
    filler = FILLERS.get(item["number"])
    stored = filler(frames, facts) if filler else [NOTHING]
    who = " and ".join(APPLIES[part] for part in item["applies"].split(";"))
    texts = [f"## {item['number']} {item['topic']}", f"*Asked of {who}:* {item['asks']}", *stored]
    texts += [f"*How `bench run` works, if it made these results:* {item['program']}"] if "program" in item else []
    return [*texts, *(blank(what) for what in item["blanks"])]


def _question(question: Mapping[str, Any], frames: Frames, facts: Facts) -> list[str]:
    answer, evidence = judgements.JUDGES[question["part"], question["number"]](frames, facts)
    texts = [
        f"## {question['part'].capitalize()} {question['number']} (analysis)",
        f"*{question['asks']}*",
        f"**{answer}.** {evidence}",
    ]
    return [*texts, *(blank(what) for what in question["blanks"])]
