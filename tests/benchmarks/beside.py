"""Measure intake while other roles work on the same cores, and while old rows are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks.deliver import destinations_file, fill_outbox, wait_for_subscriptions
from tests.benchmarks.growth import filled
from tests.benchmarks.intake import Trial, work_off
from tests.benchmarks.running import BARE_LOOP, role, under_gunicorn
from tests.benchmarks.table import event_table
from tests.servers import LOOPBACK
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig
    from tests.benchmarks.table import Growth

LONGER: Final = 3
"""A round has this many times the usual number of events. In a round of the usual length, settling would
begin only halfway through, two seconds after the first event."""

LEAST_DONE: Final = 0.05
"""The minimum number of rows that settle and deliver must each process while intake runs, as a share of
intake's rows. With fewer, they would be nearly idle. A busy machine delivered one event per nine rows."""

DONE_MEANWHILE: Final = """
    WITH measured AS (SELECT min(processed_at) AS first, max(processed_at) AS last FROM :table)
    SELECT
        (SELECT count(*) FROM outbox, measured WHERE event_id > 0 AND created_at BETWEEN first AND last),
        (SELECT count(*) FROM deliveries, measured
         WHERE outcome = 'delivered' AND finished_at BETWEEN first AND last)"""

TIMEOUT_SECONDS: Final = 60.0
RETAIN_ROUNDS: Final = 5
"""The minimum number of rounds. On one machine, the ratio was 0.8 after two rounds but 1.1 after five."""


def measure_beside(rig: Rig) -> None:
    """Measure intake with the same events, first alone and then while settle and deliver also run.

    The outbox is filled beforehand, because intake finishes before its own events are settled.
    """
    bodies = rig.requests.bodies(LONGER * rig.plan.intake_events)
    work_off(rig, Trial("beside", "alone", rig.fresh_database()), bodies)
    url = rig.migrated()
    with under_gunicorn(rig, "in_flask:noop", BARE_LOOP) as receiver:
        path = destinations_file(rig, {"crm": f"http://{LOOPBACK}:{receiver.port}/"})
        with role(rig, url, "settle"), role(rig, url, "deliver", OM_DESTINATIONS=path):
            wait_for_subscriptions(url)
            fill_outbox(url, LONGER * rig.plan.intake_events)
            growth = work_off(rig, Trial("beside", "settle_and_deliver", url), bodies)
    _note_done(rig, url, growth)


def _note_done(rig: Rig, url: str, growth: Growth) -> None:
    """Record how much settle and deliver did between intake's first row and its last."""
    with event_table(url) as table:
        rows = table.count()
        settled, delivered = table.query(DONE_MEANWHILE)[0]
    rates = {"settled_per_second": settled, "delivered_per_second": delivered}
    rates = {name: done / growth.seconds for name, done in rates.items()}
    rig.results.add("beside", "settle_and_deliver", **rates)
    claim = f"beside: {settled} settled and {delivered} delivered while {rows} rows came in"
    rig.results.check(claim, holds=is_beside(settled, delivered, rows))


def is_beside(settled: int, delivered: int, rows: int) -> bool:
    """Return whether settle and deliver both did enough work while *rows* rows were inserted."""
    return min(settled, delivered) >= LEAST_DONE * rows


def measure_retain(rig: Rig) -> None:
    """Measure intake while its tables contain old rows, and then while those rows are being deleted."""
    rows = rig.plan.old_rows
    url = filled(rig, rows)
    for number in range(max(rig.plan.rounds, RETAIN_ROUNDS)):
        rig.results.round = number + 1
        bodies = rig.requests.bodies(2 * rig.plan.intake_events, 2 * number * rig.plan.intake_events)
        work_off(rig, Trial("retain", "alone", url), bodies[: rig.plan.intake_events])
        before = _gone(url)
        with role(rig, url, "retain", OM_RETENTION_DAYS="30"):
            wait_until(lambda before=before: _gone(url) > before, TIMEOUT_SECONDS, "rows are being deleted")
            growth = work_off(rig, Trial("retain", "meanwhile", url), bodies[rig.plan.intake_events :])
            gone = _gone(url)
        rig.results.add("retain", "meanwhile", deleted_per_second=(gone - before) / growth.seconds)
        rig.results.check(f"retain: {rows - gone} old rows were left at the end", holds=gone < rows)


def _gone(url: str) -> int:
    """Return how many old rows have been deleted. They have the lowest ids, and are deleted in id order."""
    with event_table(url) as table:
        return int(table.query("SELECT min(id) FROM :table")[0][0]) - 1
