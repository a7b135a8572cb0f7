"""The platform's part: events through the gateway's TLS, retried as the platform retries them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import requests

from messaging import topology
from simulator.demonstration import Accounts, read_accounts
from tests.machines.machine import Machine, MachineError
from workers.queue_depths import QueueDepths

URL = "https://127.0.0.1/webhooks/genesys/openmessaging"
CREDENTIALS = "/etc/open-messaging/credentials"
REST_SECONDS = 180.0


class Traffic:
    """`omctl simulate` beside the machine, until it is told to stop.

    Args:
        machine: Whose gateway is sent to; its certificate and secret are read from it.
        directory: Where the ledger is kept.
        rate: Events per second.
    """

    def __init__(self, machine: Machine, directory: Path, *, rate: float) -> None:
        self._machine = machine
        self.ledger = directory / "answered.jsonl"
        certificate = directory / "certificate.pem"
        certificate.write_text(machine.run("cat /etc/open-messaging/tls/certificate.pem"))
        self._environment = {
            **os.environ,
            "SSL_CERT_FILE": str(certificate),
            "OM_WEBHOOK_SECRETS": machine.run(f"cat {CREDENTIALS}/OM_WEBHOOK_SECRETS").strip(),
        }
        self._command = [
            *(sys.executable, "-m", "omctl", "simulate", URL, "--rate", str(rate), "--events", "1000000"),
            *("--conversations", "500", "--malformed", "1", "--dialect", "both", "--concurrency", "64"),
            *("--ledger", str(self.ledger), "--json"),
        ]
        self._sender: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._sender = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._sender is not None
        self._sender.send_signal(signal.SIGINT)
        self._sender.communicate(timeout=120)

    def accounts(self) -> Accounts:
        """Settle the ledger with tables and dead-letter queue, once everything has come to rest."""
        address = {
            name: self._machine.run(f"cat {CREDENTIALS}/owner/{name}").strip()
            for name in ("OM_DATABASE_URL", "OM_AMQP_URL")
        }
        return read_accounts(self.ledger, address["OM_DATABASE_URL"], address["OM_AMQP_URL"])


class Broker:
    """What waits in the machine's broker."""

    def __init__(self, management_url: str) -> None:
        self._depths = QueueDepths((management_url,), "amqp:///")

    def waiting(self) -> int:
        """Count the deliveries that wait for a worker."""
        queues = (topology.EVENTS_QUEUE, topology.UNROUTED, topology.DEAD_LETTER_RECORDS)
        depths = self._depths.read()
        # A queue of which nothing is known is not empty.
        return sum(depths.get(queue, 1) for queue in queues)


def wait_at_rest(broker: Broker) -> None:
    """Block until neither a journal nor a queue holds anything but dead letters.

    Raises:
        MachineError: It has not come to that in time.
    """
    deadline = time.monotonic() + REST_SECONDS
    while time.monotonic() < deadline:
        health = requests.get("http://127.0.0.1:8080/health/ready", timeout=10.0).json()
        if not health["journal_bytes"] and not broker.waiting():
            return
        time.sleep(1.0)
    raise MachineError(f"journal or queue is not empty {REST_SECONDS:.0f} s after the last event")
