"""Prometheus evaluates the rules: each alert fires during its own fault and during no other."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.servers import ensure_prometheus
from workers.observe.page import render_runbook
from workers.observe.status.alerts import NEXT_COMMANDS

ROOT = Path(__file__).parents[4]
RULES = ROOT / "deploy" / "prometheus" / "open-messaging.rules.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"
OPERATIONS = ROOT / "docs" / "operations.md"
THROUGH_THE_EDGE = {"Shedding"}
"""Alerts whose condition the page shows among the problems that this host's edge reports."""
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())
GROUPS = re.findall(r"^  - name: (\S+)$", RULES.read_text(), re.MULTILINE)

EDGE = 'job="open-messaging",instance="edge:8080"'
OBSERVE = 'job="open-messaging",instance="vm:9464"'
GATEWAY = 'job="open-messaging-gateway",instance="https://events.example"'
# The samples of a healthy service, one every half minute.
WELL = {
    f"up{{{EDGE}}}": "1x160",
    f"om_edge_ready{{{EDGE}}}": "1x160",
    f'om_edge_shedding{{{EDGE},pid="1"}}': "0x160",
    f"om_edge_journal_bytes{{{EDGE}}}": "400x160",
    f"om_edge_journal_max_bytes{{{EDGE}}}": "1000x160",
    f'om_edge_broker{{{EDGE},pid="1",state="up"}}': "1x160",
    f'om_edge_broker{{{EDGE},pid="1",state="away"}}': "0x160",
    f"om_edge_journal_oldest_entry_seconds{{{EDGE}}}": "6x160",
    f"om_edge_platform_list_age_seconds{{{EDGE}}}": "90000x160",
    f'om_edge_oversized_total{{{EDGE},pid="1"}}': "0x160",
    f'om_edge_damaged_segments_total{{{EDGE},pid="1"}}': "0x160",
    f'om_edge_accepted_total{{{EDGE},pid="1"}}': "0+100x160",
    f'om_edge_refused_total{{{EDGE},pid="1",status="401"}}': "0x160",
    f'om_edge_refused_total{{{EDGE},pid="1",status="503"}}': "0x160",
    f'om_edge_answer_seconds_bucket{{{EDGE},pid="1",le="3.0"}}': "0+100x160",
    f'om_edge_answer_seconds_count{{{EDGE},pid="1"}}': "0+100x160",
    f"om_edge_disk_free_bytes{{{EDGE}}}": "500x160",
    f"om_edge_disk_bytes{{{EDGE}}}": "1000x160",
    f"om_edge_time_seconds{{{EDGE}}}": "0+30x160",
    f"up{{{GATEWAY}}}": "1x160",
    f"probe_success{{{GATEWAY}}}": "1x160",
    f'om_canary_stopped{{{OBSERVE},stage="broker"}}': "0x160",
    f'om_canary_stopped{{{OBSERVE},stage="unknown"}}': "1x3 0x160",
    f"probe_ssl_earliest_cert_expiry{{{GATEWAY}}}": "3000000x160",
    f'om_clock_ahead_seconds{{{OBSERVE},role="intake",worker="vm 1"}}': "0.1x160",
    f'om_queue_messages{{{OBSERVE},queue="open-messaging.events"}}': "5000x160",
    f"om_processed_events_highest_id{{{OBSERVE}}}": "0+100x160",
    f'om_worker_up{{{OBSERVE},role="intake",worker="vm 1"}}': "1x160",
    f"om_database_up{{{OBSERVE}}}": "1x160",
    f'om_dead_letters{{{OBSERVE},code="not_json"}}': "0x160",
    f"om_window_oldest_age_seconds{{{OBSERVE}}}": "12x160",
    f"om_conversations_unsettled{{{OBSERVE}}}": "0x160",
    f'om_settle_undecided_total{{{OBSERVE},worker="vm 1"}}': "0x160",
    f'om_settle_unverified_total{{{OBSERVE},worker="vm 1"}}': "0x160",
    f'om_delivery_oldest_due_age_seconds{{{OBSERVE},destination="crm"}}': "200x160",
    f'om_destination_down{{{OBSERVE},worker="vm 1",destination="crm"}}': "0x160",
    f'om_destination_refusing{{{OBSERVE},worker="vm 1",destination="crm"}}': "0x160",
    f'om_deliver_refused_total{{{OBSERVE},worker="vm 1",destination="crm",event_type="a"}}': "0x160",
    f'om_deliver_delivered_total{{{OBSERVE},worker="vm 1",destination="crm",event_type="a"}}': "0+100x160",
    f'om_deliver_destinations_digest{{{OBSERVE},worker="vm 1"}}': "7x160",
    f'om_deliver_destinations_digest{{{OBSERVE},worker="vm 2"}}': "7x160",
    f'om_destination_paused{{{OBSERVE},destination="crm"}}': "0x160",
    f"om_reconciliation_gaps{{{OBSERVE}}}": "3x160",
    f"om_reconciliation_age_seconds{{{OBSERVE}}}": "900x160",
    f"om_reconciliation_passed_over{{{OBSERVE}}}": "0x160",
    f"om_reconciliation_mismatches{{{OBSERVE}}}": "0x160",
    f"om_reconciliation_unreadable{{{OBSERVE}}}": "0x160",
    f'om_intake_processed_total{{{OBSERVE},worker="vm 1"}}': "0+900x160",
    f'om_intake_skipped_total{{{OBSERVE},worker="vm 1"}}': "0+90x160",
    f'om_intake_dead_lettered_total{{{OBSERVE},worker="vm 1"}}': "0x160",
    f"om_drift_names{{{OBSERVE}}}": "0x160",
}


