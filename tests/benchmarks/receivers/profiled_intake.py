"""Run an intake worker as always, and sample its CPU time into the directory that BENCH_PROFILE names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.benchmarks.cpu_sampler import CpuSampler
from workers.__main__ import main

SWITCH_SECONDS = 1e-5
"""The sampler's signal is handled on the main thread. With the interpreter's usual 5 ms it would have to wait
until the processing thread gives the interpreter up by itself, and would always find it in the driver."""

if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_SECONDS)
    sampler = CpuSampler()
    sampler.start()
    try:
        main()
    finally:
        sampler.write(Path(os.environ["BENCH_PROFILE"]) / f"{os.getpid()}.stacks")
