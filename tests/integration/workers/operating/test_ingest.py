"""omctl ingest publishes events from a file."""

import json
from functools import partial

import pytest

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
    assert omctl()["events"] == {
        "openmessaging:conversation:new": 1,
        "openmessaging:conversation:message": 2,
    }
    omctl()
    assert depth(channel) == 6

    with working():
        wait_until(lambda: query("SELECT sum(deliveries) FROM processed_events") == [(6,)])
    assert query("SELECT source, count(*) FROM processed_events GROUP BY source") == [("ingest", 3)]
    assert sorted(query("SELECT status, message_count FROM conversations")) == [
        ("implied", 1),
        ("started", 1),
    ]


def test_a_dry_run_of_ingest_publishes_nothing(omctl, channel):
    assert sum(omctl("--dry-run")["events"].values()) == 3
    assert depth(channel) == 0


def test_unreadable_lines_are_reported_and_the_others_are_published(omctl, channel):
    told = omctl(body=f"{LINES}\nnonsense\n" + '{"eventType":"openmessaging:conversation:new"}\n', status=1)
    assert [(each["number"], each["code"]) for each in told["refused"]] == [
        (4, "not_json"),
        (5, "missing_field"),
    ]
    assert depth(channel) == 3
