"""Events handed in from a file: through the broker, into intake."""

import json

import pytest
from click.testing import CliRunner

from omctl.repair.ingest import ingest as command
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
    def run(*arguments, body=LINES, status=0):
        environment = {"OM_AMQP_URL": vhost.amqp_url}
        words = ["-", "--json", "--rate", "0", *arguments]
        result = CliRunner().invoke(command, words, input=body, env=environment, catch_exceptions=False)
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)

    return run


def test_what_a_file_holds_takes_effect_once_however_often_it_is_handed_in(omctl, channel, working, query):
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


def test_a_rehearsal_publishes_nothing(omctl, channel):
    assert sum(omctl("--dry-run")["events"].values()) == 3
    assert depth(channel) == 0


def test_what_cannot_be_read_is_told_of_and_its_neighbours_are_published(omctl, channel):
    told = omctl(body=f"{LINES}\nnonsense\n" + '{"eventType":"openmessaging:conversation:new"}\n', status=1)

    assert [(each["number"], each["code"]) for each in told["refused"]] == [
        (4, "not_json"),
        (5, "missing_field"),
    ]
    assert depth(channel) == 3
