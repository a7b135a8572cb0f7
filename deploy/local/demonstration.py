"""Run the service, send it simulated events and compare what every part of it has recorded."""

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console

from deploy.local.brokers import broker, named_broker, own_virtual_host
from deploy.local.ports import LOOPBACK
from deploy.local.process import ServerStartError, Wait, end_orphans, run_processes
from deploy.local.running import single_instance
from deploy.local.service import PLATFORM_PORT, LocalService, run_quietly, usual_or_free_port
from messaging import topology
from messaging.environment import Environment
from messaging.management import QueueDepths
from omctl.signatures import live_secrets
from simulator.accounts import Accounts, ReconciliationResult, find_disagreements, read_accounts
from simulator.demonstration import (
    COUNTS,
    SUBSCRIPTIONS_KNOWN,
    UNFINISHED,
    WITHHELD,
    WithheldEvents,
    demonstration_plan,
    query,
    serve_services,
)
from simulator.ledger import Ledger
from simulator.sender import RetryPolicy, Sender, WebhookEndpoint
from simulator.traffic import traffic

EVENTS = 1000
CONNECTIONS = 16
PER_SECOND = 100.0
"""Without a rate, a hundred updates would come within three seconds. The platform is asked about one after
the other, and would answer only after their windows have closed."""

DRAIN_SECONDS = 120.0
QUEUES_TO_DRAIN = (topology.EVENTS_QUEUE, topology.UNROUTED, topology.DEAD_LETTER_RECORDS)

SHOWN_COUNTS = ("settled", "superseded", "late", "delivered", "repeated", "disordered")

NOTHING_MISSING, RECOVERED = 0, 3
"""Exit statuses of `omctl reconcile`."""

OWN_SETTINGS = (
    "OM_BIND",
    "OM_DATABASE_URL",
    "OM_STATE_DIRECTORY",
    "OM_REQUIRED_HEADERS",
    "OM_GENESYS_REGION",
    "OM_METRICS_BIND",
    "OM_SETTINGS_FILE",
)
"""Taken out of the environment, so that the demonstration cannot touch data that is not its own."""


class Demonstration:
    """The events on their way through a running service."""

    def __init__(self, service: LocalService, wait: Wait, withheld: WithheldEvents) -> None:
        self._service = service
        self._wait = wait
        self._withheld = withheld
        self._database_url = os.environ["OM_DATABASE_URL"]
        self._depths = QueueDepths((service.broker.management_url,), (service.broker.amqp_url,))

    def run(self) -> tuple[Accounts, ReconciliationResult]:
        """Send, wait until everything is processed, reconcile, and wait again.

        Raises ServerStartError if a process ended, or it was not done in time.
        """
        self._wait_until(self._service.is_ready, "the edge is ready")
        self._wait_until(lambda: self._count(SUBSCRIPTIONS_KNOWN) > 0, "the destinations are known")
        ledger = self._service.var / "ledger.jsonl"
        self._send(ledger)
        click.echo("Waiting until queues and journal are empty, and everything is settled and delivered")
        self._wait_until(self._is_drained, "everything is processed")
        click.echo("Comparing with the platform's history")
        reconciled = self._withheld.compare(reconcile())
        self._wait_until(self._is_drained, "the missing events are processed")
        return read_accounts(ledger, self._database_url, self._service.broker.amqp_url), reconciled

    def _send(self, path: Path) -> None:
        url = self._service.webhook_url
        click.echo(f"Sending {EVENTS} events to {url}, except {WITHHELD} that are withheld on purpose")
        policy = RetryPolicy(delay=1.0)
        options: dict[str, Any] = {"timeout": policy.timeout, "connections": CONNECTIONS, "headers": {}}
        endpoint = WebhookEndpoint(url, secret=live_secrets(Environment())[0], **options)
        posts = self._withheld.filter(list(traffic(demonstration_plan(EVENTS))))
        with Ledger(path) as ledger:
            sender = Sender(endpoint, posts, ledger, policy=policy, rate=PER_SECOND)
            summary = sender.run(CONNECTIONS, lambda _tally: None)
        endpoint.close()
        click.echo(f"{summary.answered} of {summary.posts} posts, redeliveries included, were answered 200")

    def _wait_until(self, is_done: Callable[[], bool], goal: str) -> None:
        if not self._wait(is_done, DRAIN_SECONDS):
            raise ServerStartError(f"Waited {DRAIN_SECONDS:.0f} s in vain until {goal}")

    def _count(self, statement: str) -> int:
        return query(self._database_url, statement)["number"]

    def _is_drained(self) -> bool:
        # An entry in the journal may be published again: the accounts are final only without it.
        journal = requests.get(f"{self._service.url}/health/ready", timeout=5.0).json()["journal_bytes"]
        depths = self._depths.read()
        # A queue of unknown depth is not empty.
        is_empty = all(depths.get(queue) == 0 for queue in QUEUES_TO_DRAIN)
        return not journal and is_empty and not self._count(UNFINISHED)


