"""Decide what needs an operator, with the thresholds of the alert rules, for hosts without Prometheus."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from messaging.topology import EVENTS_QUEUE

Samples: TypeAlias = "dict[tuple[str, ...], float]"
"""Values by the metric's name and its labels' values."""

BAD: Final = "bad"
WAIT: Final = "wait"

STANDSTILL_EVENTS: Final = 1000.0
STANDSTILL_SECONDS: Final = 120.0

NEXT_COMMANDS: Final = {
    "OpenMessagingBrokerAway": "systemctl status rabbitmq-server",
    "OpenMessagingDatabaseAway": "systemctl status postgresql",
    "OpenMessagingEdgeDown": "systemctl status om-api",
    "OpenMessagingEdgeRefuses": "omctl check",
    "OpenMessagingCanary": "omctl check",
    "OpenMessagingQueueNotDrained": "journalctl -u 'om-worker@*' -n 50",
    "OpenMessagingWorkerSilent": "systemctl status 'om-*'",
    "OpenMessagingDeadLetters": "omctl dead-letters list",
    "OpenMessagingWindowsLate": "systemctl status 'om-settle*'",
    "OpenMessagingConversationsUnsettled": "journalctl -u 'om-settle@*' -n 50",
    "OpenMessagingReconciliationLate": "journalctl -u om-reconcile -n 50",
    "OpenMessagingConversationsPassedOver": "omctl reconcile --dry-run",
    "OpenMessagingReconciliationMismatch": "omctl reconcile --dry-run",
    "OpenMessagingHistoryUnreadable": "omctl reconcile --dry-run",
    "OpenMessagingDeliveriesLate": "omctl destinations list",
    "OpenMessagingDestinationPaused": "omctl destinations list",
    "OpenMessagingDestinationDown": "omctl destinations list",
    "OpenMessagingDestinationRefusing": "omctl destinations test NAME",
    "OpenMessagingDestinationsDiffer": "omctl check",
    "OpenMessagingClock": "timedatectl",
}
"""The first command of each alert's entry in docs/runbook.md."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A standstill (BAD), or a problem that waits for an operator (WAIT), for *since_s* seconds if known.

    *name* is a heading in docs/runbook.md.
    """

    level: str
    text: str
    name: str
    since_s: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return the alert with its next command, as JSON values."""
        return {**asdict(self), "command": NEXT_COMMANDS[self.name]}


def select_values(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric by their labels."""
    return {key[1:]: value for key, value in samples.items() if key[0] == name}


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert for each value of a metric above a threshold; its text may contain value and labels."""

    metric: str
    threshold: float
    level: str
    name: str
    text: str

    def apply(self, samples: Samples) -> Iterator[Alert]:
        """Yield the rule's alerts."""
        for labels, value in select_values(samples, self.metric).items():
            if abs(value) > self.threshold:
                text = self.text.format(value, *labels)
                since_s = value if self.metric.endswith("_age_seconds") else None
                yield Alert(self.level, text, self.name, since_s)


RULES: Final = (
    Rule(
        "om_window_oldest_age_seconds",
        60.0,
        BAD,
        "OpenMessagingWindowsLate",
        "A conversation is not settled.",
    ),
    Rule(
        "om_conversations_unsettled",
        0.0,
        WAIT,
        "OpenMessagingConversationsUnsettled",
        "Conversations that cannot be settled: {0:.0f}.",
    ),
    Rule(
        "om_delivery_oldest_due_age_seconds",
        300.0,
        BAD,
        "OpenMessagingDeliveriesLate",
        "{1} receives no events.",
    ),
    Rule(
        "om_reconciliation_age_seconds",
        3600.0,
        WAIT,
        "OpenMessagingReconciliationLate",
        "No comparison with the platform's history has finished.",
    ),
    Rule(
        "om_reconciliation_passed_over",
        0.0,
        WAIT,
        "OpenMessagingConversationsPassedOver",
        "Conversations that could not be compared with the platform's history: {0:.0f}.",
    ),
    Rule(
        "om_reconciliation_unreadable",
        0.0,
        WAIT,
        "OpenMessagingHistoryUnreadable",
        "Events of the platform's history that cannot be compared: {0:.0f}.",
    ),
    Rule(
        "om_reconciliation_mismatches",
        0.0,
        BAD,
        "OpenMessagingReconciliationMismatch",
        "The platform's history lacks events that were received: nothing is recovered.",
    ),
    Rule("om_destination_paused", 0.0, WAIT, "OpenMessagingDestinationPaused", "{1} is paused."),
    Rule("om_destination_down", 0.0, BAD, "OpenMessagingDestinationDown", "{2} accepts no events."),
    Rule("om_destination_refusing", 0.0, BAD, "OpenMessagingDestinationRefusing", "{2} refuses every event."),
    Rule(
        "om_clock_ahead_seconds",
        5.0,
        WAIT,
        "OpenMessagingClock",
        "The clock of {1} {2} differs by {0:.0f} s from the database's.",
    ),
)


def find_alerts(samples: Samples, missing: Collection[str] = ()) -> list[Alert]:
    """Return everything that needs an operator, worst first; *samples* must still be valid.

    The absence of *missing* metrics, whose query failed, causes no alert about what they measure.
    """
    alerts = {alert.text: alert for rule in RULES for alert in rule.apply(samples)}
    found = [*alerts.values(), *_find_standstills(samples, missing), *_find_worker_alerts(samples, missing)]
    if missing:
        text = f"The database did not answer every query; unknown: {', '.join(sorted(missing))}."
        found.append(Alert(WAIT, text, "OpenMessagingDatabaseAway"))
    return sorted(found, key=lambda alert: alert.level)


def _find_standstills(samples: Samples, missing: Collection[str]) -> Iterator[Alert]:
    depth = samples.get(("om_queue_messages", EVENTS_QUEUE), 0.0)
    age = samples.get(("om_newest_event_age_seconds",))
    is_standing = (
        age > STANDSTILL_SECONDS if age is not None else "om_newest_event_age_seconds" not in missing
    )
    if depth > STANDSTILL_EVENTS and is_standing:
        text = f"{depth:.0f} events wait and none is processed."
        yield Alert(BAD, text, "OpenMessagingQueueNotDrained", age)
    ages = select_values(samples, "om_dead_letter_oldest_age_seconds").values()
    if count := sum(select_values(samples, "om_dead_letters").values()):
        text = f"{count:.0f} dead letters wait for an operator."
        yield Alert(WAIT, text, "OpenMessagingDeadLetters", max(ages, default=None))


def _find_worker_alerts(samples: Samples, missing: Collection[str]) -> Iterator[Alert]:
    workers = select_values(samples, "om_worker_up")
    if "om_worker_up" not in missing and not any(
        value for (role, _), value in workers.items() if role == "intake"
    ):
        yield Alert(BAD, "No intake worker reports.", "OpenMessagingWorkerSilent")
    for (role, worker), is_up in workers.items():
        if not is_up:
            yield Alert(WAIT, f"{role} {worker} has stopped reporting.", "OpenMessagingWorkerSilent")
    if len(set(select_values(samples, "om_deliver_destinations_digest").values())) > 1:
        text = "Deliver workers run with different destinations files."
        yield Alert(WAIT, text, "OpenMessagingDestinationsDiffer")
