"""Compare deliver with a bare loop of requests, and measure the delay from the webhook to a destination."""

from __future__ import annotations

import base64
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from simulator.receiver import Inbox, destination_table, serve_receiver
from tests.benchmarks.accounting import CpuMeter
from tests.benchmarks.events import EVENTS_PER_CONVERSATION
from tests.benchmarks.running import BARE_LOOP, RECEIVERS, role, under_gunicorn, whole_service
from tests.benchmarks.steady import finished, in_ms, steady_load
from tests.benchmarks.table import event_table, execute
from tests.servers import LOOPBACK
from tests.stand.product import SOURCES
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.receiver import ReceivedEvent
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.running import Server
    from tests.benchmarks.table import EventTable

THREADS: Final = 8
"""The default number of threads that deliver uses per destination. The bare loop gets the same number."""

RATE: Final = 100.0
"""Events sent per second to measure the whole delay: about half of what two cores can process."""

TIMEOUT_SECONDS: Final = 300.0
SETTLE_SECONDS: Final = 15.0
NEW: Final = "openmessaging:conversation:new"
MESSAGE: Final = "openmessaging:conversation:message"
TOLD: Final = (NEW, MESSAGE, "openmessaging:conversation:updated")
SECRET: Final = "whsec_" + base64.b64encode(b"constructed-secret-of-32-bytes-0").decode()

FILL: Final = (
    """
    INSERT INTO event_payloads (event_id, stored_at, body)
    SELECT -n, now(), convert_to('{"text":"' || repeat('x', 540) || '"}', 'UTF8')
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
    """,
    """
    INSERT INTO outbox (conversation_id, event_id, event_type, occurred_at, late, created_at)
    SELECT 'c-' || n / %(of_each)s, -n, 'openmessaging:conversation:message', now(), false, now()
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
    """,
)
"""Statements that insert messages with bodies of the benchmarks' usual size. Their event ids are negative, so
they do not collide with events that intake inserts at the same time."""

OF_EACH: Final = 10
"""The number of messages per conversation in the outbox."""

ONE_CONVERSATION: Final = 60_000
CONVERSATIONS: Final = 3_000


def measure_deliver(rig: Rig) -> None:
    """Measure a bare loop, then the service, then the service while another destination never answers."""
    count = rig.plan.intake_events
    with under_gunicorn(rig, "in_flask:noop", BARE_LOOP) as receiver:
        url = f"http://{LOOPBACK}:{receiver.port}/"
        rig.say("deliver: bare")
        rig.results.add("deliver", "bare", per_second=_bare(url, count))
        rig.say("deliver: service")
        _work_off(rig, "service", {"crm": url}, count)
        rig.say("deliver: beside a dead destination")
        with _silent() as dead:
            _work_off(rig, "beside_a_dead_one", {"crm": url, "dead": dead}, count)


def measure_one_conversation(rig: Rig) -> None:
    """Measure a backlog of events of many conversations, and then one of a single conversation's events."""
    with under_gunicorn(rig, "in_flask:noop", BARE_LOOP) as receiver:
        urls = {"crm": f"http://{LOOPBACK}:{receiver.port}/"}
        for subject, conversations in {"many_conversations": CONVERSATIONS, "one_conversation": 1}.items():
            rig.say(f"deliver: {subject}")
            of_each = ONE_CONVERSATION // conversations + 1
            _work_off(rig, subject, urls, ONE_CONVERSATION, of_each)


