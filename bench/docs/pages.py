"""Pages that are made when the site is built: of each method and dataset from its docstring, of the cohort file's keys from the schema.

They are written to `bench/docs/made/`, which git ignores, before Sphinx looks for pages. In a docstring a
line that begins with "Published:" or its like begins a part; all else is plain text, see `prose`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import cards, registry
from bench.docs import blocks
from bench.docs.prose import code, markdown, rst, table
from bench.report.notes import FAMILIES

HERE = Path(__file__).parent
MADE = HERE / "made"
PARTS = re.compile(r"^(Adapter|Published|Limits|Departures|Cost|Source|Licence|Terms|Cite|Shape): ", re.M)
YEAR = re.compile(r"(?P<paper>.*?\b(?:19|20)\d\d\b\)?)", re.DOTALL)


def setup(app: Any) -> None:
    """Sphinx's hook."""
    app.connect("builder-inited", lambda app: write())  # before it looks for pages
    app.connect(
        "autodoc-process-docstring", lambda app, what, name, obj, options, lines: lines.__setitem__(slice(None), rst(lines))
    )


def write(folder: Path = MADE) -> None:
    """All pages; a file that would be the same stays, so that Sphinx does not read it again."""
    pages = dict(every())
    for path in folder.rglob("*.*"):
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def every() -> Iterator[tuple[str, str]]:
    """(path below `made/`, text) of each page."""
    families = {name: registry.module("methods", name).METHOD.family for name in registry.ids("methods")}
    pictures = blocks.declared()
    yield "methods/index.md", methods(families)
    for name in families:
        yield f"methods/{name}.md", method(cards.card(name), pictures.get(name))
    yield "datasets/index.md", datasets()
    for name in registry.ids("datasets"):
        yield f"datasets/{name}.md", dataset(cards.dataset(name))
    yield "contents.txt", contents(page.stem for page in HERE.iterdir() if page.suffix in (".md", ".ipynb"))
    yield "papers.txt", papers(families)
    yield "keys.md", keys(json.loads((HERE / "cohort.schema.json").read_text("utf-8")))
    for name, rows in RATES.items():
        yield f"{name}.txt", rates((HERE / "statistics.md").read_text("utf-8"), rows)


# The site's menu

MENU = {
    "Start": ("tutorial", "own_cohort", "csv_to_figure"),
    "Use": ("options", "commands", "cohorts", "tuning", "models", "sklearn", "plans", "tracking", "cluster", "faults", "speed"),
    "What the numbers say": ("clinicians", "learners", "statistics", "published", "leaderboard", "measurements", "claims"),
    "Methods and data": ("made/methods/index", "made/datasets/index", "adding"),
    "Reference": ("formats", "results", "made/keys", "api"),
    "The project": ("citing", "changelog", "versions", "contributing"),
}


def contents(there: Iterable[str]) -> str:
    """The menu: its pages that are there, and those it does not know at the end."""
    pages = {"index", *there}
    listed = {name for names in MENU.values() for name in names}
    parts = {**MENU, "More": sorted(pages - listed - {"index"})}
    shown = {title: [name for name in names if name in pages or name.startswith("made/")] for title, names in parts.items()}
    return "\n".join(toctree(names, f":caption: {title}") for title, names in shown.items() if names)


# Methods and datasets


def method(card: cards.Card, facts: Mapping[str, Any] | None) -> str:
    """The page of a method. facts: of its picture."""
    first, _, rest = card.about.partition("\n\n")
    picture = ["```{raw} html", blocks.svg(card.name, facts), "```", "", f"*{CAPTION}*"] if facts else []
    command = f"`bench run --methods single_task,{card.name}` compares it; `bench methods {card.name}` prints this card."
    parts = [
        f"# {card.name}",
        markdown(first),
        "\n".join(picture),
        *_parts(rest),
        *_settings(card),
        "## To run it and to cite it",
        command,
    ]
    cite = f"Cite {markdown(paper(card.about))}, and [the suite](../../citing.md)." if paper(card.about) else CITED
    return "\n\n".join(filter(None, [*parts, cite])) + "\n"


