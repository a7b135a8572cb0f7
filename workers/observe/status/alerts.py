"""Find the alerts that the status page shows, with the same thresholds as Prometheus's alert rules."""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from messaging.topology import EVENTS_QUEUE

Samples: TypeAlias = "dict[tuple[str, ...], float]"
"""Maps a metric's name and the values of its labels to the metric's value."""

BAD: Final = "bad"
WAIT: Final = "wait"

STANDSTILL_EVENTS: Final = 1000.0
STANDSTILL_SECONDS: Final = 120.0

NEXT_COMMANDS: Final = {
    "OpenMessagingBrokerAway": "systemctl status rabbitmq-server",
    "OpenMessagingDatabaseAway": "systemctl status postgresql@17-main",
    "OpenMessagingEdgeDown": "systemctl status om-api",
    "OpenMessagingEdgeRefuses": "omctl check",
    "OpenMessagingUnauthorised": "tail -n 50 /var/log/nginx/open-messaging.log",
    "OpenMessagingCanary": "omctl check",
    "OpenMessagingQueueNotDrained": "systemctl list-units 'om-worker@*'",
    "OpenMessagingWorkerSilent": "systemctl status 'om-*'",
    "OpenMessagingDeadLetters": "omctl dead-letters list",
    "OpenMessagingWindowsLate": "systemctl status 'om-settle@*'",
    "OpenMessagingConversationsUnsettled": "journalctl -u 'om-settle@*' -n 50",
    "OpenMessagingReconciliationLate": "systemctl status om-reconcile",
    "OpenMessagingConversationsPassedOver": "journalctl -u om-reconcile -n 50",
    "OpenMessagingReconciliationMismatch": "journalctl -u om-reconcile -n 50",
    "OpenMessagingHistoryUnreadable": "journalctl -u om-reconcile -n 50",
    "OpenMessagingDeliveriesLate": "omctl destinations list",
    "OpenMessagingDestinationPaused": "omctl destinations list",
    "OpenMessagingDestinationDown": "omctl destinations list",
    "OpenMessagingDestinationRefusing": "omctl destinations test NAME",
    "OpenMessagingDestinationsDiffer": "omctl check",
    "OpenMessagingClock": "timedatectl",
    "OpenMessagingDrift": "omctl drift list",
}
"""For each alert, a command from its section in docs/runbook.md."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem: processing has stopped (BAD), or an operator must act, but not at once (WAIT).

    *since_s* is the problem's duration in seconds, if known. *name* is a heading in docs/runbook.md.
    """

    level: str
    text: str
    name: str
    since_s: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return the alert with the command that an operator should run next, as JSON values."""
        return {**asdict(self), "command": NEXT_COMMANDS[self.name]}


def select_values(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric; each key is the tuple of the values of its labels."""
    return {key[1:]: value for key, value in samples.items() if key[0] == name}


@dataclass(frozen=True, slots=True)
class Rule:
    """Yields an alert for each value of a metric above a threshold; its text can contain value and labels."""

    metric: str
    level: str
    name: str  # the alert's name without the prefix OpenMessaging
    text: str
    threshold: float = 0.0

    def apply(self, samples: Samples) -> Iterator[Alert]:
        """Yield an alert for each value above the threshold."""
        for labels, value in select_values(samples, self.metric).items():
            if abs(value) > self.threshold:
                text = self.text.format(value, *labels)
                since_s = value if self.metric.endswith("_age_seconds") else None
                yield Alert(self.level, text, f"OpenMessaging{self.name}", since_s)


RULES: Final = (
    Rule("om_window_oldest_age_seconds", BAD, "WindowsLate", "A conversation's window is still open.", 60.0),
    Rule(
        "om_conversations_unsettled",
        WAIT,
        "ConversationsUnsettled",
        "Conversations that cannot be settled: {0:.0f}.",
    ),
    Rule("om_delivery_oldest_due_age_seconds", BAD, "DeliveriesLate", "A delivery to {1} is overdue.", 300.0),
    Rule(
        "om_reconciliation_age_seconds",
        WAIT,
        "ReconciliationLate",
        "No comparison with the platform's history has finished for an hour.",
        3600.0,
    ),
    Rule(
        "om_reconciliation_passed_over",
        WAIT,
        "ConversationsPassedOver",
        "Conversations that could not be compared with the platform's history: {0:.0f}.",
    ),
    Rule(
        "om_reconciliation_unreadable",
        WAIT,
        "HistoryUnreadable",
        "Events of the platform's history that cannot be compared: {0:.0f}.",
    ),
    Rule(
        "om_reconciliation_mismatches",
        BAD,
        "ReconciliationMismatch",
        "The platform's history lacks events that were received: nothing is recovered.",
    ),
    Rule("om_destination_paused", WAIT, "DestinationPaused", "{1} is paused."),
    Rule("om_destination_down", BAD, "DestinationDown", "{2} accepts no events."),
    Rule("om_destination_refusing", BAD, "DestinationRefusing", "{2} refuses every event."),
    Rule(
        "om_clock_ahead_seconds",
        WAIT,
        "Clock",
        "The clock of {1} {2} differs by {0:.0f} s from the database's.",
        5.0,
    ),
    Rule("om_drift_names", WAIT, "Drift", "Names of the platform that this version does not know: {0:.0f}."),
)


def find_alerts(samples: Samples, missing: Collection[str] = ()) -> list[Alert]:
    """Return all alerts, the most serious first; *samples* must still be valid.

    The queries of *missing* metrics failed: one alert lists them, and no other alert relies on their absence.
    """
    alerts = {alert.text: alert for rule in RULES for alert in rule.apply(samples)}
    found = [*alerts.values(), *_find_standstills(samples, missing), *_find_worker_alerts(samples, missing)]
    if missing:
        text = f"The database did not answer every query; unknown: {', '.join(sorted(missing))}."
        found.append(Alert(WAIT, text, "OpenMessagingDatabaseAway"))
    return sorted(found, key=lambda alert: alert.level)


def _find_standstills(samples: Samples, missing: Collection[str]) -> Iterator[Alert]:
    depth = samples.get(("om_queue_messages", EVENTS_QUEUE))  # None if unknown: `build_state` reports it
    name = "om_newest_event_age_seconds"
    age = samples.get((name,))
    is_standing = age > STANDSTILL_SECONDS if age is not None else name not in missing
    if depth is not None and depth > STANDSTILL_EVENTS and is_standing:
        text = f"{depth:.0f} events wait, but none are processed."
        yield Alert(BAD, text, "OpenMessagingQueueNotDrained", age)
    ages = select_values(samples, "om_dead_letter_oldest_age_seconds").values()
    if count := sum(select_values(samples, "om_dead_letters").values()):
        text = f"{count:.0f} dead letters wait for an operator."
        yield Alert(WAIT, text, "OpenMessagingDeadLetters", max(ages, default=None))


def _find_worker_alerts(samples: Samples, missing: Collection[str]) -> Iterator[Alert]:
    workers = select_values(samples, "om_worker_up")
    has_intake = any(value for (role, _), value in workers.items() if role == "intake")
    if not has_intake and "om_worker_up" not in missing:
        yield Alert(BAD, "No intake worker reports.", "OpenMessagingWorkerSilent")
    for (role, worker), is_up in workers.items():
        if not is_up:
            yield Alert(WAIT, f"{role} {worker} has stopped reporting.", "OpenMessagingWorkerSilent")
    if len(set(select_values(samples, "om_deliver_destinations_digest").values())) > 1:
        text = "Deliver workers run with different destinations files."
        yield Alert(WAIT, text, "OpenMessagingDestinationsDiffer")