def series(name, **labels):
    """Return WELL's key for the series with this metric name and these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    [key] = [key for key in WELL if key.startswith(f"{name}{{") and all(each in key for each in wanted)]
    return key


QUEUE = series("om_queue_messages")
FROM_DATABASE = {series("om_worker_up"): "1", series("om_processed_events_highest_id"): "0+100"}
BROKER_UP, BROKER_AWAY = (series("om_edge_broker", state=state) for state in ("up", "away"))
# Each case: an alert, the series that change after half an hour (60 samples), and two times in minutes after
# that. At the first time, the alert has not fired yet; at the second time, it has fired.
CASES = [
    ("EdgeDown", {series("up", instance="edge:8080"): "1x59 0x100"}, 0, 2),
    ("EdgeRefuses", {series("om_edge_ready"): "1x59 0x100"}, 0, 1),
    ("Unauthorised", {series("om_edge_refused_total", status="401"): "0x59 0+20x100"}, -1, 4),
    ("GatewayDown", {series("probe_success"): "1x59 0x100"}, 0, 2),
    ("GatewayDown", {series("up", job="open-messaging-gateway"): "1x59 0x100"}, 0, 2),
    ("Canary", {series("om_canary_stopped", stage="broker"): "0x59 1x100"}, -1, 1),
    ("Canary", {series("om_canary_stopped", stage="unknown"): "0x59 1x100"}, 2, 4),
    ("CertificateExpires", {series("probe_ssl_earliest_cert_expiry"): "3000000x59 1200000x100"}, 9, 11),
    ("DiskFills", {series("om_edge_disk_free_bytes"): "500x59 99x100"}, 9, 11),
    ("DiskFills", {series("om_edge_disk_free_bytes"): "500x59 500-3x100"}, 9, 45),
    ("Clock", {series("om_clock_ahead_seconds"): "0.1x59 -6x100"}, 4, 6),
    ("Clock", {series("om_edge_time_seconds"): "0+30x59 1806+30x100"}, 4, 6),
    ("BudgetBurns", {series("om_edge_refused_total", status="503"): "0x59 0+400x100"}, 1, 6),
    ("BudgetBurns", {series("om_edge_answer_seconds_bucket"): "0+100x59 5900x100"}, 1, 8),
    ("Shedding", {series("om_edge_shedding"): "0x59 1x100"}, 0, 1),
    ("JournalFills", {series("om_edge_journal_bytes"): "400x59 501x100"}, -1, 1),
    ("BrokerAway", {BROKER_UP: "1x59 0x100", BROKER_AWAY: "0x59 1x100"}, 0, 2),
    ("ProofLate", {series("om_edge_journal_oldest_entry_seconds"): "6x59 61x100"}, 0, 2),
    ("PlatformListOld", {series("om_edge_platform_list_age_seconds"): "90000x59 604801x100"}, 9, 11),
    ("SetAside", {series("om_edge_oversized_total"): "0x59 1x100"}, -1, 1),
    ("QueueNotDrained", {series("om_processed_events_highest_id"): "0+100x59 5900x100"}, 2, 6),
    # After two minutes without an intake worker, events in the queue raise QueueNotDrained, too.
    ("WorkerSilent", {series("om_worker_up"): "1x59 0x100"}, 0, 1),
    ("QueueNotDrained", {QUEUE: "900x160", series("om_worker_up"): "1x59 _x100"}, 1, 8),
    # While the database is away, no metric that is read from it is exported.
    ("QueueNotDrained", {key: f"{start}x59 _x100" for key, start in FROM_DATABASE.items()}, 1, 8),
    ("DatabaseAway", {series("om_database_up"): "1x59 0x100"}, 0, 2),
    ("DeadLetterShare", {series("om_intake_dead_lettered_total"): "0x59 0+900x100"}, -1, 1),
    ("DeadLetters", {series("om_dead_letters"): "0x59 1x100"}, 4, 6),
    ("WindowsLate", {series("om_window_oldest_age_seconds"): "12x59 61x100"}, 0, 2),
    ("ConversationsUnsettled", {series("om_conversations_unsettled"): "0x59 1x100"}, 0, 2),
    ("UpdatesUndecided", {series("om_settle_undecided_total"): "0x59 3x100"}, -1, 1),
    ("UpdatesUndecided", {series("om_settle_unverified_total"): "0x59 3x100"}, -1, 1),
    ("DeliveriesLate", {series("om_delivery_oldest_due_age_seconds"): "200x59 301x100"}, 0, 2),
    ("DestinationDown", {series("om_destination_down"): "0x59 1x100"}, 4, 6),
    ("DestinationRefusing", {series("om_destination_refusing"): "0x59 1x100"}, 0, 2),
    ("EventsRefused", {series("om_deliver_refused_total"): "0x59 0+20x100"}, 1, 6),
    ("DestinationsDiffer", {series("om_deliver_destinations_digest", worker="vm 2"): "7x59 8x100"}, 9, 11),
    ("DestinationPaused", {series("om_destination_paused"): "0x59 1x100"}, 9, 11),
    ("Gaps", {series("om_reconciliation_gaps"): "3x59 4x100"}, -1, 1),
    ("Gaps", {series("om_reconciliation_gaps"): "5000x59 4000x19 4001x80"}, 9, 11),
    ("ReconciliationLate", {series("om_reconciliation_age_seconds"): "900x59 3601x100"}, -1, 1),
    # This fault exists from the start, because its alert fires only after an hour.
    ("ConversationsPassedOver", {series("om_reconciliation_passed_over"): "2x160"}, 29, 31),
    ("ReconciliationMismatch", {series("om_reconciliation_mismatches"): "0x59 1x100"}, -1, 1),
    ("HistoryUnreadable", {series("om_reconciliation_unreadable"): "0x59 3x30 0x70"}, -1, 1),
    ("SuccessRateLow", {series("om_reconciliation_gaps"): "3x59 3+100x100"}, 10, 45),
    ("Drift", {series("om_drift_names"): "0x59 1x100"}, 9, 11),
]
ALONG = {"SuccessRateLow": ["Gaps"]}
"""For some alerts, the other alerts that rightly fire at the same time."""
GAPS = series("om_reconciliation_gaps")
FALLS = {"at once": "5000x59 1000x100", "bit by bit": "5000x59 4900-100x48 100x51"}
"""The number of gaps while retention deletes old gaps at night. No alert may fire in any minute."""
HOUR = 120 * 990
"""The number of events that are processed or skipped in an hour: 120 samples with 990 events each."""
SHARES = {
    "gaps": ("3x59 63x100", 1 - 60 / HOUR),
    "gaps after old ones were deleted": ("5000x59 4000x19 4060x80", 1 - 60 / HOUR),
    "gaps that a scrape missed": ("3x59 _x20 63x80", 1 - 60 / HOUR),
    "no gaps, and old ones are deleted": (FALLS["bit by bit"], 1),
}
"""For each case, a series of gaps, and the share of events that webhooks delivered in the first hour."""


def case(name, wrong, quiet, firing):
    return told(name, wrong, _firing(30 + quiet, name, is_quiet=True), _firing(30 + firing, name))


def told(name, wrong, *expected):
    return {
        "name": name,
        "interval": "30s",
        "input_series": [{"series": key, "values": wrong.get(key, WELL[key])} for key in WELL],
        "promql_expr_test": list(expected),
    }


def _share(value):
    """Return the expectation that the success rate has this value after an hour."""
    is_near = f"abs(open_messaging:success_ratio:7d - {value!r}) < bool 1e-9"
    return {"expr": is_near, "eval_time": "60m", "exp_samples": [{"labels": "{}", "value": 1}]}


def _firing(minute, name, *, is_quiet=False):
    """Return the expectation that at *minute* only *name*, unless *is_quiet*, and its ALONG alerts fire."""
    names = [*ALONG.get(name, []), *([] if is_quiet else [name])]
    return {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": f"{minute}m",
        "exp_samples": [{"labels": f'{{alertname="OpenMessaging{each}"}}', "value": 1} for each in names],
    }


FRUGAL = {"GOGC": "400", "GOMAXPROCS": "1"}
"""Settings of Go's runtime that make promtool collect garbage less often and save a third of the CPU time."""


