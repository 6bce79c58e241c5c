"""A suite of claims that takes seconds."""

from pathlib import Path

from filled import GUESS

DIALS = "surgical:relatedness=0.2"

MODEL = "logistic:tolerance=0.3"  # a cell of 150 patients in a tenth of a second
TINY = f"""
text = "A tiny suite."
[draws]
count = 3
seed = 50
test = 400

[[claim]]
name = "trees"
paper = "Nobody | 2020"
text = "a model above a guess"
dataset = "{DIALS}"
train = [150, 200]
rows = 600
method = "{MODEL}"
against = ["{GUESS}", "{GUESS}:noise=0.1"]
metric = "auroc"
effect = 0.01

[[null]]
name = "other-site"
of = "trees"
text = "learned at A, tested at B"
dataset = "surgical"
train = 150
rows = 1600
train_site = "A"
test_site = "B"
method = "{GUESS}"
against = ["{MODEL}"]
effect = 0.05
than = {{ train = 200 }}

[[claim]]
name = "steps"
paper = "Nobody"
text = "fewer steps than a model"
dataset = "{DIALS}"
train = 150
rows = 600
method = "{GUESS}"
against = ["{MODEL}"]
metric = "fact:st*"
scale = "ratio"
direction = "down"
effect = 2

[[claim]]
name = "declined"
paper = "Nobody"
text = "a method that declines"
dataset = "{DIALS}"
train = 150
rows = 600
method = "{GUESS}:fault=decline"
against = ["{MODEL}"]
"""


def written(folder: Path, text: str = TINY, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)
