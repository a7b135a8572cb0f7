"""Each command reports a server's outage, hang or refusal in one sentence, and prints valid JSON."""

import json
import logging
import os
import pwd
import re
import secrets
import socket
import sys
import threading
import time
from contextlib import contextmanager, nullcontext

import pytest
import structlog
from sqlalchemy import Engine, create_engine, event, make_url, text

from messaging.management import ManagementApi
from omctl.__main__ import run
from simulator.serving import serve_app
from tests.integration.omctl.calls import ALONE, BROKER, CALLS, CHECK, DATABASE, PLATFORM, write_files
from tests.servers.postgresql import PrivatePostgreSQL
from tests.services import declare_topology
from tests.unit.omctl.test_commands import commands
from webhook_api.signature import secret_id
from workers.db.engine import prefetch
from workers.db.migrations import schema

SECRET = "constructed-secret-0123456789"
LIBRARIES = re.compile(
    r"Traceback|\w+(?:Error|Exception|Timeout)\b|psycopg|sqlalchemy|pika|SQLSTATE|SQLITE_|urllib3|HTTPConn|<class"
)
MAX_SECONDS = {True: 10.0, False: 20.0}
AREAS = {"settings", "broker", "management", "database", "edge", "journal"}
AWAY = "127.0.0.1:9"

FAILING = {
    "dead-letters show m",
    "destinations backfill crm --since 1h --dry-run",
    "simulate ftp://nowhere",
}
"""Calls that end with an error although all servers work."""

READING = (
    "migrate --dry-run",
    "find m",
    "stats",
    "drift list",
    "dead-letters list",
    "dead-letters show m",
    "destinations list",
    CHECK,
)
"""Calls that read the database and that an operator runs to find out why the service hangs."""

WRITING = (
    "drift accept x",
    "destinations pause crm",
    "migrate --down base --yes",
    "import-keys keys",
    "erase --conversation c --reason test",
    CHECK,
)
"""Calls that fail if the database is read-only."""


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
def edge():
    """Yield the address of an edge that has not verified any signature with its only secret."""
    report = {
        "status": "ready",
        "problems": [],
        "processes": [{"pid": 1, "signatures": {secret_id(SECRET.encode()): 0}}],
    }

    def answer(_environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(report).encode()]

    with serve_app(answer) as url:
        yield url


@pytest.fixture
def settings(vhost, rabbitmq, migrated_postgres_url, organisation, platform, tmp_path, monkeypatch):  # noqa: PLR0917
    """The settings of a working service; each call runs in the service's directory."""
    declare_topology(vhost.amqp_url)
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, SECRET)
    organisation.registrations.register_both("https://api.example/", {}, SECRET, is_signed=False)
    next(iter(organisation.registrations.integrations.values()))["name"] = "Ingest"
    next(iter(organisation.registrations.webhooks.values()))["name"] = "Custom"
    return platform | {
        "OM_AMQP_URL": vhost.amqp_url,
        "OM_MANAGEMENT_URL": rabbitmq.management_url,
        "OM_DATABASE_URL": migrated_postgres_url,
        "OM_DESTINATIONS": str(tmp_path / "destinations.toml"),
        "OM_REGISTRATION": str(tmp_path / "registration.toml"),
        "OM_STATE_DIRECTORY": str(tmp_path),
        "OM_WEBHOOK_SECRETS": SECRET,
        "OM_ALLOW_UNSIGNED": "true",
        "OM_BIND": AWAY,
    }


@pytest.fixture
def stranger(migrated_postgres_url):
    """The address of the database with a role that may connect but may not read any table."""
    url, role = make_url(migrated_postgres_url), f"stranger-{secrets.token_hex(4)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret'"))
        yield url.set(username=role, password="secret").render_as_string(hide_password=False)
        connection.execute(text(f'DROP ROLE "{role}"'))
    engine.dispose()


@pytest.fixture(scope="module")
def freezing(tmp_path_factory):
    """Yield a separate server with all tables, for the test to freeze."""
    with PrivatePostgreSQL(tmp_path_factory.mktemp("frozen"), durable=False) as server:
        schema.upgrade(server.url())
        yield server


