"""Show where edge and worker processes spend their CPU time, by layer and as py-spy's flame graphs.

Run it as `python -m tests.benchmarks.profiling DIRECTORY`. Each sample belongs to the layer of the innermost
stack frame that is in our code or in a library named here. Time spent in any other library is added to the
layer that called it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.plan import FULL
from tests.benchmarks.report import write_json
from tests.benchmarks.rig import end_cleanly, running_rig
from tests.benchmarks.running import edge, intake
from tests.benchmarks.table import event_table
from tests.benchmarks.wrk import ON_THE_WAY, load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.benchmarks.rig import Rig

EDGE_LAYERS: Final = {
    "receive, parse, answer HTTP": ("webhook_api/http",),
    "envelope and frames": ("messaging/envelope", "messaging/broker"),
    "send to the broker": ("pika/", "messaging/"),
    "journal: checksum and write": ("webhook_api/journal",),
    "signature": ("webhook_api/signature",),
    "admission, queue's depth": ("webhook_api/backpressure",),
    "hand over": ("webhook_api/relay",),
    "Flask, order of things": ("webhook_api/", "flask/", "werkzeug/"),
    "call back": ("asyncio/",),
}
WORKER_LAYERS: Final = {
    "receive and decode deliveries": (
        "pika/",
        "messaging/broker",
        "messaging/consuming/delivery",
        "messaging/envelope",
    ),
    "loop, batches": ("messaging/", "asyncio/"),
    "parse JSON": ("workers/parsing/json_body",),
    "schema": (
        "workers/parsing/dialects",
        "workers/parsing/schema",
        "marshmallow/",
    ),
    "key and times": ("workers/parsing",),
    "rows into parameters": ("workers/db/engine/bulk",),
    "database driver": ("psycopg",),
    "SQLAlchemy": ("sqlalchemy/",),
    "claim, state, handlers": ("workers/",),
}
OTHER: Final = "other"
WAITING: Final = ("selectors.py", "threading.py")
"""Files in which a thread sleeps, or waits for a core after it was woken. Samples in these files are ignored,
because threads on a busy machine spend most of their time there."""

SECONDS: Final = 8
SAMPLES_PER_SECOND: Final = 200
WORKER_EVENTS: Final = 250_000
START_SECONDS: Final = 30.0

Stacks = Counter[tuple[str, ...]]


def main(directory: Path) -> None:
    """Profile the edge and a worker. Use an idle machine, because waiting for a core would also count."""
    directory.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as scratch,
        running_rig(FULL, Path(scratch), "profile") as rig,
    ):
        found = {"edge": _edge(rig, directory), "worker": _worker(rig, directory)}
        write_json(directory / "profile.json", {"certificate": rig.certificate, **found})


def _edge(rig: Rig, directory: Path) -> dict[str, Any]:
    rig.say("profile: edge")
    first = 0

    def work() -> int:
        nonlocal first
        answered = load(server.port, rig.requests, seconds=SECONDS, first=first).answered
        first += answered + ON_THE_WAY
        return answered

    with edge(rig) as server:
        found = _profiled("edge", server.pid, EDGE_LAYERS, directory / "edge-flame.svg", work)
    rig.queue.purge()
    return found


def _worker(rig: Rig, directory: Path) -> dict[str, Any]:
    rig.say("profile: worker")
    url = rig.migrated()
    rig.queue.fill(rig.requests.bodies(WORKER_EVENTS))
    with intake(rig, url) as pid, event_table(url) as table:
        table.wait_for(1, timeout=START_SECONDS)

        def work() -> int:
            before = table.count()
            time.sleep(SECONDS / 2)
            return table.count() - before

        found = _profiled("worker", pid, WORKER_LAYERS, directory / "intake-flame.svg", work)
        assert table.count() < WORKER_EVENTS, "the worker ran out of events"
    return found


def _profiled(
    name: str, pid: int, layers: Mapping[str, Sequence[str]], flame_graph: Path, work: Callable[[], int]
) -> dict[str, Any]:
    """Run *work* three times: to measure the cost per event, to draw a flame graph, and to sample stacks."""
    meter = CpuMeter.start(process=pid)
    cost_us = meter.per_event_us(work())["process_cpu_us"]
    _record(pid, "flamegraph", flame_graph, work)
    with tempfile.NamedTemporaryFile("r") as raw:
        _record(pid, "raw", Path(raw.name), work)
        shares = shares_of(read_stacks(raw.read()), layers)
    title = f"{name}: {cost_us:.0f} µs of CPU per event"
    table = Table("layer", "share", "µs per event", title=title, title_justify="left")
    for layer, share in shares.items():
        table.add_row(layer, f"{share:.0%}", f"{share * cost_us:.1f}")
    Console().print(table)
    rows = [{"layer": layer, "share": share, "us": share * cost_us} for layer, share in shares.items()]
    return {"cpu_us": cost_us, "layers": rows}


def _record(pid: int, form: str, output: Path, work: Callable[[], object]) -> None:
    """Sample the stacks of a process tree while *work* runs.

    The processes are not paused, because a sleeping thread would appear as running after a pause. If a stack
    changes while py-spy reads it, py-spy reports that and omits the stack.
    """
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--subprocesses"]
    command += ["--nonblocking", "--rate", str(SAMPLES_PER_SECOND), "--duration", "3600"]
    command += ["--format", form, "--output", str(output)]
    sampler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        work()
        sampler.send_signal(signal.SIGINT)
        sampler.wait()
    finally:
        sampler.kill()


def read_stacks(text: str) -> Stacks:
    """Count the samples of each stack. A line lists a stack's frames, outermost first, and a number."""
    lines = (line.rpartition(" ") for line in text.splitlines())
    return Counter({tuple(frames.split(";")): int(samples) for frames, _, samples in lines})


def shares_of(stacks: Stacks, layers: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return each layer's share of the active samples, largest first.

    Args:
        stacks: The number of samples of each stack; the frames of a stack are listed outermost first.
        layers: For each layer, texts that mark a frame as part of it. The first layer that matches is used.
    """
    counts: Counter[str] = Counter()
    for frames, samples in stacks.items():
        if not any(place in frames[-1] for place in WAITING):
            counts[_layer_of(frames, layers)] += samples
    return {layer: count / counts.total() for layer, count in counts.most_common()}


def _layer_of(frames: Sequence[str], layers: Mapping[str, Sequence[str]]) -> str:
    for frame in reversed(frames):
        for layer, places in layers.items():
            if any(place in frame for place in places):
                return layer
    return OTHER


if __name__ == "__main__":
    end_cleanly()
    main(Path(sys.argv[1]))
