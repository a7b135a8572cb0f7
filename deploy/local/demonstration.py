"""Run the service, send it simulated events, and check that all records of those events agree."""

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console

from deploy.local.brokers import broker, named_broker, own_virtual_host
from deploy.local.process import LOOPBACK, ServerStartError, Wait, end_orphans, run_processes
from deploy.local.running import single_instance
from deploy.local.service import PLATFORM_PORT, LocalService, pick_port, run_quietly
from messaging import topology
from messaging.environment import Environment
from messaging.management import QueueDepths
from omctl.signatures import live_secrets
from simulator.accounts import Accounts, find_disagreements, read_accounts
from simulator.demonstration import (
    COUNTS,
    SUBSCRIPTIONS_KNOWN,
    UNFINISHED,
    WITHHELD,
    compare_gaps,
    demonstration_plan,
    query,
    serve_services,
    withhold,
)
from simulator.ledger import Ledger
from simulator.platform import Organisation
from simulator.sender import RetryPolicy, WebhookEndpoint, WebhookSender
from simulator.traffic import Post, traffic

EVENTS = 1000
CONNECTIONS = 16
PER_SECOND = 100.0
"""Events sent per second. Without this limit, a hundred routing updates would arrive within three seconds.
Settle queries the platform about one update at a time, so some answers would miss their windows."""

DRAIN_SECONDS = 120.0
QUEUES_TO_DRAIN = (topology.EVENTS_QUEUE, topology.UNROUTED, topology.DEAD_LETTER_RECORDS)

SHOWN_COUNTS = {
    "conversation": ("settled", "superseded", "late", "delivered", "repeated", "disordered"),
    "reconcile": ("missing", "recovered", "false"),
}

NOTHING_MISSING, RECOVERED = 0, 3
"""Exit statuses of `omctl reconcile` that the demonstration expects."""

OWN_SETTINGS = (
    "OM_BIND",
    "OM_DATABASE_URL",
    "OM_STATE_DIRECTORY",
    "OM_REQUIRED_HEADERS",
    "OM_GENESYS_REGION",
    "OM_METRICS_BIND",
    "OM_SETTINGS_FILE",
)
"""Settings that are removed from the environment, so that the demonstration changes only its own data."""


def process_events(
    service: LocalService, wait: Wait, organisation: Organisation
) -> tuple[Accounts, dict[str, int]]:
    """Send the events, reconcile, and return the results of both; raise ServerStartError if a step fails."""
    database_url, ledger = os.environ["OM_DATABASE_URL"], service.var / "ledger.jsonl"
    depths = QueueDepths((service.broker.management_url,), (service.broker.amqp_url,))

    def is_drained() -> bool:
        # The accounts are final only when the journal is empty: its entries might be published again.
        journal = requests.get(f"{service.url}/health/ready", timeout=5.0).json()["journal_bytes"]
        known = depths.read()
        # A queue of unknown depth does not count as empty.
        is_empty = all(known.get(queue) == 0 for queue in QUEUES_TO_DRAIN)
        return not journal and is_empty and not query(database_url, UNFINISHED)["number"]

    def wait_until(is_done: Callable[[], bool], goal: str) -> None:
        if not wait(is_done, DRAIN_SECONDS):
            raise ServerStartError(f"Timed out after {DRAIN_SECONDS:.0f} s while waiting until {goal}")

    wait_until(service.is_ready, "the edge is ready")
    wait_until(lambda: query(database_url, SUBSCRIPTIONS_KNOWN)["number"] > 0, "the destinations are known")
    posts, withheld = withhold(list(traffic(demonstration_plan(EVENTS))), organisation)
    send(posts, service.webhook_url, ledger)
    click.echo("Waiting until queues and journal are empty, and everything is settled and delivered")
    wait_until(is_drained, "everything is processed")
    click.echo("Comparing with the platform's history")
    command = [sys.executable, "-m", "omctl", "reconcile", "--since", "1h", "--json"]
    gaps = json.loads(run_quietly(command, {NOTHING_MISSING, RECOVERED}))["gaps"]
    reconciled = compare_gaps(gaps, withheld)
    wait_until(is_drained, "the missing events are processed")
    return read_accounts(ledger, database_url, service.broker.amqp_url), reconciled


