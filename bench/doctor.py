"""`bench doctor`: what this machine and this installation have, and whether a run would find what it needs.

Nothing heavy is imported above: where a package is missing, that is what is to be told.
"""

import os
import platform
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import bench

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "multitask-bench"
CHECKOUT = Path(bench.__file__).resolve().parent.parent
ROOM = 10**9  # bytes; the cells of 29 methods on 12,430 patients take a tenth of it
SECONDS = 15  # that the package index has to answer
OK, NOTE, FAULT = "ok", "note", "fault"
State: TypeAlias = Literal["ok", "note", "fault"]
# extra -> what it enables; that of a method's name enables the method
ENABLES = {
    "cluster": "bench run --cluster: the cells on a Dask cluster, or SLURM",
    "docs": "the pages of bench/docs as a website",
    "test": "pytest, the linters and the oracles of the tests",
    "text": "notes read by a language model (--text minilm, hf:FOLDER)",
    "tracking": "bench results track: MLflow, Weights & Biases",
}
# variable -> what it does. Those that hold a secret are shown as "set".
VARIABLES = {
    "BENCH_CACHE": "the folder of fetched files and of vectors of notes",
    "BENCH_DATA_DIR": "the folder with a dataset's original files (--data-dir)",
    "XDG_CACHE_HOME": "the folder of caches where BENCH_CACHE is not set",
    "OMP_NUM_THREADS": "threads of this process; the workers of a run have one each",
    "CUDA_VISIBLE_DEVICES": "the GPUs that a run may see",
    "TABPFN_TOKEN": "allows a method with weights under a licence to fetch them",
    "TABPFN_MODEL_CACHE_DIR": "the folder of those weights",
    "MLFLOW_TRACKING_URI": "where bench results track mlflow writes without --uri",
    "WANDB_API_KEY": "the account of bench results track wandb",
    "NO_COLOR": "no colours, if not empty",
    "FORCE_COLOR": "colours where the output is no terminal",
    "COLUMNS": "the width of tables and help",
}
SECRET = ("TOKEN", "KEY", "PASSWORD")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Finding:
    """value: a number, a text, true or false, or None where there is none. state: a fault stops a run, or a part of it. text: in words."""

    topic: str
    name: str
    value: "str | int | float | bool | None"
    state: State
    text: str


Findings: TypeAlias = Iterator[Finding]


def examine(results: Path = Path("results")) -> list[Finding]:
    """Every topic in turn. One that cannot be looked at, for want of a package say, is a fault that says so."""
    topics: Mapping[str, Callable[[], Findings]] = {
        "versions": _versions, "extras": _extras, "machine": _machine, "gpu": _gpu, "storage": lambda: _storage(results),
        "network": _network, "environment": _variables,
    }  # fmt: skip
    found: list[Finding] = []
    for topic, look in topics.items():
        try:
            found += look()
        except Exception as error:
            found.append(Finding(topic, topic, None, FAULT, f"cannot be looked at: {type(error).__name__}: {error}"))
    return found


def shortened(found: list[Finding]) -> list[Finding]:
    """With the packages that are as tested in one line."""
    fine = [one for one in found if one.topic == "versions" and one.state == OK and not one.text]
    names = ", ".join(f"{one.name} {one.value}" for one in fine)
    line = Finding("versions", "as tested", len(fine), OK, names)
    last = next((i for i, one in enumerate(found) if one.topic != "versions"), len(found))
    return [*(one for one in found[:last] if one not in fine), *([line] if fine else []), *found[last:]]


# ---- versions and extras


def _versions() -> Findings:
    about = _declared()
    wanted, here = about["requires-python"], platform.python_version()
    good = _within(here, wanted)
    yield Finding("versions", "python", here, OK if good else FAULT, "" if good else f"bench needs {wanted}")
    place = "a checkout" if (CHECKOUT / "pyproject.toml").is_file() else "an installed package"
    yield Finding("versions", "bench", bench.__version__, OK, f"{place}: {CHECKOUT}")
    pins = _pins()
    for need in about["dependencies"]:
        yield _package(need, pins)


def _package(need: "Requirement", pins: Mapping[str, str]) -> Finding:
    version, pin = _installed(need.name), pins.get(_canonical(need.name), "")
    if version is None:
        return Finding("versions", need.name, None, FAULT, f"is missing: pip install '{need}'")
    if not _within(version, str(need.specifier)):
        return Finding("versions", need.name, version, FAULT, f"bench needs {need.specifier}: pip install '{need}'")
    tested = not pin or version.partition("+")[0] == pin
    return Finding("versions", need.name, version, OK if tested else NOTE, "" if tested else f"tested is {pin}")


def _extras() -> Findings:
    for extra, needs in _declared()["extras"].items():
        lacking = [need.name for need in needs if not _has(need)]
        text = f"enables {_enabled(extra)}"
        if lacking:
            text += f". Missing: {', '.join(lacking)}; {_install(extra)}"
        yield Finding("extras", extra, not lacking, NOTE if lacking else OK, text)
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    text = "tests of the report in a browser; nothing else needs one" + ("" if found else ". Without it they are skipped")
    yield Finding("extras", "chromium", found, OK, text)


def _enabled(extra: str) -> str:
    from bench import registry

    return f"the method {extra}" if extra in registry.ids("methods") else ENABLES.get(extra, "more")


def _has(need: "Requirement") -> bool:
    """Its own extras too, where they are ours."""
    if _canonical(need.name) == DISTRIBUTION:
        return all(_has(one) for extra in need.extras for one in _declared()["extras"].get(extra, ()))
    version = _installed(need.name)
    return version is not None and _within(version, str(need.specifier))


def _install(extra: str) -> str:
    return f"pip install -e '.[{extra}]'"