def asking(*servers):
    """Return the calls that connect to any of these servers."""
    return [call for call, asked in CALLS.items() if not asked.isdisjoint(servers)]


def list_states(settings, hung, unmigrated, stranger, unreadable):
    """Return each state's settings, the calls that fail in it, and a pattern that their errors match."""
    unanswered = "no broker in OM_AMQP_URL answers"
    management = re.sub("//.*@", "//wrong:wrong@", settings["OM_MANAGEMENT_URL"])
    # `reconcile` repeats each request five times, which takes longer than the other commands are allowed to.
    of_platform = [call for call in asking(PLATFORM) if "reconcile" not in call]
    return {
        "broker away": ({"OM_AMQP_URL": f"amqp://u:p@{AWAY}/v"}, asking(BROKER), unanswered),
        "broker hung": (
            {"OM_AMQP_URL": f"amqp://u:p@{hung}/v"},
            ["setup --dry-run", CHECK],
            f"{unanswered}|within 6 s",
        ),
        "broker refusing": (
            {"OM_AMQP_URL": settings["OM_AMQP_URL"] + "x"},
            asking(BROKER),
            "refuses this user, password or virtual host",
        ),
        "broker full": ({}, asking(BROKER), "the broker's connection limit is reached"),
        "database away": (
            {"OM_DATABASE_URL": f"postgresql+psycopg://u:p@{AWAY}/om"},
            asking(DATABASE),
            "OM_DATABASE_URL does not answer: check that it runs",
        ),
        "database hung": (
            {"OM_DATABASE_URL": f"postgresql+psycopg://u:p@{hung}/om"},
            ["drift list", CHECK],
            "does not answer",
        ),
        "database not migrated": (
            {"OM_DATABASE_URL": unmigrated},
            [call for call in asking(DATABASE) if "migrate" not in call],
            "omctl migrate",
        ),
        "management API away": ({"OM_MANAGEMENT_URL": f"http://{AWAY}"}, [CHECK], "cannot be reached"),
        "management API hung": (
            {"OM_MANAGEMENT_URL": f"http://{hung}"},
            [CHECK],
            "does not answer within 3 s",
        ),
        "management API refusing": ({"OM_MANAGEMENT_URL": management}, [CHECK], "answers 401"),
        "platform away": (
            {"OM_GENESYS_API_URL": f"http://{AWAY}"},
            of_platform,
            "the platform's login service cannot be reached: check OM_GENESYS_REGION",
        ),
        "platform refusing": (
            {"OM_GENESYS_CLIENT_SECRET": "wrong"},
            asking(PLATFORM),
            "the platform answered 40",
        ),
        "edge away": (
            {},
            ["rotate-secret --file secret --edge http://127.0.0.1:9 --dry-run"],
            "check that it runs",
        ),
        "no settings": (dict.fromkeys(settings, ""), asking(BROKER, DATABASE, PLATFORM), "OM_[A-Z_]+"),
        "no permission for the settings": (
            {"OM_SETTINGS_FILE": str(unreadable)},
            asking(BROKER, DATABASE, PLATFORM),
            # The user may not read the files that the calls name either.
            "OM_SETTINGS_FILE must name a readable text file|'(keys|event.json)': Permission denied",
        ),
        "no permission in the database": (
            {"OM_DATABASE_URL": stranger},
            asking(DATABASE),
            "does not let its user do this",
        ),
        "database read-only": ({}, WRITING, "is read-only"),
    }


@contextmanager
def limit_connections(settings, vhost):
    """Make the broker refuse every connection to the virtual host."""
    api, path = ManagementApi(settings["OM_MANAGEMENT_URL"]), f"vhost-limits/{vhost.name}/max-connections"
    api.send("PUT", path, {"value": 0}).raise_for_status()
    yield
    api.send("DELETE", path).raise_for_status()


def find_faults(command, sentence, status, captured, seconds):
    """Yield each fault in the output of a command that failed."""
    # `check` shows the database's address, because it is a setting.
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
    elif "steps" not in document and not document.get("error", {}).get("message"):
        yield "has no error in its JSON"


