"""Run the service in the foreground until Ctrl-C."""

import json
import math
import os
import shlex
import shutil
import sys
import uuid
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.engine import URL, make_url

from deploy.local.brokers import broker
from deploy.local.leftovers import end_leftovers
from deploy.local.lock import only_one
from deploy.local.service import PROJECT, LocalService, environment_file, free_bind
from deploy.local.supervision import running
from messaging.environment import Environment
from omctl.signatures import curl_line, newest_secret
from webhook_api.settings import header_pairs
from webhook_api.signature import sign

READY_SECONDS = 60.0
NEWEST_EVENTS = (
    "SELECT id, event_type, outcome, reason, conversation_id FROM events_v1 ORDER BY id DESC LIMIT 10"
)


def run(var: Path) -> None:
    """Set everything up, run it until a signal comes, and stop it.

    Raises:
        ServerStartError: a server did not start, or a process ended by itself.
    """
    with ExitStack() as stack:
        stack.enter_context(only_one(var / "run.lock"))
        end_leftovers(var)
        bind = free_bind()
        service = LocalService(var, bind, stack.enter_context(broker(var)))
        service.enter()
        service.set_up()
        stack.enter_context(environment_file(var / "environment"))
        # By whichever signal: being told to end is no fault.
        stack.enter_context(suppress(SystemExit))
        wait = stack.enter_context(running(service.commands(), var))
        if wait(service.is_ready, READY_SECONDS):
            click.echo(f"\n{greeting(service)}\n")
        wait(lambda: False, math.inf)


def greeting(service: LocalService) -> str:
    """Return what a person is told once everything runs: what is where, and how to try it."""
    database = make_url(Environment().string("OM_DATABASE_URL"))
    facts = {
        "webhook": service.webhook_url,
        "health": f"{service.url}/health/ready",
        "broker": service.broker.description,
        "management": service.broker.management_page,
        "database": database.render_as_string(),
        "journal": os.environ["OM_STATE_DIRECTORY"],
        "processes": ", ".join(service.commands()),
        **({} if service.has_platform else {"reconcile": "runs where OM_GENESYS_REGION names a platform"}),
    }
    width = max(map(len, facts))
    shown = [f"  {name:<{width}}  {value}" for name, value in facts.items() if value]
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
    event = {
        "eventType": "openmessaging:conversation:new",
        "conversationId": str(uuid.uuid4()),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    signature = sign(body, newest_secret(environment)) if environment.strings("OM_WEBHOOK_SECRETS") else ""
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
