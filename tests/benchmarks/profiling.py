"""Show where edge and worker processes spend their CPU time, per layer and as flame graphs.

Runs as `python -m tests.benchmarks.profiling DIRECTORY`. A sample belongs to the layer of the innermost frame
that is ours or of a library named here: what else a library does counts for the line of ours that called it.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.event_table import event_table
from tests.benchmarks.flame_graph import draw_flame_graph
from tests.benchmarks.plan import PROFILE
from tests.benchmarks.rig import running_rig
from tests.benchmarks.servers import edge, intake, migrate
from tests.benchmarks.wrk import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.benchmarks.rig import Rig

EDGE_LAYERS: Final = {
    "send the answer": ("_send (webhook_api/http/connection.py",),
    "wait for sockets, call back": ("(pika/adapters/select_connection.py", "(messaging/loop.py"),
    "send to the broker": ("(adapters/utils/", "(pika/"),
    "journal: checksum and write": ("(webhook_api/journal",),
    "receive and parse HTTP": ("(webhook_api/http/connection.py", "(webhook_api/http/request.py"),
    "signature": ("(webhook_api/signature.py",),
    "admission": ("(webhook_api/pressure/gate.py", "(webhook_api/pressure/admission.py"),
    "order of things": (
        "(webhook_api/ingest.py",
        "(webhook_api/handover/handover.py",
        "(webhook_api/handover/barrier.py",
    ),
    "envelope and frames": ("(messaging/",),
    "render the answer": ("(webhook_api/http/response.py",),
    "ask for the queue's depth": ("(webhook_api/pressure/queue_depth.py",),
}
WORKER_LAYERS: Final = {
    "receive and decode deliveries": (
        *("(pika/", "(adapters/utils/"),
        *("(messaging/delivery_frames.py", "(messaging/delivery.py", "(messaging/envelope.py"),
    ),
    "loop, batches": ("(messaging/",),
    "parse JSON": ("(workers/parsing/json_body.py",),
    "schema": (
        "(workers/dialects",
        "(workers/parsing/schema_reader.py",
        "(workers/parsing/fields.py",
        "(marshmallow/",
    ),
    "key and times": ("(workers/parsing/idempotency.py", "(workers/parsing/timestamps.py"),
    "rows into one parameter": ("(workers/tables/rowset.py",),
    "database driver": ("(psycopg",),
    "SQLAlchemy": ("(sqlalchemy/", "(engine/", "(sql/", "(pool/"),
    "claim, state, handlers": ("(workers/", "(handlers/"),
}
OTHER: Final = "other"
SECONDS: Final = 12.0
START_SECONDS: Final = 30.0

Stacks = Counter[tuple[str, ...]]


def main(directory: Path) -> None:
    """Profile both kinds of process."""
    directory.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as scratch,
        running_rig(PROFILE, Path(scratch)) as rig,
    ):
        _profile_edge(rig, directory)
        _profile_worker(rig, directory)


def _profile_edge(rig: Rig, directory: Path) -> None:
    rig.say("profile: edge")
    profile = rig.fresh()
    profile.mkdir()
    configuration = "tests.benchmarks.receivers.profiled_edge"
    with edge(rig.broker, rig.fresh(), configuration=configuration, BENCH_PROFILE=str(profile)) as server:
        meter = CpuMeter.start(process=server.pid)
        answered = load(server.port, rig.requests, seconds=SECONDS).answered
        cost = meter.per_event_us(answered)["process_cpu_us"]
    _show("edge", read_stacks(profile), EDGE_LAYERS, cost, directory)
    rig.queue.purge()


def _profile_worker(rig: Rig, directory: Path) -> None:
    rig.say("profile: intake")
    profile = rig.fresh()
    profile.mkdir()
    url = rig.fresh_database()
    migrate(url)
    module = "tests.benchmarks.receivers.profiled_intake"
    events = rig.plan.intake_events
    rig.queue.fill(rig.bodies(events))
    with (
        intake(rig.broker, url, rig.fresh(), module=module, BENCH_PROFILE=str(profile)) as pid,
        event_table(url) as table,
    ):
        rows = table.wait_for(1, timeout=START_SECONDS)
        meter = CpuMeter.start(process=pid)
        cost = meter.per_event_us(table.wait_for(events, timeout=10 * SECONDS) - rows)["process_cpu_us"]
    _show("intake", read_stacks(profile), WORKER_LAYERS, cost, directory)


def read_stacks(directory: Path) -> Stacks:
    """Return the samples of all processes, without the frames that all stacks begin with."""
    stacks: Stacks = Counter()
    for path in directory.glob("*.stacks"):
        for line in path.read_text().splitlines():
            frames, _, samples = line.rpartition(" ")
            stacks[tuple(frames.split(";"))] += int(samples)
    return Counter({_from_ours(frames): samples for frames, samples in stacks.items()})


def _from_ours(frames: tuple[str, ...]) -> tuple[str, ...]:
    """Cut the frames before the loop off: gunicorn's start, the thread's start."""
    starts = ("start (pika/adapters", "_run (messaging/")
    first = next((at for at, frame in enumerate(frames) if frame.startswith(starts)), 0)
    return frames[first:]


def shares_of(stacks: Stacks, layers: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return each layer's share of the samples, largest first.

    Args:
        stacks: Frames from the outermost in, and samples.
        layers: The parts of a frame's text by which it belongs to a layer; the first layer that fits counts.
    """
    counts: Counter[str] = Counter()
    for frames, samples in stacks.items():
        counts[_layer_of(frames, layers)] += samples
    return {layer: count / counts.total() for layer, count in counts.most_common()}


def _layer_of(frames: Sequence[str], layers: Mapping[str, Sequence[str]]) -> str:
    for frame in reversed(frames):
        for layer, places in layers.items():
            if any(place in frame for place in places):
                return layer
    return OTHER


def _show(
    name: str, stacks: Stacks, layers: Mapping[str, Sequence[str]], cost_us: float, directory: Path
) -> None:
    """Print the table of layers and draw the flame graph."""
    title = f"{name}: {cost_us:.0f} µs of CPU per event, {stacks.total()} samples"
    table = Table(title=title, title_justify="left")
    for column in ("layer", "share", "µs per event"):
        table.add_column(column)
    for layer, share in shares_of(stacks, layers).items():
        table.add_row(layer, f"{share:.0%}", f"{share * cost_us:.1f}")
    Console().print(table)
    (directory / f"{name}-flame.svg").write_text(draw_flame_graph(title, stacks), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
