"""Suites: TOML files that say what meets what. `bench run --suite NAME`, or a path such as ./mine.toml.

Three kinds. A comparison names datasets with their dials, methods with their settings and a protocol, and is cross-validated as any
run. With `kind = "pairs"` every pair of outcomes is trained together and alone instead: see `bench.pairs`. A suite of claims has
`[draws]`, `[[claim]]` and `[[null]]` tables: see `Claim` and `bench.claims`. Specs are written as on
the command line, and so are paths: seen from where the command is given. Unknown keys are refused.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from annotated_types import Ge
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bench import toml
from bench.core import BenchError, Count, Encodings, Positive, Share
from bench.registry import unknown

Name: TypeAlias = Annotated[str, Field(min_length=1)]
Names: TypeAlias = Annotated[tuple[Name, ...], Field(min_length=1)]
Seed: TypeAlias = Annotated[int, Ge(0)]
Pair: TypeAlias = Annotated[int, Ge(2)]


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Sizes: TypeAlias = Annotated[tuple[Count, ...], Field(min_length=1), BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Design(_Strict):
    """As the options of the same names: see `bench.api.run`."""

    folds: Pair = 5
    repeats: Count = 1
    seed: Seed = 0
    split: Name | None = None
    cut: Annotated[str, BeforeValidator(str)] | None = None
    drop_modality: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()
    at: Literal["test", "train", "both"] = "test"
    text: Name = Encodings().text
    series: Name = Encodings().series
    outcomes: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()

    def options(self, quick: bool, seed: int | None) -> dict[str, Any]:
        """Those that the suite gives, for `bench.api.run`. quick: with its own folds. seed: instead of the suite's."""
        given = {name: getattr(self, name) for name in self.model_fields_set if not (quick and name == "folds")}
        return given if seed is None else {**given, "seed": seed}


class CrossValidation(Design):
    """Of a comparison."""

    train_size: Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(_listed)] = ()
    missing: Annotated[tuple[Share, ...], BeforeValidator(_listed)] = ()
    test_data: Annotated[tuple[Name, ...], BeforeValidator(_listed)] = ()
    tune: Annotated[int, Ge(0)] = 0
    tune_minutes: Annotated[float, Ge(0.0)] = 0.0


class OneSize(Design):
    """Of pairs. outcomes: those that are paired."""

    train_size: Annotated[str, BeforeValidator(str)] = "all"

    def options(self, quick: bool, seed: int | None) -> dict[str, Any]:
        return super().options(quick, seed) | ({"repeats": 1} if quick else {})


class Comparison(_Strict):
    """text: what for. reference: the method the others are compared with; as in any run where it is left out. profile: quick, standard or
    paper, behind what the protocol says itself."""

    text: Name
    datasets: Names
    methods: Names
    reference: str | None = None
    profile: Name | None = None
    protocol: CrossValidation = CrossValidation()


class Pairing(_Strict):
    """text: what for. methods: each is its own yardstick, trained on an outcome alone, on every pair of outcomes, and on all."""

    kind: Literal["pairs"]
    text: Name
    datasets: Names
    methods: Names
    protocol: OneSize = OneSize()


class Sampling(_Strict):
    """count: independent draws of each generator. seed: of the first; draw k has seed + k. test: fresh patients a draw is tested on."""

    count: Pair
    seed: Seed
    test: Count = 20_000


class Elsewhere(_Strict):
    """The second condition of a contrast: what is left out is as in the first."""

    dataset: str | None = None
    train: Count | None = None


class Entry(_Strict):
    """What is compared, and where.

    dataset: a generator with its dials. train: patients learned from, validation among them; a list makes an entry of each.
    rows: patients generated, train + the test's where left out. train_site, test_site: learned from or tested on this site alone.
    method against the best of `against` in the same draw, by metric: `ap`, `auroc` (mean over outcomes), `ap:TASK`, `auroc:TASK`,
    `fact:PATH.IN.FACTS` of the cell (parts may hold *; mean of a list), `seconds` it took. against_metric: of the other side.
    scale: difference, or ratio (in logs). direction: which way is better. than: the gain here less the gain there.
    effect: the size claimed, in the metric's own units (a ratio above 1 where that is the scale); left out where the paper
    claims a direction only.
    """

    name: Name
    text: Name
    dataset: Name
    train: Sizes
    rows: Count | None = None
    train_site: str = ""
    test_site: str = ""
    method: Name
    against: Names
    metric: Annotated[str, Field(pattern=r"^((ap|auroc)(:\w+)?|fact:.+|seconds)$")] = "ap"
    against_metric: str = ""
    scale: Literal["difference", "ratio"] = "difference"
    direction: Literal["up", "down"] = "up"
    effect: Positive | None = None
    than: Elsewhere | None = None

    @model_validator(mode="after")
    def _above_one(self) -> "Entry":
        if self.scale == "ratio" and self.effect is not None and self.effect <= 1:
            raise ValueError(f"effect must be above 1 where scale is ratio, but is {self.effect}")
        return self


class Claim(Entry):
    """paper: whose claim it is."""

    paper: Name


class Null(Entry):
    """A place where the claim's assumption does not hold, or a control. of: the claim. expect: what becomes of the effect there."""

    of: Name
    effect: Positive  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues] - never only a direction
    expect: Literal["absent", "present"] = "absent"


class Claims(_Strict):
    text: Name
    draws: Sampling
    claim: Annotated[tuple[Claim, ...], Field(min_length=1)]
    null: tuple[Null, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> "Claims":
        names = [entry.name for entry in (*self.claim, *self.null)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"every claim and null needs a name of its own, but '{twice}' stands more than once")
        for null in self.null:
            known = [claim.name for claim in self.claim]
            if null.of not in known:
                raise ValueError(unknown(f"claim of null '{null.name}'", null.of, known))
        return self


Suite: TypeAlias = Comparison | Claims | Pairing


def names() -> list[str]:
    """Every bundled suite, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def load(name: str) -> tuple[str, Suite]:
    """(its name, the suite) of a bundled name or a path that ends with .toml. Anything wrong in it is one line."""
    path = Path(name).expanduser() if name.endswith(".toml") else Path(__file__).parent / f"{name}.toml"
    if not path.is_file():
        raise BenchError(f"no such file: {path}" if name.endswith(".toml") else unknown("suite", name, names()))
    value = toml.read(path)
    try:
        return path.stem, _kind(value).model_validate(value)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a mistyped key is why another is missing
        raise BenchError(f"{path}: {_said(first, _kind(value))}") from None


def _kind(value: dict[str, Any]) -> type[Comparison] | type[Claims] | type[Pairing]:
    if "kind" in value:
        return Pairing
    return Claims if {"claim", "draws"} & set(value) else Comparison


TABLES = {"claim": Claim, "null": Null, "draws": Sampling, "than": Elsewhere}


def _said(error: Any, kind: type[BaseModel]) -> str:
    """Where it is and the rule; of an unknown key the closest one."""
    *above, last = error["loc"] or ("",)
    if error["type"] == "extra_forbidden":
        tables = {**TABLES, "protocol": OneSize if kind is Pairing else CrossValidation}
        table = next((tables[part] for part in reversed(above) if part in tables), kind)
        return unknown(f"key of {_place(above) or 'the suite'}", last, list(table.model_fields))
    rule = error["msg"].removeprefix("Value error, ")
    return f"{_place(error['loc'])}: {rule[0].lower()}{rule[1:]}".removeprefix(": ")


def _place(parts: Any) -> str:
    """claim[2].than"""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
