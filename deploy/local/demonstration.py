"""Run the service, send it simulated events and settle the accounts."""

import os
import shutil
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
from deploy.local.management import ManagementApi, virtual_host_of
from deploy.local.ports import LOOPBACK, answers, free_port
from deploy.local.process import ServerStartError
from deploy.local.running import wait_until_ready
from deploy.local.service import DEFAULT_BIND, LocalService
from deploy.local.services_behind import (
    ConversationCounts,
    ServicesBehind,
    is_registered,
    read_counts,
    unfinished,
)
from deploy.local.supervision import Supervisor
from messaging import topology
from omctl.commands import simulate

EVENTS = 1000
# Duplicates (half of them with another content), disorder and collisions are the simulation's defaults.
SIMULATION = ["--events", str(EVENTS), "--malformed", "3", "--dialect", "both", "--retry-seconds", "1"]
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

    def __init__(self, service: LocalService) -> None:
        self._service = service
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
                # What is still in the journal may be published again: the accounts are final only without it.
                self._is_drained = self._wait_until(lambda: self._on_its_way() == 0)
        finally:
            self._supervisor.end()

    def _send(self) -> None:
        click.echo(f"Sending {EVENTS} events to {self._service.webhook_url}")
        arguments = [self._service.webhook_url, "--ledger", str(self._ledger), *SIMULATION]
        try:
            simulate.main(arguments, standalone_mode=False)
        except SystemExit:
            click.echo("The simulation reports unanswered events.", err=True)

    def _wait_until(self, is_so: Callable[[], bool]) -> bool:
        """Block until something is so; False where it has not become so in time."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            if is_so():
                return True
            time.sleep(0.5)
        return False

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
        accounts = Demonstration(service).run()
        counts = read_counts(database_url(), behind.inbox)
    return report(accounts, counts, behind)


def database_url() -> str:
    """Return the address of the demonstration's own database."""
    return os.environ["OM_DATABASE_URL"]


def own_bind() -> str:
    """Return the usual address, or a free one where that is in use."""
    return f"{LOOPBACK}:{free_port()}" if answers(8080) else DEFAULT_BIND


def report(accounts: Accounts, counts: ConversationCounts, behind: ServicesBehind) -> bool:
    """Print the accounts, the lines for scripts last, and return whether they agree."""
    console = Console()
    console.print(table_of(accounts))
    console.print(reasons_of(accounts.records.dead_letters))
    console.print(counts.table(behind.inbox))
    disagreements = [*accounts.disagreements(), *counts.disagreements()]
    for words in disagreements:
        click.echo(f"The accounts disagree: {words}", err=True)
    click.echo(counts.line)
    click.echo(f"demo: {accounts.verdict}")
    return not disagreements