@contextmanager
def drop_rights(unreadable):
    """Run as a user that may not read the file *unreadable*; root can read every file."""
    unreadable.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.timeout(300)
def test_each_command_reports_in_one_plain_sentence_which_server_fails(  # noqa: PLR0917  # fixtures
    settings, vhost, edge, hung, postgres_url, stranger, tmp_path, monkeypatch, capsys
):
    faults, unreadable = [], tmp_path / "environment"
    unreadable.touch()
    states = list_states(settings, hung, postgres_url, stranger, unreadable)
    limits = {
        "broker full": lambda: limit_connections(settings, vhost),
        "no permission for the settings": lambda: drop_rights(unreadable),
    }
    for state, (changes, calls, sentence) in states.items():
        if state == "database read-only":
            make_read_only(settings["OM_DATABASE_URL"])
        with limits.get(state, nullcontext)(), monkeypatch.context() as patched:
            for name, value in {**settings, **changes}.items():
                patched.setenv(name, value)
            for call in calls:
                begun = time.monotonic()
                status = invoke(call, edge)
                captured = capsys.readouterr()
                found = find_faults(call, sentence, status, captured, time.monotonic() - begun)
                faults += [(state, call, fault, captured.err[-300:]) for fault in found]
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("call", READING)
def test_each_command_that_reads_reports_a_database_that_freezes_after_the_connection(
    settings, freezing, call, monkeypatch, capsys
):
    for name, value in {**settings, "OM_DATABASE_URL": freezing.url()}.items():
        monkeypatch.setenv(name, value)
    if call != CHECK:
        # The probe then waits five seconds for a new connection; `check` itself ends after eight.
        monkeypatch.setattr(prefetch, "PROBE_SECONDS", 1.0)
    statements = []

    def freeze(*_):
        statements.append(call)
        freezing.freeze()

    event.listen(Engine, "before_cursor_execute", freeze)
    try:
        begun = time.monotonic()
        status = invoke(call)
        captured = capsys.readouterr()
        seconds = time.monotonic() - begun
    finally:
        event.remove(Engine, "before_cursor_execute", freeze)
        freezing.resume()
    sentence = "did not end within 8 s" if call == CHECK else "does not answer in time: check whether it"
    assert statements
    assert not list(find_faults(call, sentence, status, captured, seconds))


def make_read_only(url):
    """Make the database read-only for every later session."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    engine.dispose()


def invoke(call, edge=""):
    try:
        return run([*call.format(edge=edge).split(), "--json"], sys.stderr)
    except SystemExit as ended:
        return ended.code
    finally:
        # The log goes to a stream that is closed at the end of this test.
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()


def test_each_command_prints_its_json_as_one_object(settings, edge, monkeypatch, capsys):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    faults = []
    for call in (*CALLS, *ALONE):
        status = invoke(call, edge)
        printed = capsys.readouterr()
        document = json.loads(printed.out)
        is_plain = not re.search(r"\d{4}-\d\d-\d\d \d\d:", json.dumps(document))
        has_error = "error" in document
        # `uninstall --dry-run` fails on a host without systemd.
        is_expected = has_error == (call in FAILING) or call == "uninstall --dry-run"
        if not (isinstance(document, dict) and is_plain and is_expected and has_error <= bool(status)):
            faults.append((call, status, document, printed.err[-300:]))
    assert not faults, "\n".join(map(str, faults))


def test_the_calls_cover_every_command():
    calls = [f"{call} " for call in (*CALLS, *ALONE)]
    names = [f"{' '.join(path)} " for path, _ in commands()]
    assert [name for name in names if not any(call.startswith(name) for call in calls)] == []


@pytest.mark.parametrize(
    "call",
    [["simulate", "http://"], ["simulate", "http://["], ["find", "\udcff"], ["drift", "accept", "\udcff"]],
)
def test_a_malformed_argument_is_reported_in_one_plain_sentence(settings, monkeypatch, capsys, call):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run(call, None) in {1, 2}
    printed = capsys.readouterr().err
    assert printed.splitlines()[-1].startswith("omctl: ")
    assert not LIBRARIES.search(printed)