def _declared() -> dict[str, Any]:
    """What pyproject.toml says, in a checkout; else the metadata of the installed package. requires-python, dependencies, extras."""
    from packaging.requirements import Requirement

    if (CHECKOUT / "pyproject.toml").is_file():
        import tomllib

        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = {name: list(map(Requirement, lines)) for name, lines in project["optional-dependencies"].items()}
        own = list(map(Requirement, project["dependencies"]))
        return {"requires-python": project["requires-python"], "dependencies": own, "extras": extras}
    about = metadata.metadata(DISTRIBUTION)
    needs = list(map(Requirement, about.get_all("Requires-Dist") or []))
    names = sorted(about.get_all("Provides-Extra") or [])
    given = {name: [n for n in needs if n.marker is not None and n.marker.evaluate({"extra": name})] for name in names}
    return {"requires-python": about["Requires-Python"], "dependencies": [n for n in needs if n.marker is None], "extras": given}


def _pins() -> dict[str, str]:
    """The versions that were tested, where a checkout says so."""
    path = CHECKOUT / ".ci" / "constraints.txt"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return {_canonical(name): version for name, same, version in (line.partition("==") for line in lines) if same}


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def _within(version: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def _installed(name: str) -> str | None:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


# ---- machine and GPU


def _machine() -> Findings:
    import psutil

    from bench.execute.how import processors
    from bench.store import size

    mine, all_there = processors(), psutil.cpu_count(logical=False) or 0
    yield Finding("machine", "platform", platform.platform(), OK, "")
    yield Finding(
        "machine", "processors", mine, OK, f"{mine} for this process, so many workers a run has; {all_there} physical cores"
    )
    memory = psutil.virtual_memory()
    few = memory.available < mine * 2 * 10**9
    text = f"{size(memory.available)} of {size(memory.total)} free" + (
        f"; {mine} workers may want 2 GB each: fewer with --workers" if few else ""
    )
    yield Finding("machine", "memory", memory.available, NOTE if few else OK, text)


def _gpu() -> Findings:
    import torch

    from bench import devices

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        there = devices.found()[:-1]
    built, driver = torch.version.cuda, any(Path(sign).exists() for sign in devices.SIGNS)
    for name in there:
        yield Finding("gpu", name, _named(torch, name), OK, "networks are trained here by default (--device auto)")
    if there:
        return
    if driver and not built:
        text = "a driver of a GPU is here, but this torch is built for processors alone: install the build for your driver"
    elif built and said:
        text = f"torch is built for CUDA {built} and cannot use the driver: {' '.join(str(said[0].message).split())[:200]}"
    elif driver:
        text = f"a driver of a GPU is here and torch is built for CUDA {built}, but no GPU is seen: see CUDA_VISIBLE_DEVICES"
    else:
        yield Finding("gpu", "none", None, OK, "networks are trained on the processors")
        return
    yield Finding("gpu", "none", None, NOTE, text)


def _named(torch: Any, name: str) -> str:
    if name == "mps":
        return "Apple"
    about = torch.cuda.get_device_properties(name)
    return f"{about.name}, {about.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


# ---- folders, network, environment


def _storage(results: Path) -> Findings:
    from bench.sources.local import cache
    from bench.store import contents, size

    for name, folder in (("results", results), ("cache", cache())):
        near = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(near).free
        wrong = "cannot be written to" if not os.access(near, os.W_OK) else "is nearly full" if free < ROOM else ""
        there = str(folder) if folder.exists() else f"{folder}, not made yet"
        text = f"{there}: {wrong or f'{size(free)} free'}"
        yield Finding("storage", f"{name}: free", free, FAULT if wrong else OK, text)
    held = sum(path.stat().st_size for path in cache().rglob("*") if path.is_file())
    yield Finding("storage", "cache: size", held, OK, size(held))
    if results.is_dir():
        shelves = contents(results).shelves
        cells, old = (sum(len(one.cells) for one in shelves if one.current is now) for now in (True, False))
        text = f"{cells + old:,} cells of {len({one.dataset for one in shelves}):,} datasets, {old:,} of them of older code"
        busy = "; a run writes to it now" if _written_to(results) else ""
        yield Finding("storage", "results: cells", cells + old, OK, text + busy)


def _written_to(results: Path) -> bool:
    from bench.core import BenchError
    from bench.store.locks import LOCK, alone

    if not (results / LOCK).exists():
        return False
    try:
        with alone(results):
            return False
    except BenchError as error:
        return "writes" in str(error)


def _network() -> Findings:
    """Asks pip, which knows the user's index, proxy and certificates. Only datasets that lie on the index need it."""
    words = "-m pip --disable-pip-version-check --no-input --retries=0 --timeout=5 index versions packaging"
    try:
        pip = subprocess.run(
            [sys.executable, *words.split()], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
        answers, why = (
            pip.returncode == 0,
            "does not answer" if b"No module named pip" not in pip.stderr else "is unknown: no pip here",
        )
    except subprocess.TimeoutExpired:
        answers, why = False, f"does not answer within {SECONDS} s"
    text = "answers" if answers else f"{why}: datasets of the index can be had from the cache or --data-dir alone"
    yield Finding("network", "package index", answers, OK if answers else NOTE, text)


def _variables() -> Findings:
    for name, what in VARIABLES.items():
        if name in os.environ:
            value = "set" if any(word in name for word in SECRET) else os.environ[name]
            yield Finding("environment", name, value, OK, what)
    for name in sorted(os.environ):
        if name.startswith("BENCH_") and name not in VARIABLES:
            close = get_close_matches(name, VARIABLES, n=1)
            yield Finding(
                "environment", name, "set", NOTE, "means nothing to bench" + (f"; did you mean {close[0]}?" if close else "")
            )
