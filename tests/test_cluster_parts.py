"""What a cluster run is made of: cohorts that cross as bytes, versions compared, SLURM's file, mistakes in one line."""

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filled import DATA as WARDS
from filled import plan

pytest.importorskip("distributed")

import bench
from bench import checks, registry
from bench.cohorts import parcel
from bench.core import BenchError, Cohort, Tabular, Task
from bench.execute import How, cluster, luggage, remote, slurm
from bench.protocol import Protocol

LIKE_SLURM = (
    'jobs = 3\ncores = 4\nmemory = "16GB"\nwalltime = "08:00:00"\nqueue = "normal"\naccount = "ab123"\ninterface = "lo"\n'
)


def test_a_cohort_arrives_as_it_was_sent(make_cohort) -> None:  # type: ignore[no-untyped-def]
    for cohort in (make_cohort(n=60), make_cohort(n=60, weighted=True), registry.load(WARDS)):
        sent = replace(cohort, notices=("as read",), leaks=(("age", "as read"),), definitions={"a": "b >= 1"})
        there = parcel.unpacked(parcel.packed(sent))
        assert there.digest == cohort.digest
        assert (there.name, there.tasks, there.notices, there.leaks) == (sent.name, sent.tasks, sent.notices, sent.leaks)
        assert there.definitions == sent.definitions
        for name, modality in sent.inputs.modalities.items():
            np.testing.assert_array_equal(there.inputs.modalities[name].present, modality.present)
            if isinstance(modality, Tabular):
                pd.testing.assert_frame_equal(there.inputs.modalities[name].frame, modality.frame)  # type: ignore[union-attr]
        np.testing.assert_array_equal(there.labels, sent.labels)
        for key in ("site", "time", "weights"):
            if getattr(sent, key) is not None:
                np.testing.assert_array_equal(getattr(there, key), getattr(sent, key))


def test_what_cannot_be_sent_as_it_is_is_refused() -> None:
    class Odd:
        """Nothing that a table can hold."""

    subgroups = pd.DataFrame({"odd": [Odd() for _ in range(4)]})
    frame = Tabular(pd.DataFrame({"x": [1.0, 2, 3, 4]}))
    cohort = checks.build("odd", {"t": frame}, [Task("y")], np.array([[0], [1], [0], [1]]), list("abcd"), subgroups=subgroups)
    with pytest.raises(BenchError, match=r"^the cohort 'odd' cannot be sent to other machines: "):
        parcel.packed(cohort)


def test_a_cohort_of_a_frame_is_no_plug_in_when_it_arrives(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(40), "x": np.random.default_rng(0).normal(size=40), "y": [0, 1] * 20})
    cohort = bench.Cohort.from_frame(frame, patient="id", outcomes=["y"], folder=tmp_path)
    assert type(parcel.unpacked(parcel.packed(cohort))) is Cohort


def test_pieces_are_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luggage, "PIECE", 10)
    sent = luggage.Luggage(tmp_path)
    for size in (0, 1, 10, 25):
        path = tmp_path / f"{size}.bin"
        path.write_bytes(bytes(range(size)))
        sent.files["digest"] = path
        pieces = list(sent.pieces("digest"))
        assert b"".join(data for _, _, data, _ in pieces) == bytes(range(size))
        assert [offset for _, offset, _, _ in pieces] == list(itertools.islice(range(0, 99, 10), len(pieces)))
        assert [last for *_, last in pieces] == [False] * (len(pieces) - 1) + [True]


def test_versions_that_differ_are_named() -> None:
    here = remote.versions(["numpy", "no-such-library"])
    assert here["numpy"] == np.__version__
    assert here["no-such-library"] == "none"
    assert remote.differing(here, dict(here)) == ""
    assert remote.differing(here, {**here, "numpy": "1.0", "Python": "3.9.1"}) == (
        f"Python 3.9.1 (here {here['Python']}), numpy 1.0 (here {np.__version__})"
    )


def test_another_process_finds_the_same_code() -> None:
    code = "from bench.execute import remote; print(remote.versions([])['multitask-bench'])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == remote.versions([])["multitask-bench"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"cluster": "here"}, "--cluster takes a scheduler's address, as in tcp://10.0.0.1:8786, or a file"),
        ({"cluster": "tcp://127.0.0.1:9"}, "no scheduler answers at tcp://127.0.0.1:9 "),
        ({"cluster": "none.toml"}, "--cluster none.toml "),
        ({"cluster": "tcp://h:1", "shard": "1/2"}, "--shard is for machines that know nothing of each other"),
        ({"cluster": "tcp://h:1", "workers": 2}, "the workers of a cluster say how many cells run at a time"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, object], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    guess = str(Path(WARDS).with_name("guess.py"))
    with pytest.raises(BenchError) as caught:
        bench.run(WARDS, guess, folds=2, results=tmp_path / "results", reports=tmp_path / "reports", **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(line), str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_to_do_needs_no_scheduler() -> None:
    assert list(cluster.run([], How(cluster="tcp://127.0.0.1:9"))) == []


def test_the_script_that_slurm_gets(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "slurm.toml"
    path.write_text(LIKE_SLURM, "utf-8")
    jobs, made = slurm.cluster(path)
    try:
        script = made.job_script()
    finally:
        made.close()
    assert jobs == 3
    for line in (
        "#SBATCH -p normal",
        "#SBATCH -A ab123",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=15G",
        "#SBATCH -t 08:00:00",
    ):
        assert line in script.splitlines(), script
    assert "--nthreads 4" in script
    assert "--nworkers" not in script  # one process of four threads: four cells at a time


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cores = 4", "needs jobs = 10, how many SLURM jobs to start, 1 or more, but has none"),
        ("jobs = 0", "1 or more, but has 0"),
        ("jobs = 1\nwaltime = '1:00'", "unknown argument of SLURMCluster 'waltime'. Did you mean 'walltime'?"),
        ("jobs = 1\n[", "is no TOML file"),
    ],
)
def test_a_wrong_slurm_file_is_one_line(text: str, line: str, tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "slurm.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(BenchError) as caught:
        slurm.read(path)
    assert line in str(caught.value)


def test_without_slurm_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slurm.toml"
    path.write_text(LIKE_SLURM, "utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="submits jobs with sbatch, which is not on this machine"):
        slurm.started(path)


def test_what_a_cell_tried_goes_with_it(tmp_path: Path) -> None:
    job = plan(tmp_path, Protocol(folds=2)).missing[0]
    folder = Path(job.folder)
    (folder / "trials").mkdir(parents=True)
    for name in ("r0-f0.json", "r0-f1.json", "trials/r0-f0.json", "trials/r0-f1.json"):
        (folder / name).write_text(name)
    assert job.fold == 0
    assert cluster._before(job) == {name: name.encode() for name in ("r0-f0.json", "trials/r0-f0.json")}
