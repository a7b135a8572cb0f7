"""The status page shows an alert for each problem."""

from pathlib import Path

import pytest

from workers.observe.status.alerts import RULES, STANDSTILL_EVENTS, find_alerts

PROMETHEUS_RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "open-messaging.rules.yml"

WELL = {
    ("om_worker_up", "intake", "host 1"): 1.0,
    ("om_queue_messages", "open-messaging.events"): 500.0,
    ("om_newest_event_age_seconds",): 0.4,
    ("om_window_oldest_age_seconds",): 9.0,
    ("om_destination_paused", "crm"): 0.0,
    ("om_destination_down", "host 1", "crm"): 0.0,
    ("om_destination_refusing", "host 1", "crm"): 0.0,
    ("om_deliver_destinations_digest", "host 1"): 7.0,
    ("om_delivery_oldest_due_age_seconds", "crm"): 20.0,
    ("om_reconciliation_age_seconds",): 900.0,
    ("om_reconciliation_passed_over",): 0.0,
}


STANDING = {("om_queue_messages", "open-messaging.events"): 1001.0, ("om_newest_event_age_seconds",): 130.0}


THRESHOLDS = {rule.metric: rule.threshold for rule in RULES if rule.metric.endswith("_age_seconds")} | {
    'om_queue_messages{queue="open-messaging.events"}': STANDSTILL_EVENTS
}


@pytest.mark.parametrize("metric", THRESHOLDS)
def test_the_pages_thresholds_are_those_of_the_prometheus_rules(metric):
    assert f"{metric} > {THRESHOLDS[metric]:.0f}" in PROMETHEUS_RULES.read_text()


@pytest.mark.parametrize(
    ("changed", "name", "level"),
    [
        (STANDING, "OpenMessagingQueueNotDrained", "bad"),
        ({("om_worker_up", "settle", "host 1"): 0.0}, "OpenMessagingWorkerSilent", "wait"),
        ({("om_clock_ahead_seconds", "settle", "host 1"): -5.1}, "OpenMessagingClock", "wait"),
        ({("om_drift_names",): 1.0}, "OpenMessagingDrift", "wait"),
        ({("om_dead_letters", "poison"): 1.0}, "OpenMessagingDeadLetters", "wait"),
        ({("om_window_oldest_age_seconds",): 61.0}, "OpenMessagingWindowsLate", "bad"),
        ({("om_conversations_unsettled",): 1.0}, "OpenMessagingConversationsUnsettled", "wait"),
        ({("om_reconciliation_age_seconds",): 3601.0}, "OpenMessagingReconciliationLate", "wait"),
        ({("om_reconciliation_passed_over",): 2.0}, "OpenMessagingConversationsPassedOver", "wait"),
        ({("om_reconciliation_mismatches",): 1.0}, "OpenMessagingReconciliationMismatch", "bad"),
        ({("om_reconciliation_unreadable",): 1.0}, "OpenMessagingHistoryUnreadable", "wait"),
        ({("om_delivery_oldest_due_age_seconds", "crm"): 301.0}, "OpenMessagingDeliveriesLate", "bad"),
        ({("om_destination_paused", "crm"): 1.0}, "OpenMessagingDestinationPaused", "wait"),
        ({("om_destination_down", "host 1", "crm"): 1.0}, "OpenMessagingDestinationDown", "bad"),
        ({("om_destination_refusing", "host 1", "crm"): 1.0}, "OpenMessagingDestinationRefusing", "bad"),
        ({("om_deliver_destinations_digest", "host 2"): 8.0}, "OpenMessagingDestinationsDiffer", "wait"),
    ],
)
def test_each_problem_is_reported_with_its_alert_and_next_command(changed, name, level):
    [alert] = find_alerts(WELL | changed)
    assert (alert.name, alert.level) == (name, level)
    assert alert.describe()["command"]


def test_a_missing_intake_worker_causes_an_alert():
    without = {key: value for key, value in WELL.items() if key[0] != "om_worker_up"}
    assert [alert.text for alert in find_alerts(without)] == ["No intake worker reports."]


@pytest.mark.parametrize("missing", ["om_worker_up", "om_newest_event_age_seconds"])
def test_a_failed_query_is_reported_and_raises_no_other_alert(missing):
    samples = {key: value for key, value in (WELL | STANDING).items() if key[0] != missing}
    samples["om_queue_messages", "open-messaging.events"] = 1001.0 if missing != "om_worker_up" else 1.0
    [alert] = find_alerts(samples, {missing})
    assert (alert.name, alert.level) == ("OpenMessagingDatabaseAway", "wait")
    assert missing in alert.text


def test_a_healthy_service_has_no_alert_even_on_a_quiet_night():
    quiet = {("om_queue_messages", "open-messaging.events"): 1.0, ("om_newest_event_age_seconds",): 1e5}
    assert find_alerts(WELL) == find_alerts(WELL | quiet) == []
