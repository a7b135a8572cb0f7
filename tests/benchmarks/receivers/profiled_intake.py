"""Run an intake worker as always, and sample its CPU time into the directory that BENCH_PROFILE names."""

from __future__ import annotations

import os
from pathlib import Path

from tests.benchmarks.cpu_sampler import CpuSampler
from workers.__main__ import main

if __name__ == "__main__":
    sampler = CpuSampler()
    sampler.start()
    try:
        main()
    finally:
        sampler.write(Path(os.environ["BENCH_PROFILE"]) / f"{os.getpid()}.stacks")