def measure_delivery_delay(rig: Rig) -> None:
    """Send events at a steady rate, and measure when the destination receives each of them."""
    rig.say("deliver: delay")
    seen: dict[bytes, tuple[str, float]] = {}
    with (
        serve_receiver(Inbox({"crm": SECRET}, lambda told: _note(seen, told))) as receiver,
        delivering_service(rig, f"{receiver}/crm") as (server, _, _),
    ):
        seconds = 2 * rig.plan.open_loop_seconds
        with steady_load(rig, server.port, rate=RATE, seconds=seconds) as sending:
            tries = finished(sending)
        time.sleep(SETTLE_SECONDS)
    bodies = rig.requests.bodies(len(tries))
    delays: dict[str, list[float]] = {NEW: [], MESSAGE: []}
    # The delay of an event with a window is measured from the newest event of its conversation.
    newest = {each.number // EVENTS_PER_CONVERSATION: each.due for each in tries}
    lost = 0
    for each in tries:
        event_type, moment = seen.get(sha256(bodies[each.number]).digest(), ("", 0.0))
        lost += not event_type
        begun = each.due if event_type == NEW else newest[each.number // EVENTS_PER_CONVERSATION]
        # Ignore the first second, in which processes are still connecting and compiling their code.
        if event_type in delays and each.due > tries[0].due + 1.0:
            delays[event_type].append(moment - begun)
    rig.results.add("deliver_way", "at_once", **in_ms(delays[NEW]))
    rig.results.add("deliver_way", "window", **in_ms(delays[MESSAGE]))
    rig.results.check(f"deliver_way: {len(tries)} sent, {lost} not told", holds=lost == 0)


@contextmanager
def delivering_service(
    rig: Rig, receiver: str, events: Sequence[str] = TOLD
) -> Iterator[tuple[Server, EventTable, dict[str, int]]]:
    """Run the edge and one process each of intake, settle and deliver, with *receiver* as the destination.

    Yield the edge, the table of events, and each process's id by the process's name.
    """
    with whole_service(rig) as (server, worker, table), role(rig, table.url, "settle") as settle:
        path = destinations_file(rig, {"crm": receiver}, events)
        with role(rig, table.url, "deliver", OM_DESTINATIONS=path) as deliver:
            wait_for_subscriptions(table.url)
            pids = {"edge": server.pid, "worker": worker, "settle": settle, "deliver": deliver}
            yield server, table, pids


def _note(seen: dict[bytes, tuple[str, float]], told: ReceivedEvent) -> None:
    _, _, data = told.raw.partition(b',"data":')
    seen.setdefault(sha256(data[:-1]).digest(), (told.event_type, time.monotonic()))


def _bare(url: str, count: int) -> float:
    command = [sys.executable, "-m", f"{RECEIVERS}.bare_sender", url, str(count), str(THREADS)]
    done = subprocess.run(command, cwd=SOURCES, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _work_off(rig: Rig, subject: str, urls: dict[str, str], count: int, of_each: int = OF_EACH) -> None:
    """Fill the outbox, and measure how fast the first destination receives it."""
    database = rig.migrated()
    destinations = destinations_file(rig, urls)
    with role(rig, database, "deliver", OM_DESTINATIONS=destinations):
        wait_for_subscriptions(database, len(urls))
    fill_outbox(database, count, of_each)
    with role(rig, database, "deliver", OM_DESTINATIONS=destinations) as pid, event_table(database) as table:

        def finished() -> int:
            query = "SELECT count(*) FROM deliveries WHERE destination = 'crm' AND outcome = 'delivered'"
            return int(table.query(query)[0][0])

        wait_until(lambda: finished() > 0, TIMEOUT_SECONDS, "the first is delivered")
        first, started, meter = finished(), time.monotonic(), CpuMeter.start(worker=pid)
        wait_until(lambda: finished() == count, TIMEOUT_SECONDS, "all are delivered")
        seconds = time.monotonic() - started
        costs = meter.per_event_us(count - first)
    rig.results.add("deliver", subject, per_second=(count - first) / seconds, **costs)


def fill_outbox(database: str, rows: int, of_each: int = OF_EACH) -> None:
    """Fill the outbox with messages that are due at once for every destination with subscriptions."""
    execute(database, (*FILL, "ANALYZE"), first=1, last=rows, of_each=of_each)


def destinations_file(rig: Rig, urls: dict[str, str], events: Sequence[str] = TOLD) -> str:
    """Write a destinations file for OM_DESTINATIONS from names and URLs; return the file's path."""
    path = rig.fresh() / "destinations.toml"
    path.write_text("".join(destination_table(name, url, SECRET, events) for name, url in urls.items()))
    return str(path)


def wait_for_subscriptions(database: str, destinations: int = 1) -> None:
    """Wait until a deliver process has recorded the subscriptions of *destinations* destinations."""
    with event_table(database) as table:
        query = "SELECT count(DISTINCT destination) FROM subscriptions"
        wait_until(lambda: table.query(query)[0][0] == destinations, TIMEOUT_SECONDS, "deliver has begun")


@contextmanager
def _silent() -> Iterator[str]:
    """Listen on a port without ever answering; yield its URL."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen(1000)
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/"
