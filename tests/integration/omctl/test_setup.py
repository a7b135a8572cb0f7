"""omctl setup against a real broker."""

import json

import pytest
from click.testing import CliRunner

from messaging.admin import broker_session
from messaging.errors import ConfigurationError
from omctl.connect.prepare import setup


def run(vhost, *arguments):
    return CliRunner().invoke(setup, ["--json", *arguments], env={"OM_AMQP_URL": vhost.amqp_url})


def states(result):
    return {
        item["name"]: item["state"]
        for item in json.loads(result.output)["objects"]
        if item["kind"] != "binding"
    }


def test_an_empty_broker_gets_everything_and_a_second_run_finds_it(vhost):
    for _ in range(2):
        assert set(states(run(vhost, "--dry-run")).values()) == {"missing"}
    assert set(states(run(vhost)).values()) == {"created"}
    again = run(vhost)
    assert (set(states(again).values()), again.exit_code) == ({"exists"}, 0)


def test_a_queue_with_other_arguments_is_told_and_left_and_the_rest_is_made(vhost):
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


def test_a_wrong_virtual_host_is_a_wrong_setting(vhost):
    with (
        pytest.raises(ConfigurationError, match="OM_AMQP_URL"),
        broker_session((f"{vhost.amqp_url}x",), client_name="test"),
    ):
        pass
