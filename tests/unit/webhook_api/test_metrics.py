"""The edge exports its health report as metrics for Prometheus."""

from prometheus_client.parser import text_string_to_metric_families

from webhook_api.health import Health
from webhook_api.metrics import render_metrics

DETAILS = {
    "journal_bytes": 1000,
    "journal_max_bytes": 5000,
    "oldest_entry_s": 3.5,
    "platform_list_age_s": None,
    "processes": [
        {
            "pid": 7,
            "journal": {
                "accepted": 12,
                "republished": 2,
                "damaged_segments": 0,
                "oversized": 1,
                "broker": "away",
                "entries": 3,
                "oldest_unproven_s": 6.5,
                "majority_seen_s": None,
            },
            "gate": {"refused": 4, "shedding": True, "queue_depth": None, "high": 50, "low": 30},
            "answers": {
                "refused": {"401": 5, "503": 1},
                "durations": [9, 2, 0, 0, 0, 1],
                "seconds": 12.5,
            },
        }
    ],
}


def samples(details, *, is_ready=True):
    text = render_metrics(lambda: Health(is_ready, details)).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_health_report_is_exported_as_metrics():
    found = samples(DETAILS, is_ready=False)
    assert found["om_edge_ready",] == 0
    assert found["om_edge_journal_bytes",] == 1000
    assert found["om_edge_journal_oldest_entry_seconds",] == 3.5
    assert found["om_edge_accepted_total", ("pid", "7")] == 12
    assert found["om_edge_shed_total", ("pid", "7")] == 4
    assert found["om_edge_shedding", ("pid", "7")] == 1
    assert found["om_edge_queue_depth_high", ("pid", "7")] == 50
    assert found["om_edge_refused_total", ("pid", "7"), ("status", "401")] == 5
    assert found["om_edge_journal_entries", ("pid", "7")] == 3
    assert found["om_edge_barrier_age_seconds", ("pid", "7")] == 6.5
    assert found["om_edge_broker", ("pid", "7"), ("state", "away")] == 1
    assert found["om_edge_broker", ("pid", "7"), ("state", "up")] == 0
    assert found["om_edge_answer_seconds_bucket", ("le", "0.1"), ("pid", "7")] == 11
    assert found["om_edge_answer_seconds_count", ("pid", "7")] == 12
    assert found["om_edge_answer_seconds_sum", ("pid", "7")] == 12.5


def test_an_unknown_value_is_not_exported():
    assert ("om_edge_queue_depth", ("pid", "7")) not in samples(DETAILS)
    assert ("om_edge_platform_list_age_seconds",) not in samples(DETAILS)
    assert ("om_edge_majority_seen_age_seconds", ("pid", "7")) not in samples(DETAILS)
