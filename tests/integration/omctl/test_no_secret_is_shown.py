"""Passwords are never shown in output, JSON, logs or tracebacks, whichever characters they contain."""

import logging
import re
import traceback

import pytest
from click.testing import CliRunner

from messaging.errors import OpenMessagingError
from omctl.__main__ import omctl
from tests.integration.workers.commands import USAGE_ERROR
from tests.servers import LOOPBACK, free_port
from tests.unit.omctl.test_commands import commands

PIECES = ("Kq7", "Wx9", "Vz3")
CHARACTERS = ["a", *(char for char in map(chr, range(1, 128)) if not char.isalnum())]
ARGUMENTS = {
    "setup": "--dry-run",
    "migrate": "--dry-run",
    "register": "--dry-run",
    "smoke": "--integration i --dry-run",
    "import-keys": "FILE --dry-run",
    "rotate-secret": "--dry-run",
    "ipranges": "",
    "check": "",
    "find": "m",
    "stats": "",
    "drift list": "",
    "drift accept": "kind name --dry-run",
    "dead-letters list": "",
    "dead-letters show": "m --body",
    "dead-letters replay": "m --dry-run",
    "dead-letters discard": "m --dry-run",
    "replay": "--dry-run --since 1h",
    "reconcile": "--dry-run",
    "ingest": "FILE --dry-run",
    "destinations resend": "crm --dry-run",
    "destinations remove": "crm --dry-run",
    "destinations backfill": "crm --since 1h --dry-run",
    "destinations abandon": "crm --dry-run",
    "destinations list": "",
    "destinations test": "crm",
    "destinations pause": "crm --dry-run",
    "destinations resume": "crm --dry-run",
    "erase": "--customer c --dry-run",
    "retain": "--dry-run",
    "sign": "FILE",
    "explain-signature": "FILE --header sha256=x",
    "filter check": "true",
    "filter test": "true FILE",
}
LEFT_OUT = {"install", "uninstall", "simulate"}
"""Commands that are not run: `install` and `uninstall` change this host; `simulate` retries for a minute."""


DESTINATIONS = """
[destinations.crm]
url = "https://crm.example/"
secret = "whsec_c2VjcmV0"
events = ["openmessaging:receipt"]
"""
REGISTRATION = 'url = "https://api.example/"\n[integration]\nname = "Ingest"\n[webhook]\nname = "Custom"\n'


def settings(password, port, directory):
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
        "OM_DESTINATIONS": str(directory / "destinations.toml"),
        "OM_REGISTRATION": str(directory / "registration.toml"),
    }


def test_every_command_has_arguments_here_or_is_left_out_for_a_stated_reason():
    assert {" ".join(path) for path, _ in commands()} == {*ARGUMENTS, *LEFT_OUT}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", [*ARGUMENTS, "check --settings"])
def test_no_command_shows_a_part_of_a_password(command, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    (tmp_path / "file").write_text("{}")
    (tmp_path / "destinations.toml").write_text(DESTINATIONS)
    (tmp_path / "registration.toml").write_text(REGISTRATION)
    words = f"{command} {ARGUMENTS.get(command, '')} --json".replace("FILE", str(tmp_path / "file")).split()
    port = free_port()
    for number, character in enumerate(CHARACTERS):
        variables = settings(character.join(PIECES), port, tmp_path)
        # To save time, most commands alternate between readable text and JSON from character to character.
        forms = (words, words[:-1]) if command.startswith("check") else (words[: -1 if number % 2 else None],)
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
