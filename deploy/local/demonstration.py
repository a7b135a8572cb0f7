"""Run the service, send it simulated events and settle the accounts."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from pathlib import Path

import click
import requests
from rich.console import Console

from deploy.local.accounts import Accounts, read_accounts, reasons_of, table_of
from deploy.local.brokers import broker, configured, own_virtual_host
from deploy.local.leftovers import end_leftovers
from deploy.local.lock import only_one
from deploy.local.losses import LOST, Losses, Reconciled, plan_of
from deploy.local.management import ManagementApi, virtual_host_of
from deploy.local.ports import LOOPBACK, answers, free_port
from deploy.local.process import ServerStartError
from deploy.local.running import wait_until_ready
from deploy.local.service import DEFAULT_BIND, LocalService, run_quietly
from deploy.local.services_behind import (
    ConversationCounts,
    ServicesBehind,
    is_registered,
    read_counts,
    unfinished,
)
from deploy.local.supervision import Supervisor
from messaging import topology
from messaging.environment import Environment
from omctl.secrets import newest_secret
from simulator.ledger import Ledger
from simulator.sender import RetryPolicy, Sender, WebhookEndpoint
from simulator.traffic import traffic

EVENTS = 1000
CONNECTIONS = 16
DRAIN_SECONDS = 120.0

# What the environment says about these would let the demonstration touch data that are not its own.
OWN_SETTINGS = (
    "OM_BIND",
    "OM_DATABASE_URL",
    "OM_STATE_DIRECTORY",
    "OM_REQUIRED_HEADERS",
    "OM_GENESYS_REGION",
    "OM_GENESYS_LOGIN_URL",
)


class Demonstration:
    """The service with fresh data, the events, and what can be said about them afterwards."""

    def __init__(self, service: LocalService, losses: Losses) -> None:
        self._service = service
        self._losses = losses
        self.reconciled: Reconciled | None = None
        self._ledger = service.var / "ledger.jsonl"
        self._log = service.var / "service.log"
        self._supervisor = Supervisor(service.commands(), service.var, output=self._log)
        self._is_drained = False

    def run(self) -> Accounts:
        """Block until everything has been sent, processed and stopped.

        Raises:
            ServerStartError: the service did not start, or ended in the middle.
        """
        ended = self._supervisor.run(beside=self._send_and_end)
        if ended or not self._is_drained:
            raise ServerStartError(f"{ended or 'Interrupted, or not drained in time'}; see {self._log}")
        return read_accounts(self._ledger, database_url(), self._service.broker.amqp_url)

    def _send_and_end(self) -> None:
        try:
            if wait_until_ready(self._service) and self._wait_until(lambda: is_registered(database_url())):
                self._send()
                click.echo("Waiting until the queue and the journal are empty, all is settled and delivered")
                if self._wait_until(self._is_still):
                    click.echo("Comparing with the platform's history")
                    self.reconciled = self._losses.reconcile()
                    self._is_drained = self._wait_until(self._is_still)
        finally:
            self._supervisor.end()

    def _send(self) -> None:
        click.echo(f"Telling {EVENTS} events, of which {LOST} are never sent to {self._service.webhook_url}")
        policy = RetryPolicy(delay=1.0)
        endpoint = WebhookEndpoint(
            self._service.webhook_url,
            secret=newest_secret(Environment()),
            timeout=policy.timeout,
            connections=CONNECTIONS,
        )
        posts = self._losses.withhold(list(traffic(plan_of(EVENTS))))
        with Ledger(self._ledger) as ledger:
            sender = Sender(endpoint, posts, ledger, policy=policy, rate=0.0)
            summary = sender.run(CONNECTIONS, lambda _tally: None)
        endpoint.close()
        click.echo(f"{summary.answered} of {summary.posts} posts were answered 200")

    def _wait_until(self, is_so: Callable[[], bool]) -> bool:
        """Block until something is so; False where it has not become so in time."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            if is_so():
                return True
            time.sleep(0.5)
        return False

    def _is_still(self) -> bool:
        # What is still in the journal may be published again: the accounts are final only without it.
        return self._on_its_way() == 0

    def _on_its_way(self) -> int:
        journal = requests.get(f"{self._service.url}/health/ready", timeout=5.0).json()["journal_bytes"]
        broker = self._service.broker
        api, virtual_host = ManagementApi(broker.management_url), virtual_host_of(broker.amqp_url)
        queues = (topology.EVENTS_QUEUE, topology.UNROUTED, topology.DEAD_LETTER_RECORDS)
        queued = sum(api.queue_length(virtual_host, queue) for queue in queues)
        return int(journal) + queued + unfinished(database_url())


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
        behind = ServicesBehind()
        os.environ.update(stack.enter_context(behind.running(directory)))
        service = LocalService(directory, own_bind(), stack.enter_context(own))
        service.enter()
        service.set_up()
        register(service)
        demonstration = Demonstration(service, Losses(behind.history))
        accounts = demonstration.run()
        counts = read_counts(database_url(), behind.inbox)
    assert demonstration.reconciled is not None
    return report(accounts, counts, behind, demonstration.reconciled)


def register(service: LocalService) -> None:
    """Have the demonstration's platform know where to post."""
    path = service.var / "registration.toml"
    path.write_text(f'url = "{service.webhook_url}"\n\n[integration]\nname = "Demonstration"\n')
    os.environ["OM_REGISTRATION"] = str(path)
    run_quietly([sys.executable, "-m", "omctl", "register"])


def database_url() -> str:
    """Return the address of the demonstration's own database."""
    return os.environ["OM_DATABASE_URL"]


def own_bind() -> str:
    """Return the usual address, or a free one where that is in use."""
    return f"{LOOPBACK}:{free_port()}" if answers(8080) else DEFAULT_BIND


def report(
    accounts: Accounts, counts: ConversationCounts, behind: ServicesBehind, reconciled: Reconciled
) -> bool:
    """Print the accounts, the lines for scripts last, and return whether they agree."""
    console = Console()
    console.print(table_of(accounts))
    console.print(reasons_of(accounts.records.dead_letters))
    console.print(counts.table(behind.inbox))
    disagreements = [*accounts.disagreements(), *counts.disagreements(), *reconciled.disagreements()]
    for words in disagreements:
        click.echo(f"The accounts disagree: {words}", err=True)
    click.echo(counts.line)
    click.echo(f"reconcile: {reconciled}")
    click.echo(f"demo: {accounts.verdict}")
    return not disagreements
