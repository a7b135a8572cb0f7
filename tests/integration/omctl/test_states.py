"""The errors of every command while a server is away, hung or refusing, and the JSON of every command."""

import json
import logging
import re
import socket
import sys
import threading
import time

import pytest
import structlog
from sqlalchemy import create_engine, text

from omctl.__main__ import run
from tests.services import declare_topology

LIBRARIES = re.compile(
    r"Traceback|\w+(?:Error|Exception|Timeout)\b|psycopg|sqlalchemy|pika|SQLSTATE|SQLITE_|urllib3|HTTPConn|<class"
)
MAX_SECONDS = {True: 10.0, False: 20.0}
AREAS = {"settings", "broker", "management", "database", "edge", "journal"}
AWAY = "127.0.0.1:9"
CHECK = ("check",)

BROKER = (("setup", "--dry-run"), ("dead-letters", "replay", "--dry-run"), ("ingest", __file__))
DATABASE = (
    ("migrate", "--dry-run"),
    ("stats",),
    ("drift", "list"),
    ("dead-letters", "list"),
    ("dead-letters", "show", "m"),
    ("destinations", "list"),
    ("destinations", "abandon", "crm", "--reason", "test"),
    ("replay", "--since", "1h", "--dry-run"),
    ("retain", "--dry-run"),
    ("find", "m"),
)
WRITING = (("drift", "accept", "x"), ("destinations", "pause", "crm"), ("migrate", "--down", "base", "--yes"))


@pytest.fixture(autouse=True)
def no_thread_left():
    """Wait for the threads that `omctl check` abandons at its deadline."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)


@pytest.fixture
def hung():
    """Yield the address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def settings(vhost, rabbitmq, migrated_postgres_url, tmp_path):
    """The settings of a working service."""
    declare_topology(vhost.amqp_url)
    (tmp_path / "event.json").write_text(
        '{"eventType":"openmessaging:conversation:new","conversationId":"c","timestamp":"2024-05-15T14:32:10Z"}'
    )
    (tmp_path / "destinations.toml").write_text(
        '[destinations.crm]\nurl = "https://crm.example/"\nsecret = "whsec_c2VjcmV0"\n'
        'events = ["openmessaging:receipt"]\n'
    )
    return {
        "OM_AMQP_URL": vhost.amqp_url,
        "OM_MANAGEMENT_URL": rabbitmq.management_url,
        "OM_DATABASE_URL": migrated_postgres_url,
        "OM_DESTINATIONS": str(tmp_path / "destinations.toml"),
        "OM_STATE_DIRECTORY": str(tmp_path),
        "OM_WEBHOOK_SECRETS": "constructed-secret-0123456789",
        "OM_BIND": AWAY,
    }


def list_states(settings, hung, unmigrated, tmp_path):
    """Return each state: its settings, the commands that fail in it, and a pattern of their error."""
    unanswered = "no broker of OM_AMQP_URL answers"
    return {
        "broker away": ({"OM_AMQP_URL": f"amqp://u:p@{AWAY}/v"}, BROKER, unanswered),
        "broker hung": ({"OM_AMQP_URL": f"amqp://u:p@{hung}/v"}, BROKER[:1], f"{unanswered}|within 8 s"),
        "broker refusing": (
            {"OM_AMQP_URL": settings["OM_AMQP_URL"] + "x"},
            BROKER[:2],
            "refuses this user, password or virtual host",
        ),
        "database away": (
            {"OM_DATABASE_URL": f"postgresql+psycopg://u:p@{AWAY}/om"},
            DATABASE,
            "OM_DATABASE_URL does not answer: check that it runs",
        ),
        "database hung": (
            {"OM_DATABASE_URL": f"postgresql+psycopg://u:p@{hung}/om"},
            DATABASE[1:2],
            "does not answer",
        ),
        "database not migrated": ({"OM_DATABASE_URL": unmigrated}, DATABASE[1:], "omctl migrate"),
        "management API away": ({"OM_MANAGEMENT_URL": f"http://{AWAY}"}, (), "cannot be reached"),
        "management API hung": ({"OM_MANAGEMENT_URL": f"http://{hung}"}, (), "does not answer within 3 s"),
        "no settings": (dict.fromkeys(settings, ""), BROKER[:1] + DATABASE, "OM_(AMQP|DATABASE)_URL"),
        "no permission": ({"OM_SETTINGS_FILE": str(tmp_path)}, DATABASE, "OM_SETTINGS_FILE"),
        "database read-only": ({}, WRITING, "is read-only"),
    }


