"""Ten thousand open conversations in real time: the platform's own limiter counts, the process is killed.

It takes most of an hour, nearly all of it asleep: `make test-nightly`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from messaging.clock import SystemClock
from simulator.platform import Organisation, create_platform
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, native
from tests.services import declare_topology
from workers.genesys import GenesysClient, GenesysSettings, PlatformUnavailableError, RequestBudget
from workers.parsing import moment_of
from workers.reconcile import PlatformHistory
from workers.tables import (
    STATE_OPEN,
    TIMER,
    begin_reconciliation,
    note_conversation,
    note_reconciliation,
    transact,
)

LIMIT = 300
CONVERSATIONS = int(os.environ.get("OM_TEST_CONVERSATIONS", "10000"))
NEWS = CONVERSATIONS // 50
"""Conversations that went on since they were compared; every other of them without a webhook."""

BATCH = 500
HOUR_US = 3_600_000_000
IS_NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

pytestmark = [
    pytest.mark.skipif(not IS_NIGHTLY, reason="takes most of an hour: make test-nightly"),
    pytest.mark.timeout(0),
]


class CountingOrganisation(Organisation):
    """Notes its busiest minute, wherever it begins."""

    most = 0

    def seconds_until_room(self, request):
        room = super().seconds_until_room(request)
        self.most = max(self.most, self.asked_in_the_last_minute())
        return room


class InProcess:
    """The same history without network and limit, to say what had been compared before."""

    def __init__(self, organisation):
        beside = Organisation("client", "secret", requests_per_minute=10**9)
        beside.history = organisation.history
        self._client = create_platform(beside).test_client()
        self._headers = {"Authorization": f"Bearer {beside.issue_token()}"}

    def get(self, path):
        return self._client.get(path, headers=self._headers).get_json()


@pytest.fixture
def organisation():
    return CountingOrganisation("client", CLIENT_SECRET, requests_per_minute=LIMIT)


def take_in(intake, organisation, payloads):
    for payload in payloads:
        organisation.history.record(payload)
    for start in range(0, len(payloads), BATCH):
        assert not intake(*[deliver(payload) for payload in payloads[start : start + BATCH]])


def conversation(number):
    return f"c-{number:05}"


def have_compared(engine, organisation):
    """Leave what a comparison of half an hour ago would have."""
    history = PlatformHistory(InProcess(organisation))
    now_us = SystemClock().now_us()
    prints = {conversation(each): history.overview(conversation(each)) for each in range(CONVERSATIONS)}

    def note(connection):
        begun = begin_reconciliation(
            connection,
            started_by=TIMER,
            compared_from_us=now_us - 2 * HOUR_US,
            compared_to_us=now_us - HOUR_US // 2,
            page=None,
            holder="before",
            now_us=now_us - HOUR_US,
        )
        for each, overview in prints.items():
            note_conversation(connection, each, STATE_OPEN, overview.fingerprint, SystemClock().now_us())
        finished_at = moment_of(now_us - HOUR_US // 2)
        note_reconciliation(connection, begun.reconciliation_id, "before", now_us, finished_at=finished_at)

    transact(engine, note)


@pytest.fixture
def start(vhost, migrated_postgres_url, platform_url, tmp_path):
    """Start a reconcile process; it has one comparison to do."""
    declare_topology(vhost.amqp_url)
    processes = []

    def run(name):
        environment = {
            **os.environ,
            "OM_AMQP_URL": vhost.amqp_url,
            "OM_DATABASE_URL": migrated_postgres_url,
            "OM_GENESYS_API_URL": platform_url,
            "OM_GENESYS_CLIENT_ID": "client",
            "OM_GENESYS_CLIENT_SECRET": CLIENT_SECRET,
            "OM_GENESYS_REQUESTS_PER_MINUTE": str(LIMIT),
            "OM_RECONCILE_MARGIN_SECONDS": "60",
            "OM_RECONCILE_SECONDS": "3600",
            "PYTHONPATH": str(Path(__file__).parents[4]),
        }
        command = [sys.executable, "-m", "workers", "reconcile", "--name", name]
        with (tmp_path / f"{name}.log").open("w") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def migrated_url(migrated_postgres_url):
    return migrated_postgres_url


def routing_updates(engine, platform_url):
    """Return what asks for one conversation's state, as settling does, out of the same budget."""
    settings = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET, LIMIT)
    client = GenesysClient(settings, RequestBudget(engine, "client", LIMIT, SystemClock()))

    def ask():
        try:
            return len(client.get(f"/api/v2/conversations/messages/{conversation(0)}")) > 0
        except PlatformUnavailableError:
            return False

    return ask


