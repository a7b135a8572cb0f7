"""Passwords with any character stay out of output, JSON, logs and tracebacks."""

import logging
import string
import traceback

import pytest
from click.testing import CliRunner

from messaging.errors import OpenMessagingError
from omctl.__main__ import omctl
from tests.servers import LOOPBACK, free_port

PIECES = ("Kq7", "Wx9", "Vz3")
COMMANDS = [
    ("check",),
    ("check", "--json"),
    ("check", "--settings"),
    ("check", "--settings", "--json"),
    ("setup", "--dry-run"),
    ("migrate", "--dry-run"),
    ("dead-letters", "list"),
    ("stats", "--json"),
    ("destinations", "list"),
    ("replay", "--dry-run", "--since", "1h"),
]


def settings(password, port):
    login = f"user:{password}@{LOOPBACK}:{port}"
    return {
        "OM_AMQP_URL": f"amqp://{login}/%2F",
        "OM_MANAGEMENT_URL": f"http://{login}",
        "OM_DATABASE_URL": f"postgresql+psycopg://{login}/om",
        "OM_WEBHOOK_SECRETS": password,
        "OM_REQUIRED_HEADERS": f"X-Webhook-Source={password}",
        "OM_EVENTS_HEADERS": f"X-Api-Key={password}",
        "OM_GENESYS_REGION": "mypurecloud.com",
        "OM_GENESYS_CLIENT_ID": "client",
        "OM_GENESYS_CLIENT_SECRET": password,
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_a_part_of_a_password(command, caplog):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    for character in string.printable:
        variables = settings(character.join(PIECES), port)
        result = CliRunner().invoke(omctl, command, env=variables)
        shown = result.output + caplog.text
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            assert isinstance(result.exception, OpenMessagingError), repr(character)
            shown += "".join(traceback.format_exception(result.exception))
        assert [piece for piece in PIECES if piece in shown] == [], repr(character)
        caplog.clear()