def find_faults(command, sentence, status, captured, seconds):
    """Yield the faults of a failed command's output."""
    # The address of the database is a setting that `check` shows.
    printed = (captured.out + captured.err).replace("postgresql+psycopg://", "")
    document = json.loads(captured.out)
    if not status:
        yield "exit status 0"
    if not re.search(sentence, printed):
        yield f"does not match {sentence}"
    if found := LIBRARIES.search(printed):
        yield f"shows {found[0]}"
    if seconds > MAX_SECONDS[command == CHECK]:
        yield f"takes {seconds:.1f} s"
    if command == CHECK:
        checked = {finding["area"] for finding in document["findings"]}
        yield from (f"does not check {area}" for area in sorted(AREAS - checked))
    elif "error" not in document or not document["error"]["message"]:
        yield "has no error in its JSON"


@pytest.mark.timeout(300)
def test_each_command_reports_in_one_plain_sentence_which_server_fails(  # noqa: PLR0917  # fixtures
    settings, hung, postgres_url, tmp_path, monkeypatch, capsys
):
    faults = []
    for state, (changes, commands, sentence) in list_states(settings, hung, postgres_url, tmp_path).items():
        if state == "database read-only":
            make_read_only(settings["OM_DATABASE_URL"])
        for command in (*commands, *(() if state == "database read-only" else (CHECK,))):
            with monkeypatch.context() as patched:
                for name, value in {**settings, **changes}.items():
                    patched.setenv(name, value)
                begun = time.monotonic()
                status = invoke(command)
                captured = capsys.readouterr()
            found = find_faults(command, sentence, status, captured, time.monotonic() - begun)
            faults += [(state, " ".join(command), fault, captured.err[-300:]) for fault in found]
    assert not faults, "\n".join(map(str, faults))


def make_read_only(url):
    """Make the database read-only for every later session."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()


def invoke(command):
    try:
        return run([*command, "--json"], sys.stderr)
    except SystemExit as ended:
        return ended.code
    finally:
        # The stream of this test is closed after it.
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()


@pytest.mark.parametrize(
    "command",
    [
        *DATABASE,
        *BROKER[:2],
        ("reconcile",),
        ("check", "--settings"),
        ("erase", "--conversation", "c", "--dry-run"),
        ("drift", "accept", "x", "--dry-run"),
        ("destinations", "pause", "crm", "--dry-run"),
        ("destinations", "resend", "--dry-run"),
        ("destinations", "backfill", "crm", "--since", "1h", "--dry-run"),
        ("filter", "check", "channel.type == 'custom'"),
        ("filter", "test", "channel.type == 'custom'"),
        ("sign", __file__),
        ("explain-signature", __file__, "--header", "x"),
        ("ingest", __file__, "--dry-run"),
        ("ipranges", "--from", "addresses"),
        ("install", "--dry-run"),
        ("uninstall", "--dry-run"),
        ("rotate-secret", "--dry-run"),
        ("register", "--dry-run"),
        ("simulate", "ftp://nowhere"),
    ],
    ids=" ".join,
)
def test_each_command_prints_its_json_as_one_object(settings, tmp_path, monkeypatch, capsys, command):
    (tmp_path / "addresses").write_text("192.0.2.0/24\n")
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    status = invoke(command)
    document = json.loads(capsys.readouterr().out)
    assert isinstance(document, dict)
    assert ("error" in document) <= bool(status)
    assert not re.search(r'"\d{4}-\d\d-\d\d \d\d:', json.dumps(document)), "a time is not RFC 3339"
