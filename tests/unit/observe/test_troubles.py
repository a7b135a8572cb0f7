"""What deserves a look on the status page."""

from pathlib import Path

import pytest

import workers.observe.page.troubles as decisions
from workers.observe.page.troubles import troubles

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "open-messaging.rules.yml"

WELL = {
    ("om_database_up",): 1.0,
    ("om_worker_up", "intake", "host 1"): 1.0,
    ("om_queue_messages", "open-messaging.events"): 500.0,
    ("om_newest_event_age_seconds",): 0.4,
    ("om_window_oldest_age_seconds",): 9.0,
    ("om_destination_paused", "crm"): 0.0,
    ("om_destination_down", "host 1", "crm"): 0.0,
    ("om_delivery_oldest_due_age_seconds", "crm"): 20.0,
    ("om_reconciliation_age_seconds",): 900.0,
    ("om_reconciliation_passed_over",): 0.0,
}


STANDING = {("om_queue_messages", "open-messaging.events"): 1001.0, ("om_newest_event_age_seconds",): 130.0}


@pytest.mark.parametrize(
    ("metric", "threshold"),
    [
        ('om_queue_messages{queue="open-messaging.events"}', decisions.STANDSTILL_EVENTS),
        ("om_window_oldest_age_seconds", decisions.WINDOW_SECONDS),
        ("om_delivery_oldest_due_age_seconds", decisions.DUE_SECONDS),
        ("om_reconciliation_age_seconds", decisions.RECONCILED_SECONDS),
    ],
)
def test_the_thresholds_are_those_of_the_alert_rules(metric, threshold):
    assert f"{metric} > {threshold:.0f}" in RULES.read_text()


def test_where_all_is_well_nothing_deserves_a_look():
    assert troubles(WELL) == []


@pytest.mark.parametrize(
    ("changed", "alert", "level"),
    [
        ({("om_database_up",): 0.0}, "OpenMessagingDatabaseAway", "bad"),
        (STANDING, "OpenMessagingQueueNotDrained", "bad"),
        ({("om_worker_up", "settle", "host 1"): 0.0}, "OpenMessagingWorkerSilent", "wait"),
        ({("om_dead_letters", "poison"): 1.0}, "OpenMessagingDeadLetters", "wait"),
        ({("om_window_oldest_age_seconds",): 61.0}, "OpenMessagingWindowsLate", "bad"),
        ({("om_reconciliation_age_seconds",): 3601.0}, "OpenMessagingReconciliationLate", "wait"),
        ({("om_reconciliation_passed_over",): 2.0}, "OpenMessagingConversationsPassedOver", "wait"),
        ({("om_reconciliation_mismatches",): 1.0}, "OpenMessagingReconciliationMismatch", "bad"),
        ({("om_reconciliation_unreadable",): 1.0}, "OpenMessagingHistoryUnreadable", "wait"),
        ({("om_delivery_oldest_due_age_seconds", "crm"): 301.0}, "OpenMessagingDeliveriesLate", "bad"),
        ({("om_destination_paused", "crm"): 1.0}, "OpenMessagingDestinationPaused", "wait"),
        ({("om_destination_down", "host 1", "crm"): 1.0}, "OpenMessagingDestinationDown", "bad"),
    ],
)
def test_each_thing_that_is_wrong_is_told_with_its_alert(changed, alert, level):
    [found] = troubles(WELL | changed)

    assert (found["alert"], found["level"]) == (alert, level)


def test_without_an_intake_worker_nothing_flows():
    nobody = {key: value for key, value in WELL.items() if key[0] != "om_worker_up"}

    assert [each["text"] for each in troubles(nobody)] == ["No intake worker reports."]


def test_a_quiet_night_is_no_standstill():
    assert (
        troubles(
            WELL
            | {("om_queue_messages", "open-messaging.events"): 1.0, ("om_newest_event_age_seconds",): 1e5}
        )
        == []
    )