def demonstrate(var: Path, *, keep: bool) -> bool:
    """Demonstrate, print the accounts and return whether they agree; with *keep*, run on until a signal."""
    with ExitStack() as stack:
        stack.enter_context(single_instance(var / "demo.lock"))
        directory = var / "demo"
        end_orphans(directory)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        found = stack.enter_context(broker(directory))
        if not found.management_url:
            raise ServerStartError(
                "OM_MANAGEMENT_URL is needed beside OM_AMQP_URL, to read the queues' depths"
            )
        own = own_virtual_host(found) if named_broker() else nullcontext(found)
        for name in OWN_SETTINGS:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        services = stack.enter_context(serve_services(directory, usual_or_free_port(PLATFORM_PORT)))
        os.environ.update(services.settings)
        bind = f"{LOOPBACK}:{usual_or_free_port(8080)}"
        service = LocalService(directory, bind, stack.enter_context(own))
        service.prepare()
        register(service)
        commands = service.commands()
        # The demonstration compares itself, when no event is on its way.
        del commands["reconcile"]
        log = directory / "service.log"
        wait = stack.enter_context(run_processes(commands, directory, output=log))
        pages = f"Status page: {service.status_page}\nSimulated platform: {os.environ['OM_GENESYS_API_URL']}/"
        click.echo(f"{pages}\nLog of all processes: {log}")
        withheld = WithheldEvents(services.organisation)
        accounts, reconciled = Demonstration(service, wait, withheld).run()
        counts = query(os.environ["OM_DATABASE_URL"], COUNTS) | services.inbox.counts()
        agree = report(accounts, counts, reconciled)
        if keep:
            click.echo(f"\nEverything keeps running until Ctrl-C.\n{pages}")
            wait(lambda: False, math.inf)
    return agree


def register(service: LocalService) -> None:
    """Register the service at the demonstration's platform."""
    path = service.var / "registration.toml"
    path.write_text(f'url = "{service.webhook_url}"\n\n[integration]\nname = "Demonstration"\n')
    os.environ["OM_REGISTRATION"] = str(path)
    run_quietly([sys.executable, "-m", "omctl", "register"])


def reconcile() -> Any:
    """Return the gaps that `omctl reconcile` finds and fills."""
    command = [sys.executable, "-m", "omctl", "reconcile", "--since", "1h", "--json"]
    return json.loads(run_quietly(command, {NOTHING_MISSING, RECOVERED}))["gaps"]


def report(accounts: Accounts, counts: Mapping[str, int], reconciled: ReconciliationResult) -> bool:
    """Print tables, one line for scripts of each comparison and the conclusion; return whether all agree."""
    console = Console()
    console.print(accounts.outcome_table())
    console.print(accounts.reason_table())
    shown = " ".join(f"{name}={counts[name]}" for name in SHOWN_COUNTS)
    click.echo(f"conversation: {shown}\nreconcile: {reconciled}\ndemo: {accounts.verdict}")
    disagreements = find_disagreements(accounts, counts, reconciled)
    for disagreement in disagreements:
        click.echo(f"The accounts disagree: {disagreement}", err=True)
    if not disagreements:
        click.echo(f"\n{accounts.conclusion(reconciled)}")
    return not disagreements
