"""Run the service in the foreground until Ctrl-C."""

import fcntl
import math
import os
import shlex
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.engine import URL, make_url

from deploy.local.brokers import broker
from deploy.local.process import ServerStartError, end_orphans, run_processes
from deploy.local.service import PLATFORM_PORT, PROJECT, LocalService, environment_file, free_bind, pick_port
from messaging.environment import Environment
from omctl.develop.simulate import register_edge
from omctl.signatures import curl_line, live_secrets
from simulator.platform import Organisation, serve_platform
from simulator.traffic import compact, platform_timestamp
from webhook_api.settings import parse_headers
from webhook_api.signature import sign

READY_SECONDS = 60.0
NEWEST_EVENTS = (
    "SELECT id, event_type, outcome, reason, conversation_id FROM events_v1 ORDER BY id DESC LIMIT 10"
)


def run(var: Path) -> None:
    """Run the service until a signal arrives; raise ServerStartError if a process fails or ends first."""
    with ExitStack() as stack:
        stack.enter_context(single_instance(var / "run.lock"))
        end_orphans(var)
        service = LocalService(var, free_bind(), stack.enter_context(broker(var)))
        service.prepare()
        stack.enter_context(environment_file(var / "environment"))
        # A signal raises SystemExit. Suppress it, so that the command ends without an error.
        stack.enter_context(suppress(SystemExit))
        wait = stack.enter_context(run_processes(service.commands(), var))
        if wait(service.is_ready, READY_SECONDS):
            # Register the service, so that the simulated platform posts its events to the service's webhook.
            organisation, environment = Organisation("simulated", "simulated"), Environment()
            register_edge(organisation, service.webhook_url, environment)
            database_url = environment.string("OM_DATABASE_URL")
            platform = serve_platform(organisation, pick_port(PLATFORM_PORT), database_url)
            text = greet(service, stack.enter_context(platform))
            (var / "greeting").write_text(f"{text}\n")
            click.echo(f"\n{text}\n\n`cat var/greeting` shows this again.\n")
        wait(lambda: False, math.inf)


@contextmanager
def single_instance(path: Path) -> Iterator[None]:
    """Hold a lock during a `with` block; raise ServerStartError if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise ServerStartError(
                f"The service already runs here as process {file.read().strip()}: stop it first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def greet(service: LocalService, platform_url: str) -> str:
    """Return a text that lists the addresses of everything that is running, and commands to try it out."""
    database = make_url(Environment().string("OM_DATABASE_URL"))
    facts = {
        "webhook": service.webhook_url,
        "status page": service.status_page,
        "simulated platform": f"{platform_url}/ (play customer and agent; each message becomes a webhook)",
        "health": f"{service.url}/health/ready",
        "broker": service.broker.description,
        "management": service.broker.management_page,
        "database": database.render_as_string(),
        "journal": os.environ["OM_STATE_DIRECTORY"],
        "processes": ", ".join(service.commands()),
        **({} if service.has_platform else {"reconcile": "runs if OM_GENESYS_REGION is set"}),
    }
    width = max(map(len, facts))
    shown = [f"  {name:<{width}}  {value}" for name, value in facts.items() if value]
    settings = f". {shlex.quote(os.path.relpath(service.var / 'environment', PROJECT))} && omctl check"
    hints = {
        "Send an event (Ctrl-C stops everything):": event_command(service),
        "See what happened to the newest ones:": query_command(database),
        "Use omctl in another terminal:": settings,
    }
    return "\n".join(["Running:", *shown, *(f"\n{hint}\n\n{line}" for hint, line in hints.items())])


def event_command(service: LocalService) -> str:
    """Return a shell command that posts a signed event to the service."""
    environment = Environment()
    event = {
        "eventType": "openmessaging:conversation:new",
        "conversationId": str(uuid.uuid4()),
        "timestamp": platform_timestamp(datetime.now(UTC)),
    }
    body = compact(event)
    signature = sign(body, live_secrets(environment)[0]) if environment.strings("OM_WEBHOOK_SECRETS") else ""
    headers = dict(parse_headers(environment.strings("OM_REQUIRED_HEADERS")))
    return curl_line(service.webhook_url, signature, body, None, headers)


def query_command(database: URL) -> str:
    """Return a shell command that queries the newest events; psql itself prompts for the password."""
    name = str(database.database)
    if database.get_backend_name() == "postgresql":
        address = URL.create("postgresql", database.username, None, database.host, database.port, name)
        return shlex.join(["psql", str(address), "-c", NEWEST_EVENTS])
    if shutil.which("sqlite3"):
        return shlex.join(["sqlite3", "-box", name, NEWEST_EVENTS])
    program = f'import sqlite3; print(*sqlite3.connect("{name}").execute("{NEWEST_EVENTS}"), sep="\\n")'
    return shlex.join([sys.executable, "-c", program])
