"""How long `bench --help` takes: median of 9. By hand: python tests/benchmarks/help.py"""

import statistics
import subprocess
import sys
import time


def seconds() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bench", "--help"], capture_output=True, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(f"bench --help: {statistics.median(seconds() for _ in range(9)):.3f} s (median of 9)")