CAPTION = "A and B are two of the outcomes; blue is shared by all."
CITED = "There is no paper of its own to cite; cite [the suite](../../citing.md)."


def paper(about: str) -> str:
    """The paper that a method's second paragraph begins with, up to its year; "" where it names none."""
    found = YEAR.match(about.partition("\n\n")[2].partition("\nPublished: ")[0].partition(":\n")[0] + "\n")
    return " ".join(found["paper"].split()) if found else ""


def _parts(text: str) -> Iterator[str]:
    """A docstring's parts, each under its heading; what stands before the first one has none."""
    before, *found = PARTS.split(text)
    yield markdown(before)
    for head, body in zip(found[::2], found[1::2], strict=True):
        yield f"## {head}"
        yield markdown(body[0].upper() + body[1:])


def _settings(card: cards.Card) -> Iterator[str]:
    """Tables of its settings, its own first; one that a child says anew is not repeated."""
    seen: set[str] = set()
    for i, (owner, listed) in enumerate(card.settings):
        fresh = [one for one in listed if one.name not in seen]
        seen |= {one.name for one in listed}
        yield f"## {card.heading}" if i == 0 else f"### In common with others ({owner})"
        rows = [(f"`{s.name}`", code(s.default), code(s.kind), markdown(s.meaning), code(s.tuned)) for s in fresh]
        tuned = any(row[-1] for row in rows)
        head = ("setting" if card.heading == "Settings" else "dial", "default", "range", "meaning", "tuned over")
        yield table(head if tuned else head[:-1], rows if tuned else [row[:-1] for row in rows]) if rows else "None."


def methods(families: Mapping[str, str]) -> str:
    """The list of methods, family by family as in the tables."""
    order = [*FAMILIES, *sorted(set(families.values()) - set(FAMILIES))]
    parts = ["# Methods", LISTED]
    for family in order:
        names = [name for name, one in families.items() if one == family]
        rows = [(f"[{name}]({name}.md)", markdown(_first("methods", name))) for name in names]
        parts += [f"## {family[0].upper()}{family[1:]}", table(("id", "what it is"), rows)] if rows else []
    return "\n\n".join([*parts, toctree([name for family in order for name in families if families[name] == family])]) + "\n"


LISTED = """Every page is made from the docstring of the method's file: the idea, the paper, the equations, what was published, where we
depart from it, the settings with their ranges and what `--tune` searches, and the cost. `bench methods NAME` prints the same."""


def datasets() -> str:
    """The list of datasets."""
    names = registry.ids("datasets")
    rows = [(f"[{name}]({name}.md)", markdown(_first("datasets", name))) for name in names]
    about = "Source, licence, terms, citation, what was left out and why, and the dials. `bench datasets NAME` prints the same."
    return "\n\n".join(["# Datasets", about, table(("id", "what it is"), rows), toctree(names)]) + "\n"


def dataset(card: cards.Card) -> str:
    """The page of a dataset."""
    first, _, rest = card.about.partition("\n\n")
    said = [PARTS.sub(r"**\1.** ", part) for part in markdown(rest).split("\n\n")]
    parts = [f"# {card.name}", markdown(first), *(re.sub(r"\n(?=\*\*)", "\n\n", part) for part in said), *_settings(card)]
    return "\n\n".join(filter(None, parts)) + "\n"


def papers(families: Mapping[str, str]) -> str:
    """What to cite for each method; included by the page on citing."""
    rows = [
        (f"[{name}](made/methods/{name}.md)", markdown(paper(cards.card(name).about)) or "none of its own") for name in families
    ]
    return table(("method", "paper"), rows) + "\n"


def _first(kind: registry.Kind, name: str) -> str:
    return registry.about(kind)[name].partition("\n\n")[0]


def toctree(names: Sequence[str], *options: str) -> str:
    """A hidden list of pages, for the site's menu."""
    return "\n".join(["```{toctree}", ":hidden:", *options, "", *names, "```", ""])


# The cohort file's keys


