"""omctl ingest publishes events from a file."""

import json
import time
from functools import partial

import pytest

from messaging.broker import addresses
from omctl.event_files import read_bodies
from omctl.repair import ingest as ingest_module
from omctl.repair.ingest import ingest as command
from tests.integration.workers.commands import run_omctl
from tests.integration.workers.consuming import depth
from tests.integration.workers.events import payload_of, said
from tests.waiting import wait_until

LINES = "\n".join(
    json.dumps(each)
    for each in (
        payload_of("eventbridge/customer-start"),
        payload_of("genesys/text"),
        said("a", conversation="c"),
    )
)


@pytest.fixture
def omctl(vhost):
    return partial(run_omctl, command, "-", "--rate", "0", body=LINES, OM_AMQP_URL=vhost.amqp_url)


def test_a_file_that_is_ingested_twice_takes_effect_once(omctl, channel, working, query):
    events = {"openmessaging:conversation:new": 1, "openmessaging:conversation:message": 2}
    assert omctl("--dry-run")["events"] == events
    assert depth(channel) == 0
    assert omctl()["events"] == events
    omctl()
    assert depth(channel) == 6

    with working():
        wait_until(lambda: query("SELECT sum(times_received) FROM processed_events") == [(6,)])
    assert query("SELECT source, count(*) FROM processed_events GROUP BY source") == [("ingest", 3)]
    assert sorted(query("SELECT status, message_count FROM conversations")) == [
        ("implied", 1),
        ("started", 1),
    ]


def test_a_file_may_be_read_for_longer_than_the_heartbeat_timeout(omctl, channel, monkeypatch):
    def read_slowly(file):
        for body in read_bodies(file):
            time.sleep(4.0)
            yield body

    monkeypatch.setattr(addresses, "HEARTBEAT_SECONDS", 1)
    monkeypatch.setattr(ingest_module, "read_bodies", read_slowly)
    assert sum(omctl()["events"].values()) == 3
    assert depth(channel) == 3


def test_unreadable_lines_are_reported_and_the_other_events_are_published(omctl, channel):
    told = omctl(body=f"{LINES}\nnonsense\n" + '{"eventType":"openmessaging:conversation:new"}\n', status=1)
    assert [(each["number"], each["code"]) for each in told["refused"]] == [
        (4, "not_json"),
        (5, "missing_field"),
    ]
    assert depth(channel) == 3
