"""Run the service, send it simulated events and settle the accounts."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import click
import requests
from rich.console import Console

from deploy.local.brokers import broker, configured, own_virtual_host
from deploy.local.leftovers import end_leftovers
from deploy.local.lock import only_one
from deploy.local.ports import LOOPBACK, answers, free_port
from deploy.local.process import ServerStartError
from deploy.local.service import DEFAULT_BIND, LocalService, run_quietly
from deploy.local.supervision import Wait, running
from messaging import topology
from messaging.environment import Environment
from omctl.signatures import newest_secret
from simulator.demonstration import (
    WITHHELD,
    Accounts,
    ConversationCounts,
    DemonstrationServices,
    ReconciliationResult,
    WithheldEvents,
    count_unfinished,
    demonstration_plan,
    has_subscriptions,
    read_accounts,
    read_counts,
)
from simulator.ledger import Ledger
from simulator.sender import RetryPolicy, Sender, WebhookEndpoint
from simulator.traffic import traffic
from workers.queue_depths import QueueDepths

EVENTS = 1000
CONNECTIONS = 16
PER_SECOND = 100.0
"""At once, a hundred updates would come within three seconds, and the platform, which is asked about one
after the other, would answer when their windows have closed."""

DRAIN_SECONDS = 120.0
QUEUES_ON_THE_WAY = (topology.EVENTS_QUEUE, topology.UNROUTED, topology.DEAD_LETTER_RECORDS)

NOTHING_MISSING, RECOVERED = 0, 3
"""Exit statuses of `omctl reconcile`."""

# What the environment says about these would let the demonstration touch data that are not its own.
OWN_SETTINGS = (
    "OM_BIND",
    "OM_DATABASE_URL",
    "OM_STATE_DIRECTORY",
    "OM_REQUIRED_HEADERS",
    "OM_GENESYS_REGION",
)


class Demonstration:
    """The events, on their way through a service that runs."""

    def __init__(self, service: LocalService, wait: Wait, withheld: WithheldEvents) -> None:
        self._service = service
        self._wait = wait
        self._withheld = withheld
        self._depths = QueueDepths((service.broker.management_url,), (service.broker.amqp_url,))

    def run(self) -> tuple[Accounts, ReconciliationResult]:
        """Block until everything has been sent, processed, compared and processed again.

        Raises:
            ServerStartError: a process ended in the middle, or it is not done in time.
        """
        self._wait_until(self._service.is_ready, "the edge is ready")
        self._wait_until(lambda: has_subscriptions(database_url()), "the destinations are known")
        ledger = self._service.var / "ledger.jsonl"
        self._send(ledger)
        click.echo("Waiting until the queue and the journal are empty, all is settled and delivered")
        self._wait_until(self._is_still, "all is processed")
        click.echo("Comparing with the platform's history")
        reconciled = self._withheld.compare(compare())
        self._wait_until(self._is_still, "what was missing is processed")
        return read_accounts(ledger, database_url(), self._service.broker.amqp_url), reconciled

    def _send(self, path: Path) -> None:
        click.echo(
            f"Telling {EVENTS} events, of which {WITHHELD} are never sent to {self._service.webhook_url}"
        )
        policy = RetryPolicy(delay=1.0)
        endpoint = WebhookEndpoint(
            self._service.webhook_url,
            secret=newest_secret(Environment()),
            timeout=policy.timeout,
            connections=CONNECTIONS,
        )
        posts = self._withheld.filter(list(traffic(demonstration_plan(EVENTS))))
        with Ledger(path) as ledger:
            sender = Sender(endpoint, posts, ledger, policy=policy, rate=PER_SECOND)
            summary = sender.run(CONNECTIONS, lambda _tally: None)
        endpoint.close()
        click.echo(f"{summary.answered} of {summary.posts} posts were answered 200")

    def _wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        if not self._wait(is_so, DRAIN_SECONDS):
            raise ServerStartError(f"Waited {DRAIN_SECONDS:.0f} s in vain until {what}")

    def _is_still(self) -> bool:
        # What is still in the journal may be published again: the accounts are final only without it.
        journal = requests.get(f"{self._service.url}/health/ready", timeout=5.0).json()["journal_bytes"]
        depths = self._depths.read()
        # A queue of which nothing is known is not empty.
        is_empty = all(depths.get(queue) == 0 for queue in QUEUES_ON_THE_WAY)
        return not journal and is_empty and not count_unfinished(database_url())


def demonstrate(var: Path) -> bool:
    """Demonstrate, print the accounts and return whether they agree."""
    directory = var / "demo"
    with ExitStack() as stack:
        stack.enter_context(only_one(var / "demo.lock"))
        end_leftovers(directory)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        found = stack.enter_context(broker(directory))
        if not found.management_url:
            raise ServerStartError("OM_MANAGEMENT_URL is needed beside OM_AMQP_URL, to see what waits")
        own = own_virtual_host(found) if configured() else nullcontext(found)
        for name in OWN_SETTINGS:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)
        behind = DemonstrationServices(free_port())
        os.environ.update(stack.enter_context(behind.serve(directory)))
        service = LocalService(directory, own_bind(), stack.enter_context(own))
        service.enter()
        service.set_up()
        register(service)
        log = directory / "service.log"
        click.echo(f"The processes write to {log}")
        commands = service.commands()
        # The comparison is the demonstration's own, when nothing is on its way.
        del commands["reconcile"]
        wait = stack.enter_context(running(commands, directory, output=log))
        accounts, reconciled = Demonstration(service, wait, WithheldEvents(behind.organisation.history)).run()
        counts = read_counts(database_url(), behind.inbox)
    return report(accounts, counts, reconciled)


def register(service: LocalService) -> None:
    """Have the demonstration's platform know where to post."""
    path = service.var / "registration.toml"
    path.write_text(f'url = "{service.webhook_url}"\n\n[integration]\nname = "Demonstration"\n')
    os.environ["OM_REGISTRATION"] = str(path)
    run_quietly([sys.executable, "-m", "omctl", "register"])


def compare() -> list[dict[str, Any]]:
    """Return the gaps that `omctl reconcile` finds; it waits until what was missing is processed."""
    command = [sys.executable, "-m", "omctl", "reconcile", "--since", "1h", "--json"]
    done = run_quietly(command, {NOTHING_MISSING, RECOVERED})
    found: list[dict[str, Any]] = json.loads(done)["gaps"]
    return found


def database_url() -> str:
    """Return the address of the demonstration's own database."""
    return os.environ["OM_DATABASE_URL"]


def own_bind() -> str:
    """Return the usual address, or a free one where that is in use."""
    return f"{LOOPBACK}:{free_port()}" if answers(8080) else DEFAULT_BIND


def report(accounts: Accounts, counts: ConversationCounts, reconciled: ReconciliationResult) -> bool:
    """Print the accounts, the lines for scripts last, and return whether they agree."""
    console = Console()
    console.print(accounts.outcome_table())
    console.print(accounts.reason_table())
    disagreements = [*accounts.disagreements(), *counts.disagreements(), *reconciled.disagreements()]
    for words in disagreements:
        click.echo(f"The accounts disagree: {words}", err=True)
    click.echo(f"conversation: {counts}")
    click.echo(f"reconcile: {reconciled}")
    click.echo(f"demo: {accounts.verdict}")
    if not disagreements:
        click.echo(accounts.conclusion(reconciled))
    return not disagreements
