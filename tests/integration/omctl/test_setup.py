"""omctl setup runs with a real broker."""

import json

from click.testing import CliRunner

from messaging.admin import broker_session
from omctl.connect.prepare import setup


def run(vhost, *arguments):
    return CliRunner().invoke(setup, ["--json", *arguments], env={"OM_AMQP_URL": vhost.amqp_url})


def states(result):
    return {
        item["name"]: item["state"]
        for item in json.loads(result.output)["objects"]
        if item["kind"] != "binding"
    }


def test_exchanges_and_queues_are_created_only_once_and_never_in_a_dry_run(vhost):
    """Guarantee 4.2."""
    for _ in range(2):
        assert set(states(run(vhost, "--dry-run")).values()) == {"missing"}
    assert set(states(run(vhost)).values()) == {"created"}
    again = run(vhost)
    assert (set(states(again).values()), again.exit_code) == ({"exists"}, 0)


def test_a_queue_with_different_arguments_is_reported_and_everything_else_is_created(vhost):
    with broker_session((vhost.amqp_url,), client_name="test") as connection:
        connection.channel().queue_declare(
            "open-messaging.events", durable=True, arguments={"x-queue-type": "classic"}
        )
    result = run(vhost)
    found = states(result)
    assert result.exit_code == 1
    assert found.pop("open-messaging.events") == "differs"
    assert set(found.values()) == {"created"}
    assert "inequivalent arg" in result.output