@pytest.fixture
def promtool():
    ensure_prometheus()

    def run(*arguments):
        return subprocess.run(
            ["promtool", *arguments], env=os.environ | FRUGAL, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def rules_hold(promtool, tmp_path):
    """Return a function that evaluates the rules over time series and checks the expected alerts."""

    def hold(*tests, evaluation_interval="1m"):
        file = tmp_path / "rules.test.yml"
        content = {
            "rule_files": [str(RULES)],
            "evaluation_interval": evaluation_interval,
            # By default, promtool orders groups at random. An alert that is evaluated before the recording
            # rules reads their previous values, which are too old if the interval exceeds five minutes.
            "group_eval_order": GROUPS,
            "tests": tests,
        }
        # A JSON document is also a YAML document.
        file.write_text(json.dumps(content))
        tested = promtool("test", "rules", str(file))
        assert tested.returncode == 0, tested.stdout + tested.stderr

    return hold


CALM = {"expr": "count_over_time(ALERTS[70m])", "eval_time": "70m", "exp_samples": []}


def test_every_alert_fires_during_its_fault_and_none_fires_without_a_fault(rules_hold):
    rules_hold(told("well", {}, CALM), *(case(*each) for each in CASES))


def test_no_alert_fires_when_old_gaps_are_deleted(rules_hold):
    rules_hold(*(told(name, {GAPS: values}, CALM) for name, values in FALLS.items()))


def test_no_alert_fires_if_conversations_are_passed_over_for_less_than_an_hour(rules_hold):
    passed_over = {series("om_reconciliation_passed_over"): "0x9 2x89 0x60"}
    quiet = (_firing(minute, "", is_quiet=True) for minute in range(80))
    rules_hold(told("passed over for three quarters of an hour", passed_over, *quiet))


def test_the_success_rate_is_calculated_from_the_number_of_gaps(rules_hold):
    rules_hold(*(told(name, {GAPS: values}, _share(share)) for name, (values, share) in SHARES.items()))


def test_the_success_rate_is_unknown_if_no_comparison_was_finished(rules_hold):
    absent = {series("om_reconciliation_passed_over"): "_x160"}
    none = {"expr": "open_messaging:success_ratio:7d", "eval_time": "60m", "exp_samples": []}
    rules_hold(told("no comparison", absent, none))


HOUR_SAMPLES = 12
DAY = 24 * HOUR_SAMPLES
WEEK = 7 * DAY


@pytest.mark.parametrize(
    ("accepted", "sample", "firing"),
    [
        # On the second day, traffic is the same as on the first, and then stops for a while.
        (f"0+500x{DAY + 24} {(DAY + 24) * 500}x12", DAY + 22, False),
        (f"0+500x{DAY + 24} {(DAY + 24) * 500}x12", DAY + 32, True),
        # There is usually no traffic at this hour.
        (f"0+500x12 6000x{DAY + 40}", DAY + 32, False),
        # At this hour on the ninth day, there was no traffic a day before, but there was some a week before.
        (f"0+500x{WEEK} {WEEK * 500}x{DAY + 40}", WEEK + DAY + 32, True),
    ],
)
def test_the_silence_alert_compares_traffic_with_the_same_hour_a_day_and_a_week_ago(
    rules_hold, accepted, sample, firing
):
    test = {
        "name": accepted,
        "interval": "5m",
        "input_series": [{"series": series("om_edge_accepted_total"), "values": accepted}],
        "promql_expr_test": [_firing(5 * sample, "Silence", is_quiet=not firing)],
    }
    # The rules are evaluated over nine days; an interval of ten minutes halves the test's duration.
    rules_hold(test, evaluation_interval="10m")


def test_the_burn_rate_alert_fires_even_if_no_reconciliation_runs(rules_hold):
    wrong = {key: "_x160" for key in WELL if key.startswith("om_reconciliation")}
    wrong[series("om_edge_refused_total", status="503")] = "0x59 0+400x100"
    rules_hold(told("no reconciliation", wrong, _firing(36, "BudgetBurns")))


def test_prometheus_accepts_the_rules_and_the_configuration(promtool):
    checked = promtool("check", "config", str(RULES.with_name("prometheus.yml")))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_runbook_has_exactly_one_chapter_for_every_alert():
    assert re.findall(r"^## (OpenMessaging\w+)$", RUNBOOK.read_text(), re.MULTILINE) == ALERTS


def test_every_alert_links_to_its_chapter_of_the_runbook():
    links = re.findall(r"runbook_url: http://127.0.0.1:9464/runbook#(\w+)", RULES.read_text())
    assert links == [name.lower() for name in ALERTS]
    anchors = re.findall(r'<h2 id="(\w+)">', render_runbook(RUNBOOK.read_text()))
    assert set(links) <= set(anchors)
    assert set(NEXT_COMMANDS) <= set(ALERTS)


@pytest.mark.parametrize("name", NEXT_COMMANDS)
def test_the_next_command_of_the_status_page_is_in_the_alerts_chapter(name):
    [chapter] = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
    assert f"`{NEXT_COMMANDS[name]}`" in " ".join(chapter.split())
    assert "omctl reconcile" not in NEXT_COMMANDS[name]  # Without --since, it would start at the first day.


def test_the_documentation_lists_the_alerts_that_the_status_page_does_not_show():
    page = " ".join(OPERATIONS.read_text().split())
    [listed] = re.findall(r"The page does not show these alerts: (.*?)\.\s", page)
    assert (
        set(re.findall(r"\w+", listed))
        == {name.removeprefix("OpenMessaging") for name in ALERTS}
        - {name.removeprefix("OpenMessaging") for name in NEXT_COMMANDS}
        - THROUGH_THE_EDGE
    )


def test_every_alert_has_a_test_case():
    fired = {f"OpenMessaging{name}" for name, *_ in CASES} | {"OpenMessagingSilence"}
    assert fired == set(ALERTS)
