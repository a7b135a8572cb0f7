"""Measure how long 5,000 simultaneous session starts take from the webhook to a destination."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.deliver import NEW, delivering_service
from tests.benchmarks.events import EVENTS_PER_CONVERSATION, write_requests
from tests.benchmarks.ingest import load_receiver
from tests.benchmarks.receivers.bare_loop import ANSWER, Answering
from tests.benchmarks.running import under_gunicorn
from tests.benchmarks.steady import check_answers, send_at_once
from tests.servers import LOOPBACK
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.rig import Rig

SCENARIO: Final = "whole_way"
SESSIONS: Final = 5_000
WARM_UP: Final = 500
"""The number of sessions sent before the measurement, to make each process connect and compile its code."""

CONVERSATION: Final = re.compile(rb'"conversation_id":"([^"]+)"')
TIMEOUT_SECONDS: Final = 120.0
REPEAT_SECONDS: Final = 1.0
"""How long to wait for repeated deliveries after the last session has arrived."""


def measure_whole_way(rig: Rig) -> None:
    """Measure the no-op, then send all sessions at full speed. The destination must get each exactly once."""
    with under_gunicorn(rig, "in_flask:noop") as server:
        load_receiver(rig, "noop", server, rig.plan.ingest_seconds, SCENARIO)
    rig.say(f"{SCENARIO}: service")
    # Among the prepared requests, the first event of each conversation starts its session.
    bodies = rig.requests.bodies((WARM_UP + SESSIONS) * EVENTS_PER_CONVERSATION)[::EVENTS_PER_CONVERSATION]
    requests = write_requests(rig.fresh() / "requests", iter(bodies))
    arrivals: list[tuple[bytes, float]] = []
    with _destination(arrivals) as url, delivering_service(rig, url, (NEW,)) as (server, _, pids):
        send_at_once(rig, server.port, requests, first=0, count=WARM_UP)
        _wait_for(arrivals, WARM_UP)
        arrivals.clear()
        meter = CpuMeter.start(**pids, broker=rig.broker.pid, database=rig.postgresql.pid)
        tries = send_at_once(rig, server.port, requests, first=WARM_UP, count=SESSIONS)
        _wait_for(arrivals, SESSIONS)
        costs = meter.per_event_us(SESSIONS)
        time.sleep(REPEAT_SECONDS)
    check_answers(rig, SCENARIO, tries)
    received = Counter(conversation for conversation, _ in arrivals)
    claim = f"{SCENARIO}: {len(tries)} sent, {len(received)} received, {len(arrivals)} times in all"
    rig.results.check(claim, holds=len(tries) == len(received) == len(arrivals))
    seconds = max(moment for _, moment in arrivals) - min(each.sent for each in tries)
    rig.results.add(SCENARIO, "service", per_second=SESSIONS / seconds, **costs)


def _wait_for(arrivals: list[tuple[bytes, float]], count: int) -> None:
    def has_all() -> bool:
        return len({conversation for conversation, _ in list(arrivals)}) >= count

    wait_until(has_all, TIMEOUT_SECONDS, f"{count} sessions have arrived at the destination")


class _Noting(Answering):
    """Records the conversation and the time of each delivery, and accepts it."""

    def __init__(self, arrivals: list[tuple[bytes, float]]) -> None:
        self._arrivals = arrivals

    def data_received(self, data: bytes) -> None:
        """Record and accept the delivery once the received data identifies its conversation."""
        if found := CONVERSATION.search(data):
            self._arrivals.append((found[1], time.monotonic()))
            self._transport.write(ANSWER)


@contextmanager
def _destination(arrivals: list[tuple[bytes, float]]) -> Iterator[str]:
    """Serve a destination on a thread's event loop, which costs less than any framework; yield its URL."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: _Noting(arrivals), LOOPBACK, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
