"""Passwords are never shown in output, JSON, logs or tracebacks, whichever characters they contain."""

import logging
import re
import traceback

import pytest
from click.testing import CliRunner

from messaging.errors import OpenMessagingError
from omctl.__main__ import omctl
from tests.integration.omctl.calls import ALONE, CALLS, write_files
from tests.integration.workers.commands import USAGE_ERROR
from tests.servers import LOOPBACK, free_port

PIECES = ("Kq7", "Wx9", "Vz3")
CHARACTERS = ["a", *(char for char in map(chr, range(1, 128)) if not char.isalnum())]
LEFT_OUT = ("install", "uninstall", "simulate")
"""Commands that are not run: `install` and `uninstall` change this host; `simulate` retries for a minute."""


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
        "OM_GENESYS_API_URL": f"http://{LOOPBACK}:{port}",
        "OM_GENESYS_CLIENT_ID": "client",
        "OM_GENESYS_CLIENT_SECRET": password,
        "OM_DESTINATIONS": "destinations.toml",
        "OM_REGISTRATION": "registration.toml",
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", [call for call in (*CALLS, *ALONE) if not call.startswith(LEFT_OUT)])
def test_no_command_shows_a_part_of_a_password(call, caplog, tmp_path, monkeypatch):
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    port = free_port()
    words = [*call.format(edge=f"http://{LOOPBACK}:{port}").split(), "--json"]
    for number, character in enumerate(CHARACTERS):
        password = character.join(PIECES)
        write_files(tmp_path, password)
        variables = settings(password, port)
        # To save time, most commands alternate between readable text and JSON from character to character.
        forms = (words, words[:-1]) if call.startswith("check") else (words[: -1 if number % 2 else None],)
        for form in forms:
            result = CliRunner().invoke(omctl, form, env=variables)
            assert result.exit_code != USAGE_ERROR, result.output
            shown = result.output + caplog.text
            if result.exception is not None and not isinstance(result.exception, SystemExit):
                assert isinstance(result.exception, OpenMessagingError), repr(character)
                shown += "".join(traceback.format_exception(result.exception))
            assert [piece for piece in PIECES if piece in shown] == [], repr(character)
            assert not re.search("must name|has no destination", shown), shown
            caplog.clear()
