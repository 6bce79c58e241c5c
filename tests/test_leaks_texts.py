"""Texts that tell the outcome: its own words in any script, and any word that separates."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from bench.cohorts import columns, leaks, texts, traces
from bench.cohorts.alarm import Alarm
from bench.core import Task, Text

N = 600
ONE = [Task("aki", "acute kidney injury")]
Y = (np.random.default_rng([0, 7]).random((N, 1)) < 0.3).astype(np.float32)
FLIP = np.where(np.random.default_rng(4).random(N) < 0.02, 1 - Y[:, 0], Y[:, 0])
LATIN = [
    "seen on ward 5",
    "Husten seit Montag",
    "pain in the left knee",
    "fièvre modérée",
    "geplante Aufnahme",
    "жалоб нет",
    "stable",
]
CHINESE = [
    "患者术后出现高热",
    "呼吸困难明显",
    "血压下降",
    "需要吸氧治疗",
    "恢复良好",
    "可下床活动",
    "急性腹痛",
    "损伤处已缝合",
    "饮食正常",
]


def found(text: Text) -> list[Alarm]:
    return leaks.search({"one": text}, ONE, Y, np.arange(N).astype(str))


def written(word: str, filler: list[str], between: str = " ") -> Text:
    """Notes of three of `filler`, all different; `word` stands in half of the events' and in 1 of 100 others'."""
    rng = np.random.default_rng(6)
    has = rng.random(N) < np.where(Y[:, 0] == 1, 0.5, 0.01)
    parts = [[*rng.choice(filler, 3, replace=False), f"{i}", *[word] * int(h)] for i, h in enumerate(has)]
    return Text([between.join(rng.permutation(part)) for part in parts])


def test_a_text_that_is_written_for_some_only() -> None:
    notes = Text([f"seen on ward {i}" if y else "" for i, y in enumerate(Y[:, 0])])
    assert [a.kind for a in found(notes)] == ["missing", "words"]
    assert "whether text 'one' is missing predicts 'aki' with AUROC 1.000" in found(notes)[0].text


@pytest.mark.parametrize(
    ("event", "other", "seen"),
    [
        ("postoperative aki stage 2", "no event", True),
        ("Akute Kidney-Insuffizienz", "unauffällig", True),  # a word of the label inside the text
        ("developed aki", "no aki", True),  # both hold the word; one negates it
        ("knee replacement", "hip replacement", True),  # any word that separates
        ("knee replacement, planned", "knee replacement, elective", True),
        ("elective", "elective", False),
        ("patient, acute", "patient, acute", False),  # words of the label, the same in both
    ],
)
def test_words(event: str, other: str, seen: bool) -> None:
    notes = Text([event if y else other for y in FLIP])
    alarms = texts.alarms("note", notes, ONE, Y)
    assert bool(alarms) == seen
    assert all((a.column, a.kind) == ("note", "words") and "--allow-leak note." in a.text for a in alarms)


def test_a_word_of_the_label_in_few_notes_that_is_always_right() -> None:
    notes = ["acute kidney injury" if y and i % 5 == 0 else "unremarkable" for i, y in enumerate(Y[:, 0])]
    alarm = texts.alarms("note", Text(notes), ONE, Y)[0]
    assert "holds the word 'acute' of outcome 'aki', which is 1 in 100%" in alarm.text


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


OWN = {
    "english": ("acute kidney injury", "acute kidney injury", LATIN, "acute"),
    "compound": ("Akutes Nierenversagen", "Nierenversagenssyndrom", LATIN, "nierenversagen"),
    "short": ("Tod", "Tod", LATIN, "tod"),
    "accents apart in the note": ("décès", nfd("décès"), LATIN, "décès"),
    "accents apart in the label": (nfd("Rückverlegung"), "Rückverlegung", LATIN, "rückverlegung"),
    "full width": ("ARDS", "\uff21\uff32\uff24\uff33", LATIN, "ards"),
    "cyrillic": ("смерть", "смерть", LATIN, "смерть"),
    "greek capitals": ("θάνατος", "ΘΆΝΑΤΟΣ", LATIN, "θάνατοσ"),
    "chinese": ("急性肾损伤", "急性肾损伤", CHINESE, "急性肾损伤"),
    "chinese, in part": ("住院期间死亡", "患者今日死亡", CHINESE, "死亡"),
    "japanese, in part": ("院内死亡", "本日死亡した", CHINESE, "死亡"),
    "thai": ("เสียชีวิต", "ผู้ป่วยเสียชีวิตวันนี้", CHINESE, "เสียชีวิต"),
    "korean, with an ending": ("병원 사망", "사망하였음", LATIN, "사망"),
}


@pytest.mark.parametrize("case", OWN)
def test_the_outcomes_own_word_in_half_of_its_notes(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    label, word, filler, said = OWN[case]
    tasks, notes = [Task("outcome", label)], written(word, filler, " " if filler is LATIN else "")
    alarms = texts.alarms("note", notes, tasks, Y)
    assert [(a.column, a.outcome, a.kind) for a in alarms] == [("note", "outcome", "words")]
    assert f"text 'note' holds the word '{said}' of outcome 'outcome', which is 1 in " in alarms[0].text
    monkeypatch.setattr(texts, "_own", lambda *_: None)
    assert texts.alarms("note", notes, tasks, Y) == []  # no other rule would see it


@pytest.mark.parametrize(
    ("label", "word", "filler"),
    [
        ("transfused", "transfusion given", LATIN),  # inflected, and another word for it: not found, as the guide says
        ("Tod", "verstorben", LATIN),
        ("смерть", "смерти", LATIN),
        ("hospital days without event", "hospital day", LATIN),  # about no outcome in particular
        ("住院患者", "患者住院", CHINESE),
    ],
)
def test_what_is_not_the_outcomes_own_word(label: str, word: str, filler: list[str]) -> None:
    assert texts.alarms("note", written(word, filler), [Task("outcome", label)], Y) == []


def test_pieces_of_a_label_that_stand_in_all_notes_are_harmless() -> None:
    rng = np.random.default_rng(8)
    label = Task("outcome", "急性肾功能损伤死亡")
    for rate in (0.05, 0.3, 0.7):
        y = (rng.random((N, 1)) < rate).astype(np.float32)
        notes = Text(["".join(rng.choice([*CHINESE, "肾功能正常", "家属死亡史"], 4, replace=False)) for _ in range(N)])
        assert texts.alarms("note", notes, [label], y) == []


def test_pieces_of_a_label_in_chinese() -> None:
    assert texts.own_words(Task("aki", "急性肾损伤")) == ["aki", "急性肾损伤", "急性", "性肾", "肾损", "损伤"]
    assert texts.own_words(Task("死亡", "ICU住院死亡")) == ["死亡", "icu", "住院死亡", "院死"]


def test_a_word_that_separates_inside_notes_without_spaces() -> None:
    rng = np.random.default_rng(9)
    notes = [
        "".join(rng.permutation([*rng.choice(CHINESE, 3), "转入重症" if one else "转入病房", f"{i}床"]))
        for i, one in enumerate(FLIP)
    ]
    alarm = texts.alarms("note", Text(notes), ONE, Y)[0]
    assert "holds the word '入" in alarm.text or "'重症'" in alarm.text or "'病房'" in alarm.text


@pytest.mark.parametrize(("bad", "good"), [("未发生死亡", "死亡"), ("无死亡", "死亡")])
def test_a_negated_word_in_chinese(bad: str, good: str) -> None:
    rng = np.random.default_rng(10)
    notes = [f"{rng.choice(CHINESE)}。{good if one else bad}" for one in Y[:, 0]]
    assert "'死亡' of outcome 'outcome'" in texts.alarms("note", Text(notes), [Task("outcome", "死亡")], Y)[0].text


def test_an_operation_that_always_ends_in_the_outcome_is_knowledge() -> None:
    # 6 in 100 operations are transplantations, all of which need intensive care
    notes = ["liver transplantation" if y and i % 5 == 0 else "hernia repair" for i, y in enumerate(Y[:, 0])]
    assert texts.alarms("operation", Text(notes), [Task("icu", "intensive care")], Y) == []


MRN = [f"A{10_000 + i % 555}" for i in np.random.default_rng(11).permutation(N)]  # some patients come twice


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        (MRN, True),
        ([m if i % 3 else "" for i, m in enumerate(MRN)], True),
        ([f"{m} seen again" for m in MRN], False),
        ([f"患者恢复良好{m}床" for m in range(N)], False),  # no spaces, and no id
        ([f"drug{i % 300}" for i in range(N)], False),
        (MRN[:12] + [""] * (N - 12), False),  # too few to say
    ],
)
def test_a_text_that_names_rows(values: list[str], seen: bool) -> None:
    assert [(a.column, a.kind) for a in traces.identifiers({"mrn": Text(values)})] == [("mrn", "identifier")] * seen


def test_texts_that_name_rows_are_no_features() -> None:
    told = columns.inferred(pd.Series(MRN, dtype="str"))
    assert told == ("ignored", "id-like: 555 distinct texts in 600 rows")
    assert columns.inferred(pd.Series([f"{m} seen again" for m in MRN], dtype="str"))[0] == "text"
    assert columns.inferred(pd.Series([f"drug{i % 300}" for i in range(N)], dtype="str"))[0] == "text"
    chinese = pd.Series([f"患者恢复良好{i}床" for i in range(N)], dtype="str")
    assert columns.inferred(chinese)[0] == "text"
