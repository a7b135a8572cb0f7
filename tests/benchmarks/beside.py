"""Measure what intake has left where other roles work on the same cores, and where old rows are deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks.deliver import destinations_file, wait_for_subscriptions
from tests.benchmarks.growth import filled
from tests.benchmarks.intake import Trial, work_off
from tests.benchmarks.running import BARE_LOOP, role, under_gunicorn
from tests.benchmarks.table import event_table
from tests.servers import LOOPBACK
from tests.stand.waiting import wait_until

if TYPE_CHECKING:
    from tests.benchmarks.rig import Rig

WINDOW: Final = {"OM_WINDOW_SECONDS": "0.2", "OM_WINDOW_LIMIT_SECONDS": "1"}
"""A round lasts some seconds: by the usual window of two, settling would begin when it is over."""

TIMEOUT_SECONDS: Final = 60.0
RETAIN_ROUNDS: Final = 5
"""Of some seconds each: two were seen to tell 0.8 of one machine where five told 1.1."""


def measure_beside(rig: Rig) -> None:
    """Let the intake work the same events off alone, and with settle and deliver beside it."""
    bodies = rig.requests.bodies(rig.plan.intake_events)
    work_off(rig, Trial("beside", "alone", rig.fresh_database(), WINDOW), bodies)
    url = rig.migrated()
    with under_gunicorn(rig, "in_flask:noop", BARE_LOOP) as receiver:
        path = destinations_file(rig, {"crm": f"http://{LOOPBACK}:{receiver.port}/"})
        with role(rig, url, "settle", **WINDOW), role(rig, url, "deliver", OM_DESTINATIONS=path):
            wait_for_subscriptions(url)
            work_off(rig, Trial("beside", "settle_and_deliver", url, WINDOW), bodies)
            with event_table(url) as table:
                settled, delivered = table.query(
                    "SELECT (SELECT sum(settled_count) FROM conversations),"
                    " (SELECT count(*) FROM deliveries WHERE outcome = 'delivered')"
                )[0]
    worked = bool(settled and delivered)
    rig.results.check(f"beside: {settled} settled and {delivered} delivered meanwhile", holds=worked)


def measure_retain(rig: Rig) -> None:
    """Let the intake work events off beside old rows that stay, and while they are deleted."""
    rows = rig.plan.old_rows
    url = filled(rig, rows)
    for number in range(max(rig.plan.rounds, RETAIN_ROUNDS)):
        rig.results.round = number + 1
        bodies = rig.requests.bodies(2 * rig.plan.intake_events, 2 * number * rig.plan.intake_events)
        work_off(rig, Trial("retain", "alone", url), bodies[: rig.plan.intake_events])
        before = _gone(url)
        with role(rig, url, "retain"):
            wait_until(lambda before=before: _gone(url) > before, TIMEOUT_SECONDS, "rows are being deleted")
            growth = work_off(rig, Trial("retain", "meanwhile", url), bodies[rig.plan.intake_events :])
            gone = _gone(url)
        rig.results.add("retain", "meanwhile", deleted_per_second=(gone - before) / growth.seconds)
        rig.results.check(f"retain: {rows - gone} old rows were left at the end", holds=gone < rows)


def _gone(url: str) -> int:
    """Return how many of the filled rows are gone: their ids are the first, and the lowest goes first."""
    with event_table(url) as table:
        return int(table.query("SELECT min(id) FROM :table")[0][0]) - 1