def send(posts: Sequence[Post], url: str, path: Path) -> None:
    """Send the posts to *url*, and record the answers in the ledger at *path*."""
    click.echo(f"Sending {EVENTS} events to {url}, except {WITHHELD} that are withheld on purpose")
    policy = RetryPolicy((1.0,) * 5)
    options: dict[str, Any] = {"timeout": policy.timeout, "connections": CONNECTIONS, "headers": {}}
    endpoint = WebhookEndpoint(url, secret=live_secrets(Environment())[0], **options)
    with Ledger(path) as ledger, closing(endpoint):
        sender = WebhookSender(endpoint, iter(posts), ledger, policy=policy, rate=PER_SECOND)
        summary = sender.run(CONNECTIONS, lambda _tally: None)
    click.echo(f"{summary.answered} of {summary.posts} posts, redeliveries included, were answered 200")


def demonstrate(var: Path, *, keep: bool) -> bool:
    """Run the demonstration and print the accounts; return whether they agree (if *keep*, after a signal)."""
    with ExitStack() as stack:
        stack.enter_context(single_instance(var / "demo.lock"))
        directory = var / "demo"
        end_orphans(directory)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        found = stack.enter_context(broker(directory))
        if not found.management_url:
            raise ServerStartError("Set OM_MANAGEMENT_URL too: it is needed to read the queues' depths")
        own = own_virtual_host(found) if named_broker() else nullcontext(found)
        for name in OWN_SETTINGS:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        services = serve_services(directory, pick_port(PLATFORM_PORT))
        organisation, inbox, settings = stack.enter_context(services)
        os.environ.update(settings)
        service = LocalService(directory, f"{LOOPBACK}:{pick_port(8080)}", stack.enter_context(own))
        service.prepare()
        register(service)
        commands = service.commands()
        # Start no reconcile worker: the demonstration itself reconciles when no event is in transit.
        del commands["reconcile"]
        log = directory / "service.log"
        wait = stack.enter_context(run_processes(commands, directory, output=log))
        pages = f"Status page: {service.status_page}\nSimulated platform: {os.environ['OM_GENESYS_API_URL']}/"
        click.echo(f"{pages}\nLog of all processes: {log}")
        accounts, reconciled = process_events(service, wait, organisation)
        counts = query(os.environ["OM_DATABASE_URL"], COUNTS) | inbox.counts() | reconciled
        agree = report(accounts, counts)
        if keep:
            click.echo(f"\nEverything keeps running until Ctrl-C.\n{pages}")
            wait(lambda: False, math.inf)
    return agree


def register(service: LocalService) -> None:
    """Register the service's webhook with the simulated platform."""
    path = service.var / "registration.toml"
    path.write_text(f'url = "{service.webhook_url}"\n\n[integration]\nname = "Demonstration"\n')
    os.environ["OM_REGISTRATION"] = str(path)
    run_quietly([sys.executable, "-m", "omctl", "register"])


def report(accounts: Accounts, counts: Mapping[str, int]) -> bool:
    """Print the tables, the counts, and the conclusion or the disagreements; return whether all agree."""
    console = Console()
    console.print(accounts.outcome_table())
    console.print(accounts.reason_table())
    for title, names in SHOWN_COUNTS.items():
        click.echo(f"{title}: " + " ".join(f"{name}={counts[name]}" for name in names))
    click.echo(f"demo: {accounts.verdict}")
    disagreements = find_disagreements(accounts, counts)
    for disagreement in disagreements:
        click.echo(f"The accounts disagree: {disagreement}", err=True)
    if not disagreements:
        click.echo(f"\n{accounts.conclusion(counts)}")
    return not disagreements
