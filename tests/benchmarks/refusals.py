"""Measure how long good deliveries take while their destination refuses nine in ten events."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from tests.benchmarks.deliver import FILL, TIMEOUT_SECONDS, destinations_file, wait_for_subscriptions
from tests.benchmarks.running import REFUSING, role, under_gunicorn
from tests.benchmarks.table import event_table, execute
from tests.servers import LOOPBACK
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig

RATE: Final = 1_000
"""The number of good and bad events per second."""

SECONDS: Final = 20.0
STEP_SECONDS: Final = 0.05
PROCESSES: Final = 2
"""The number of deliver processes that the scaler would start. A single process sends about 1,100 events per
second if it has a core to itself."""

UNFINISHED: Final = "SELECT count(*) FROM deliveries WHERE outcome IS NULL"
LONGEST: Final = """
    SELECT count(*) FILTER (WHERE outcome = 'delivered'), count(*) FILTER (WHERE outcome = 'dead'),
        max(extract(epoch FROM finished_at - created_at)) FILTER (WHERE outcome = 'delivered')
    FROM deliveries JOIN outbox ON outbox.id = deliveries.outbox_id
"""


def measure_refusals(rig: Rig) -> None:
    """Fill the outbox at a steady rate, and measure how long good events wait for the destination's 2xx."""
    rig.say("deliver: a destination that refuses nine of ten")
    database = rig.migrated()
    with under_gunicorn(rig, "in_flask:noop", REFUSING) as receiver, event_table(database) as table:
        path = destinations_file(rig, {"crm": f"http://{LOOPBACK}:{receiver.port}/"})
        with ExitStack() as stack:
            for _ in range(PROCESSES):
                stack.enter_context(role(rig, database, "deliver", OM_DESTINATIONS=path))
            wait_for_subscriptions(database)
            sent = _send(database)
            wait_until(lambda: not table.query(UNFINISHED)[0][0], TIMEOUT_SECONDS, "all deliveries end")
        good, refused, longest = table.query(LONGEST)[0]
    rig.results.add("refusals", "good", longest_wait_s=float(longest))
    claim = f"refusals: {sent} sent, {good} delivered, {refused} refused"
    rig.results.check(claim, holds=good + refused == sent and good > 0)


def _send(database: str) -> int:
    """Put RATE messages per second into the outbox; return the number of messages."""
    began, sent = time.monotonic(), 0
    while (seconds := time.monotonic() - began) < SECONDS:
        if (due := int(RATE * seconds)) > sent:
            execute(database, FILL, first=sent + 1, last=due, of_each=10)
            sent = due
        time.sleep(STEP_SECONDS)
    return sent
