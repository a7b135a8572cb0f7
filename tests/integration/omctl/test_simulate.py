"""omctl simulate runs against a real HTTP server whose answers the test controls."""

import json
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from flask import Flask, request

from omctl.develop.simulate import make_plan, simulate
from simulator.ledger import read_ledger
from simulator.serving import serve_app
from simulator.traffic import longest_span
from webhook_api.signature import SignatureVerifier

SECRET = "constructed-secret-0123456789"


class Receiver:
    """Counts the requests with each body and answers with `answer(count, body)`."""

    def __init__(self, answer):
        self.seen = Counter()
        self.forged = 0
        self._answer = answer
        self._lock = threading.Lock()

    def accept(self):
        body, header = request.get_data(), request.headers.get("X-Hub-Signature-256", "").encode()
        with self._lock:
            self.seen[body] += 1
            self.forged += not SignatureVerifier((SECRET.encode(),)).is_genuine(body, header)
            times = self.seen[body]
        return "", self._answer(times, body), {"Retry-After": "0"}


@contextmanager
def receiver(answer):
    app, server = Flask(__name__), Receiver(answer)
    app.post("/webhooks")(server.accept)
    with serve_app(app) as url:
        server.url = f"{url}/webhooks"
        yield server


def run(url, *options):
    arguments = [url, "--json", "--retry-seconds", "0.05", *options]
    environment = {"OM_WEBHOOK_SECRETS": SECRET, "OM_REQUIRED_HEADERS": ""}
    result = CliRunner().invoke(simulate, arguments, env=environment, catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def test_every_body_is_signed_sent_and_recorded_in_the_ledger(tmp_path):
    path = tmp_path / "ledger.jsonl"
    mix = ("--duplicates", "20", "--malformed", "10", "--dialect", "both", "--disorder", "20")
    with receiver(lambda _times, _body: 200) as server:
        exit_code, summary = run(server.url, "--events", "300", "--ledger", str(path), *mix)
    rows = read_ledger(path)
    assert exit_code == 0
    assert server.forged == 0
    assert summary["requests"] == server.seen.total() > 300
    assert len(rows) == len(server.seen)
    assert all(row.answered for row in rows)


@pytest.mark.parametrize(
    ("answer", "status", "by_status", "times"),
    [
        (lambda times: 200 if times == 3 else 429, 0, {"200": 5, "429": 10}, 3),
        (lambda _times: 503, 1, {"503": 30}, 6),
        (lambda _times: 401, 1, {"401": 5}, 1),
    ],
)
def test_an_event_is_retried_as_the_platform_retries_it(tmp_path, answer, status, by_status, times):
    path = tmp_path / "ledger.jsonl"
    with receiver(lambda times, _body: answer(times)) as server:
        exit_code, summary = run(server.url, "--events", "5", "--duplicates", "0", "--ledger", str(path))
    assert (exit_code, summary["by_status"], set(server.seen.values())) == (status, by_status, {times})
    assert (summary["unanswered"], summary["retries"]) == (5 * status, 5 * (times - 1))
    assert {(row.attempts, row.answered) for row in read_ledger(path)} == {(times, not status)}


def test_a_refused_connection_counts_as_a_missing_answer():
    exit_code, summary = run("http://127.0.0.1:1/webhooks", "--events", "2", "--duplicates", "0")
    assert exit_code == 1
    assert summary["by_status"] == {"no answer: no connection could be made": 12}


def test_an_event_is_retried_after_a_late_answer():
    def late_once(times, _body):
        time.sleep(0.5 if times == 1 else 0)
        return 200

    with receiver(late_once) as server:
        exit_code, summary = run(server.url, "--events", "1", "--duplicates", "0", "--timeout-seconds", "0.2")
    assert exit_code == 0
    assert summary["by_status"]["no answer: timed out"] >= 1


def test_the_events_of_a_seed_end_in_the_past_and_are_the_same_all_week():
    monday = datetime(2026, 11, 30, 0, 5, tzinfo=UTC)
    options = {"events": 1000, "conversations": 0, "seed": 7}
    early, late = (make_plan(now, **options) for now in (monday, monday + timedelta(days=6, hours=23)))
    assert early == late
    assert early.start + longest_span(1000, 100) <= monday