def test_ten_thousand_conversations_stay_within_the_limit_and_a_kill_costs_what_was_in_hand(  # noqa: PLR0917  # fixtures
    engine, organisation, platform_url, intake, working, start, capsys
):
    numbers = range(CONVERSATIONS)
    old = [native(each, conversation=conversation(each), after_s=-3000) for each in numbers]
    take_in(intake, organisation, old)
    have_compared(engine, organisation)
    news = [
        native(100_000 + each, conversation=conversation(each * 50), after_s=-600) for each in range(NEWS)
    ]
    take_in(intake, organisation, news[::2])
    lost = news[1::2]
    for payload in lost:
        organisation.history.record(payload)

    ask = routing_updates(engine, platform_url)
    answered, waited = 0, 0

    def stands():
        with engine.connect() as connection:
            sql = "SELECT conversations, missing, finished_at FROM reconciliations ORDER BY id DESC LIMIT 1"
            return connection.execute(text(sql)).one()

    def watch(condition):
        nonlocal answered, waited
        while not condition(stands()):
            assert process.poll() is None
            is_answered = ask()
            answered, waited = answered + is_answered, waited + (not is_answered)
            time.sleep(1.0)

    began = time.monotonic()
    with working():
        process = start("first")
        # The newest comparison on record is the one before, until this process begins its own.
        watch(lambda row: row.finished_at is None)
        watch(lambda row: row.conversations >= 0.4 * CONVERSATIONS)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at, killed_after = stands().conversations, time.monotonic() - began
        process = start("second")
        watch(lambda row: row.finished_at is not None)
        process.send_signal(signal.SIGTERM)
        process.wait()
    seconds = time.monotonic() - began

    with engine.connect() as connection:
        sql = "SELECT platform_message_id, became FROM reconciliation_gaps_v1"
        gaps = {tuple(row) for row in connection.execute(text(sql))}
        read = connection.execute(text("SELECT conversations FROM reconciliations ORDER BY id DESC LIMIT 1"))
        conversations = read.scalar_one()
    wanted = {payload["id"] for payload in lost}
    recovered = {message for message, became in gaps if became == "recovered"}
    report = {
        "conversations": conversations,
        "requests": len(organisation.requests),
        "of_routing_updates": answered,
        "routing_updates_that_waited": waited,
        "busiest_minute": organisation.most,
        "refused": organisation.refused,
        "killed_after_conversations": killed_at,
        "killed_after_s": round(killed_after),
        "seconds": round(seconds),
        "missing": len(gaps),
        "recovered": len(recovered & wanted),
        "false": len({message for message, _ in gaps} - wanted),
    }
    with capsys.disabled():
        print(f"\nreconcile: {json.dumps(report)}")
    assert gaps == {(message, "recovered") for message in wanted}
    assert (organisation.refused, conversations) == (0, CONVERSATIONS)
    assert organisation.most <= LIMIT
    # The conversations, those with news once more, and perhaps the one that was in hand.
    of_conversations = [each for each in organisation.requests if "/conversations/messages/" in each]
    assert 0 <= len(of_conversations) - answered - CONVERSATIONS - NEWS <= 2
