"""How verdicts are shown: nothing cut, nothing said twice, the same bytes for the same table."""

import io
import math
import re
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench import claims, suites
from bench.report import verdicts
from bench.report.words import DASH


class Random(claims.Cells):
    """Scores of every arm drawn at random, the one of contrastive pretraining missing."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def scores(self, arm: claims.Arm) -> np.ndarray:
        if "contrastive" in arm.method.label:
            raise claims.NotRun("failed: OutOfMemoryError: tried to allocate 2 GiB")
        rng = np.random.default_rng([self.seed, zlib.crc32(str(arm).encode())])
        return np.exp(rng.normal(rng.normal(0, 0.2), 0.1, 20))  # ratios up to x4, differences below 100 points


@pytest.fixture(scope="module")
def bundled() -> verdicts.Verdicts:
    _, suite = suites.load("claims")
    assert isinstance(suite, suites.Claims)
    return verdicts.Verdicts(suite.text, claims.judge(claims.cases(suite), Random(4)), ("Made up.",))


@pytest.fixture(scope="module")
def written(bundled: verdicts.Verdicts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verdicts")
    verdicts.write(bundled, folder)
    return folder


def row(**more: object) -> dict[str, object]:
    return {
        "kind": "claim", "name": "ahead", "of": "", "paper": "Nobody | 2020", "text": "ahead of two", "dataset": "surgical",
        "train": "100", "draws": 3, "method": "mmoe", "against": "ple, logistic", "metric": "ap", "unit": "points", "effect": 0.0123,
        "low": -0.001, "high": 0.0256, "claimed": 0.02, "p": 0.06, "p_holm": 0.12, "power": 0.5,
        "each": (("ple", 0.0234), ("logistic", -0.00001)), "verdict": "inconclusive", "expected": "", "reason": "",
    } | more  # fmt: skip


NULL = {"kind": "null", "name": "apart", "of": "ahead", "paper": "", "expected": "absent", "p_holm": math.nan}


def made(*rows: dict[str, object]) -> verdicts.Verdicts:
    return verdicts.Verdicts("Title", pd.DataFrame(rows), ())


def shown(what: verdicts.Verdicts, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 130])
def test_every_claim_of_the_bundled_suite_has_its_numbers_on_a_line(bundled: verdicts.Verdicts, width: int) -> None:
    lines = shown(bundled, width)
    assert max(map(len, lines)) <= width
    numbers = [re.split(r"  +", line.strip()) for line in lines if line.startswith("  ") and "[" in line]
    run = bundled.table[bundled.table["reason"] == ""]
    assert len(run) == 37
    assert [cells[0] for cells in numbers] == list(run["verdict"])
    assert [cells[1] for cells in numbers] == list(run["train"])
    assert {len(cells) for cells in numbers} == {6}
    assert sum("not run" in line and line.startswith("  ") for line in lines) == 1
    for paper in run["paper"].unique():
        assert not paper or lines.count(paper) == 1


def test_the_words_of_a_claim_stand_once_at_any_width(bundled: verdicts.Verdicts) -> None:
    for width in (60, 80, 130):
        flat = " ".join(" ".join(shown(bundled, width)).split())
        for name, text in bundled.table.groupby("name")["text"].first().items():
            assert len(re.findall(rf"(?<!\S){re.escape(str(name))}[:,] (should be \w+: )?{re.escape(text)}", flat)) == 1


def test_numbers_as_people_read_them() -> None:
    lines = shown(made(row(), row(**NULL, unit="ratio", effect=0.0, low=math.log(0.5), high=math.log(1234), claimed=0.0)), 80)
    assert lines[4] == "ahead: ahead of two"
    assert lines[5].split() == ["inconclusive", "100", "+1.23", "[-0.10,", "+2.56]", "+2.00", "0.50", "0.120"]
    assert lines[6] == "null apart, should be absent: ahead of two"
    assert lines[7].split() == ["inconclusive", "100", "x1.00", "[x0.500,", "x1234]", DASH, "0.50", DASH]


def test_markdown_shows_the_difference_to_each_rival() -> None:
    small = made(row(), row(train="200", each=(("ple", 0.01),), against="ple"), row(**NULL, verdict="present"))
    page = verdicts._markdown(small).splitlines()
    lines = [line for line in page if line.startswith("| ") and "sub" in line]
    assert "**Nobody &#124; 2020**" in page
    compared = "ahead: mmoe over ple&nbsp;+2.34, logistic&nbsp;+0.00; ap on surgical, n&nbsp;100"
    numbers = "+1.23&nbsp;&#91;-0.10,&nbsp;+2.56&#93;<br><sub>claimed&nbsp;+2.00, power&nbsp;0.50"
    assert lines[0] == f"| ahead of two<br><sub>{compared}</sub> | {numbers}, p&nbsp;0.120</sub> | **inconclusive** |"
    assert lines[1] == f"| the same with 200 patients | {numbers}, p&nbsp;0.120</sub> | **inconclusive** |"
    assert lines[2].startswith("| null: ahead of two<br><sub>apart: mmoe over ple")
    assert lines[2].endswith(f"| {numbers}</sub> | **present**<br><sub>should be absent</sub> |")


def test_csv_holds_each_as_fractions_or_logs(written: Path, bundled: verdicts.Verdicts) -> None:
    assert "ple 0.0234; logistic -1e-05" in verdicts._csv(made(row()).table)
    table = pd.read_csv(written / "claims.csv").set_index("name")
    first = str(table.loc["orthtd-ap", "each"]).split("; ")
    assert [text.split(" ")[0] for text in first] == ["hard_sharing", "mmoe", "cross_stitch", "hard_sharing:balance=uncertainty"]
    assert [float(text.split(" ")[1]) for text in first] == pytest.approx([d for _, d in bundled.table.loc[0, "each"]], rel=1e-9)
    assert pd.isna(table.loc["shared-contrastive", "each"])


def test_the_same_table_gives_the_same_bytes(written: Path, bundled: verdicts.Verdicts, tmp_path: Path) -> None:
    verdicts.write(bundled, tmp_path)
    for name in ("claims.md", "claims.csv", "claims.png", "claims.svg"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes(), name


def test_a_figure_of_what_was_not_run_or_has_no_width_is_drawn(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("effect", "low", "high", "p_holm", "power"), math.nan) | {
        "each": (),
        "verdict": "not run",
        "reason": "no",
    }
    verdicts.write(made(row(**nothing, unit="ratio"), row(name="b", effect=0.0, low=0.0, high=0.0, unit="value")), tmp_path)
    assert (tmp_path / "claims.png").read_bytes()[:4] == b"\x89PNG"
