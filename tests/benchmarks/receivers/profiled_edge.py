"""Configure gunicorn for the edge as always, and sample the CPU time of each of its processes.

`gunicorn -c python:tests.benchmarks.receivers.profiled_edge`, with BENCH_PROFILE naming a directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.benchmarks.cpu_sampler import CpuSampler
from webhook_api.gunicorn_conf import *  # noqa: F403  # gunicorn reads a configuration's names

_sampler = CpuSampler()


def post_worker_init(_worker: Any) -> None:
    """Start to sample in a new process."""
    _sampler.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Write what was sampled."""
    _sampler.write(Path(os.environ["BENCH_PROFILE"]) / f"{worker.pid}.stacks")
