"""A whole server's images per second here and by OpenVINO's `benchmark_app -hint throughput`, on the same file.

    python benchmarks/whole_server.py [--recipe openvino:precision=int8:streams=auto] [--runs 10] [--seconds 10]

DenseNet-121 at 224 pixels. Both alternate, each in a process of its own. Prints each run, then the ratio of the two
with its 95 % interval. Exits 1 unless the interval holds 1 and lies within 5 % of it. Leave the machine alone
meanwhile.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from statistics import fmean, stdev

from lab import DENSENET_PIXELS, lab
from peers import WHOLE_SERVER, benchmark_app
from scipy.stats import t as student

from densebench.machine.cpus import placement
from densebench.spec import BASELINE
from densebench.workloads import WorkloadRequest, open_workload

MOST_OFF = 0.05


def main() -> int:
    """Alternate, then compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="openvino:precision=int8:streams=auto")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("results-server"))
    given = parser.parse_args()
    workload = open_workload(WorkloadRequest(weights="digits", data="digits", image_size=DENSENET_PIXELS))
    size, logs, threads = given.batch_size, [], placement().threads
    with lab(given.folder, {BASELINE: given.recipe}, threads, workload, batch_sizes=(size,)) as bench:
        bench.build(BASELINE, workload)
        file = bench.site.folder(BASELINE) / "model.xml"
        told = (file, size, DENSENET_PIXELS, threads, "auto")
        for number in range(given.runs):
            ways = [
                lambda: bench.throughput(BASELINE, size, given.seconds),
                lambda: benchmark_app(*told, how=WHOLE_SERVER, seconds=given.seconds),
            ]
            first = number % 2
            found = {place: ways[place]() for place in (first, 1 - first)}
            logs.append(math.log(found[0] / found[1]))
            print(f"run {number}: here {found[0]:.1f} images/s, benchmark_app {found[1]:.1f}", flush=True)
    half = student.ppf(0.975, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    low, high = math.exp(fmean(logs) - half), math.exp(fmean(logs) + half)
    print(
        f"here over benchmark_app: {math.exp(fmean(logs)):.3f} ({low:.3f} to {high:.3f} with 95 % confidence)"
    )
    return 0 if low <= 1 <= high and low >= 1 - MOST_OFF and high <= 1 + MOST_OFF else 1


if __name__ == "__main__":
    sys.exit(main())
