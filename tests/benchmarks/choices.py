"""Measure the alternatives that decision records quote: `python -m tests.benchmarks.choices`.

Each alternative is the edge with one thing done otherwise, in turn with the edge as it is.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from tests.benchmarks import events
from tests.benchmarks.ingest import load_receiver
from tests.benchmarks.parsers import measure_parsers
from tests.benchmarks.plan import QUICK
from tests.benchmarks.report import medians_table
from tests.benchmarks.rig import SERIES, Rig, running_rig
from tests.benchmarks.servers import edge, edge_on_threads
from webhook_api.routes import WEBHOOK_PATH

if TYPE_CHECKING:
    from tests.benchmarks.events import RequestFile

ROUNDS: Final = 3
AS_IS: Final = "as it is: one loop, short cut past Flask"
BY_FLASK: Final = "every request dispatched by Flask"
ON_THREADS: Final = "gthread, broker on one more thread"
WITH_FSYNC: Final = "with OM_JOURNAL_FSYNC"


def main() -> None:
    """Measure and print."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as directory,
        running_rig(replace(QUICK, ingest_seconds=5.0), Path(directory)) as rig,
    ):
        roundabout = _requests_for_flask(rig)
        for _ in range(ROUNDS):
            load_receiver(rig, AS_IS, edge(rig.broker, rig.fresh()))
            with_flask = replace(rig, requests=roundabout)
            load_receiver(with_flask, BY_FLASK, edge(rig.broker, rig.fresh()))
            load_receiver(rig, ON_THREADS, edge_on_threads(rig.broker, rig.fresh()))
            load_receiver(rig, WITH_FSYNC, edge(rig.broker, rig.fresh(), OM_JOURNAL_FSYNC="true"))
        measure_parsers(rig)
    Console().print(medians_table(rig.results))


def _requests_for_flask(rig: Rig) -> RequestFile:
    """Return requests whose path is spelt so that the short cut does not know it, but Flask does."""
    bodies = events.bodies(rig.plan.requests, SERIES)
    path = WEBHOOK_PATH.replace("openmessaging", "openmessagin%67")
    return events.write_requests(rig.directory / "requests-for-flask", bodies, path=path)


if __name__ == "__main__":
    main()
