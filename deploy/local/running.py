"""Run the service in the foreground until Ctrl-C."""

import json
import os
import shlex
import shutil
import sys
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
import requests
from sqlalchemy.engine import URL, make_url

from deploy.local.brokers import broker
from deploy.local.leftovers import end_leftovers
from deploy.local.lock import only_one
from deploy.local.service import PROJECT, LocalService, environment_file, free_bind
from deploy.local.supervision import Supervisor
from messaging.environment import Environment
from omctl.curl import curl_line
from omctl.secrets import newest_secret
from webhook_api.settings import header_pairs
from webhook_api.signature import sign

READY_SECONDS = 60.0
NEWEST_EVENTS = (
    "SELECT id, event_type, outcome, reason, conversation_id FROM events_v1 ORDER BY id DESC LIMIT 10"
)


def run(var: Path) -> str | None:
    """Set everything up, run it and stop it; returns which process ended by itself, if one did."""
    with ExitStack() as stack:
        stack.enter_context(only_one(var / "run.lock"))
        end_leftovers(var)
        bind = free_bind()
        service = LocalService(var, bind, stack.enter_context(broker(var)))
        service.enter()
        service.set_up()
        stack.enter_context(environment_file(var / "environment"))
        return Supervisor(service.commands(), var).run(beside=lambda: greet(service))


def greet(service: LocalService) -> None:
    """Wait for the edge, then say what runs where and how to try it."""
    if wait_until_ready(service):
        click.echo("\n" + greeting(service) + "\n")


def wait_until_ready(service: LocalService) -> bool:
    """Block until the edge takes events in; False where it has not within a minute."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{service.url}/health/ready", timeout=1.0).ok:
                return True
        except requests.RequestException:
            pass
        time.sleep(0.1)
    return False


def greeting(service: LocalService) -> str:
    """Return what a person is told once everything runs."""
    database = make_url(Environment().string("OM_DATABASE_URL"))
    running = {
        "webhook": service.webhook_url,
        "health": f"{service.url}/health/ready",
        "broker": service.broker.description,
        "management": service.broker.management_page,
        "database": database.render_as_string(),
        "journal": os.environ["OM_STATE_DIRECTORY"],
    }
    width = max(map(len, running))
    shown = [f"  {name:<{width}}  {value}" for name, value in running.items() if value]
    settings = f". {shlex.quote(os.path.relpath(service.var / 'environment', PROJECT))} && omctl check"
    hints = {
        "Send an event (Ctrl-C stops everything):": try_it(service),
        "See what became of the newest ones:": look_in_sql(database),
        "Work on it from another terminal:": settings,
    }
    return "\n".join(["Running:", *shown, *(f"\n{what}\n\n{line}" for what, line in hints.items())])


def try_it(service: LocalService) -> str:
    """Return a shell line that posts a signed event of this moment."""
    environment = Environment()
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = json.dumps(
        {
            "eventType": "openmessaging:conversation:new",
            "conversationId": str(uuid.uuid4()),
            "timestamp": now,
        },
        separators=(",", ":"),
    ).encode()
    unsigned = environment.boolean("OM_ALLOW_UNSIGNED", default=False)
    signature = "" if unsigned else sign(body, newest_secret(environment))
    headers = header_pairs(environment.strings("OM_REQUIRED_HEADERS"))
    return curl_line(service.webhook_url, signature, body, None, headers)


def look_in_sql(database: URL) -> str:
    """Return a shell line that asks the database; psql asks for the password itself."""
    name = str(database.database)
    if database.get_backend_name() == "postgresql":
        address = URL.create("postgresql", database.username, None, database.host, database.port, name)
        return shlex.join(["psql", str(address), "-c", NEWEST_EVENTS])
    if shutil.which("sqlite3"):
        return shlex.join(["sqlite3", "-box", name, NEWEST_EVENTS])
    program = f'import sqlite3; print(*sqlite3.connect("{name}").execute("{NEWEST_EVENTS}"), sep="\\n")'
    return shlex.join([sys.executable, "-c", program])
