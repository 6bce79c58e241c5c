"""A wall clock that is set back or forward in mid-run, for every process of it, changes nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_runs import CELLS, METHODS, Tables, cells, start, tables, until, whole

# What a process asks the C library for, Python's `time` and `datetime` among others; the kernel's times of files stay as they are.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jumped(void) {
    const char *sign = getenv("JUMPED"), *by = getenv("JUMPS_BY");
    return sign && by && access(sign, F_OK) == 0 ? atol(by) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += jumped();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *kept) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (kept) *kept = found.tv_sec;
    return found.tv_sec;
}
"""

pytestmark = [
    pytest.mark.slow, pytest.mark.ci,
    pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler"),
]  # fmt: skip


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shim")
    (folder / "clock.c").write_text(SHIM, "utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"], cwd=folder, check=True)
    return folder / "clock.so"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return whole(tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("jump", [-3600, 86400], ids=["an hour back", "a day on"])
def test_a_clock_that_jumps_in_mid_run_changes_nothing(
    jump: int, shim: Path, tmp_path: Path, undisturbed: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = tmp_path / "jumped"
    for name, value in (("LD_PRELOAD", shim), ("JUMPED", sign), ("JUMPS_BY", jump)):
        monkeypatch.setenv(name, str(value))
    asks = f"import time, pathlib; a = time.time(); pathlib.Path({str(sign)!r}).touch(); print(round(time.time() - a, -2))"
    assert subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout == f"{jump}.0\n"
    sign.unlink()
    process = start(tmp_path, METHODS, "--cell-timeout", "10m")
    until(lambda: len(cells(tmp_path)) > 1)
    sign.touch()
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert tables(tmp_path) == undisturbed
    assert len(cells(tmp_path)) == CELLS
    for seconds in (record["seconds"] for record in map(read, cells(tmp_path))):
        assert 0 <= seconds < 600


def read(path: Path) -> dict[str, float]:
    return json.loads(path.read_text("utf-8"))