def keys(schema: Mapping[str, Any]) -> str:
    """Every key of a cohort file, table by table, from the JSON schema."""
    parts = ["# Every key of a cohort file", KEYS]
    shared: Mapping[str, str] = {}  # what is said of a table's keys, which a join and a series have too
    named = [("The file", schema), *((title, schema["$defs"][name]) for name, title in WHERE.items())]
    missing = set(schema["$defs"]) - set(WHERE)
    if missing:
        raise ValueError(f"pages.WHERE does not say where the keys of {', '.join(sorted(missing))} stand")
    for title, part in named:
        required = part.get("required", [])
        about, names = part.get("description", ""), list(part["properties"])
        said = {**shared, **cards.said(about, names)}
        rows = [
            (f"`{key}`", kind(one), "required" if key in required else code(_given(one)), markdown(said.get(key, "")))
            for key, one in part["properties"].items()
        ]
        shared = said if title == WHERE["Table"] else shared
        parts += [f"## {title}", markdown(_before(about, names)), table(("key", "value", "left out", "meaning"), rows)]
    return "\n\n".join(filter(None, parts)) + "\n"


KEYS = """Made from [the JSON schema](../cohort.schema.json), which `bench data schema` prints for an editor. Examples and what happens
to awkward files: [Any cohort](../cohorts.md)."""
WHERE = {
    "Table": "`table = { ... }`",
    "Joined": "`[[join]]`",
    "Columns": "`[columns]`",
    "Outcome": "`[outcomes.NAME]`",
    "Series": "`[series.NAME]`",
    "Split": "`[split]`",
}


def _before(about: str, names: Sequence[str]) -> str:
    """A description up to the first key it speaks of."""
    return re.split(rf"(?<![\w`.])(?:{'|'.join(names)})(?:, \w+)*: ", about)[0].strip()


def kind(one: Mapping[str, Any]) -> str:
    """What a key takes, in words."""
    if "anyOf" in one:
        return " or ".join(dict.fromkeys(kind(part) for part in one["anyOf"] if part.get("type") != "null"))
    if "$ref" in one:
        return WHERE[one["$ref"].rpartition("/")[2]]
    if "enum" in one or "const" in one:
        return code(" | ".join(map(str, one.get("enum", [one.get("const")]))))
    if one.get("type") == "array":
        inner = kind(one["items"]) if "items" in one else " and ".join(kind(part) for part in one.get("prefixItems", []))
        return f"list of {inner}" if inner else "list"
    if one.get("type") == "object":
        inner = one.get("additionalProperties")
        return f"names, each with {kind(inner)}" if isinstance(inner, dict) else "table"
    return {"string": "text", "boolean": "true or false", "number": "number", "integer": "whole number"}.get(
        one.get("type", ""), ""
    )


def _given(one: Mapping[str, Any]) -> str:
    default = one.get("default")
    return (
        ""
        if not default or isinstance(default, dict)
        else ", ".join(map(repr, default))
        if isinstance(default, list)
        else str(default)
    )


# Rates out of the statistics page


RATES = {
    "rates_clinicians": ("no adjustment", "marks of the table", "percentile, difference of these models, AUROC / AP"),
    "rates_learners": (
        "paired bootstrap p, AUROC / AP",
        "corrected t, AUROC / AP",
        "DeLong, AUROC",
        "marks of the table",
        "no adjustment",
        "middle 95 % of resampled ranks, AUROC / AP",
    ),
}


def rates(page: str, chosen: Sequence[str]) -> str:
    """Rows of the measured null rates, of both designs, for a page that includes them. ValueError for a row that is not there."""
    measured = page.partition("<!-- null rates: begin -->")[2].partition("<!-- null rates: end -->")[0]
    out: list[str] = []
    for design in re.split(r"^(?=Null: )", measured, flags=re.M)[1:]:
        title, lines = design.partition("\n")[0], design.splitlines()
        rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
        head = next(line for line in lines if line.startswith("| percent"))
        found = [rows[name] for name in chosen if name in rows]
        if not found:
            raise ValueError(f"statistics.md has none of the rates {', '.join(chosen)} under '{title}'")
        out += [title, "\n".join([head, "|---|--:|--:|--:|--:|--:|--:|", *found])]
    return "\n\n".join(out) + "\n"
