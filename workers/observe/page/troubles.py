"""Decide what deserves a person's look: the alert rules' own thresholds, for those without Prometheus."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from messaging.topology import EVENTS_QUEUE
from workers.observe.page.overview import labelled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.observe.page.overview import Samples

BAD: Final = "bad"
WAIT: Final = "wait"

STANDSTILL_EVENTS: Final = 1000.0
STANDSTILL_SECONDS: Final = 120.0
WINDOW_SECONDS: Final = 60.0
DUE_SECONDS: Final = 300.0
RECONCILED_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is not as it should be.

    Args:
        level: BAD: something stands still; WAIT: it waits for a person.
        text: What, in a sentence.
        alert: The heading in docs/runbook.md.
        since_s: For how long, in seconds, where that is known.
    """

    level: str
    text: str
    alert: str
    since_s: float | None = None


def troubles(samples: Samples) -> list[dict[str, Any]]:
    """Return all that is wrong, the worst first."""
    found = [*_standing_still(samples), *_waiting(samples), *_of_destinations(samples)]
    return [asdict(each) for each in sorted(found, key=lambda each: each.level)]


def _standing_still(samples: Samples) -> Iterator[Trouble]:
    if not samples.get(("om_database_up",)):
        yield Trouble(
            BAD, "The database does not answer: workers hold their events.", "OpenMessagingDatabaseAway"
        )
        return
    depth = samples.get(("om_queue_messages", EVENTS_QUEUE), 0.0)
    age = samples.get(("om_newest_event_age_seconds",))
    workers = labelled(samples, "om_worker_up")
    if depth > STANDSTILL_EVENTS and (age is None or age > STANDSTILL_SECONDS):
        yield Trouble(
            BAD, f"{depth:.0f} events wait and none is processed.", "OpenMessagingQueueNotDrained", age
        )
    if not any(value for (role, _), value in workers.items() if role == "intake"):
        yield Trouble(BAD, "No intake worker reports.", "OpenMessagingWorkerSilent")
    for (role, worker), is_up in workers.items():
        if not is_up:
            yield Trouble(WAIT, f"{role} {worker} does not report any more.", "OpenMessagingWorkerSilent")


def _waiting(samples: Samples) -> Iterator[Trouble]:
    letters = labelled(samples, "om_dead_letters")
    ages = labelled(samples, "om_dead_letter_oldest_age_seconds").values()
    if count := sum(letters.values()):
        yield Trouble(
            WAIT,
            f"{count:.0f} dead letters wait for a person.",
            "OpenMessagingDeadLetters",
            max(ages, default=None),
        )
    window = samples.get(("om_window_oldest_age_seconds",), 0.0)
    if window > WINDOW_SECONDS:
        yield Trouble(BAD, "A conversation is not settled.", "OpenMessagingWindowsLate", window)
    reconciled = samples.get(("om_reconciliation_age_seconds",), 0.0)
    if reconciled > RECONCILED_SECONDS:
        yield Trouble(
            WAIT,
            "Nothing has been compared with the platform's history.",
            "OpenMessagingReconciliationLate",
            reconciled,
        )
    if passed_over := samples.get(("om_reconciliation_passed_over",), 0.0):
        yield Trouble(
            WAIT,
            f"{passed_over:.0f} conversations could not be compared with the platform's history.",
            "OpenMessagingConversationsPassedOver",
        )
    if samples.get(("om_reconciliation_mismatches",), 0.0):
        yield Trouble(
            BAD,
            "The platform's history lacks events that were received: nothing is recovered.",
            "OpenMessagingReconciliationMismatch",
        )
    if unreadable := samples.get(("om_reconciliation_unreadable",), 0.0):
        yield Trouble(
            WAIT,
            f"{unreadable:.0f} events of the platform's history cannot be compared.",
            "OpenMessagingHistoryUnreadable",
        )


def _of_destinations(samples: Samples) -> Iterator[Trouble]:
    for (name,), age in labelled(samples, "om_delivery_oldest_due_age_seconds").items():
        if age > DUE_SECONDS:
            yield Trouble(BAD, f"{name} is not told of events.", "OpenMessagingDeliveriesLate", age)
    for (name,), is_paused in labelled(samples, "om_destination_paused").items():
        if is_paused:
            yield Trouble(WAIT, f"{name} is paused.", "OpenMessagingDestinationPaused")
    down = labelled(samples, "om_destination_down")
    for name in sorted({name for (_, name), is_down in down.items() if is_down}):
        yield Trouble(BAD, f"{name} takes nothing.", "OpenMessagingDestinationDown")
