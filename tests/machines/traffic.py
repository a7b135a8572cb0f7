"""Simulate the platform: send signed events, and retry them as the platform does."""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import requests

from omctl.install import render_event
from omctl.signatures import SIGNATURE_HEADER
from simulator.ledger import read_ledger
from tests.machines.image import MachineError
from tests.machines.machine import Machine
from webhook_api.signature import sign

PATH: Final = "/webhooks/genesys/openmessaging"
CERTIFICATE: Final = "/etc/open-messaging/tls/certificate.pem"
SECRETS: Final = "/etc/open-messaging/credentials/OM_WEBHOOK_SECRETS"
ACCESS_LOG: Final = "/var/log/nginx/open-messaging.log"
FLUSH_SECONDS: Final = 2.0
"""Seconds within which the sender writes the lines of its ledger to the disk."""

ANSWER_SECONDS: Final = 180.0
LAST_RETRIES_SECONDS: Final = 26.0
"""How long the platform's five retries, five seconds apart, take if each is refused immediately."""


class Traffic:
    """Runs `omctl simulate` on the machines' host during a `with` block.

    Args:
        machine: The machine whose certificate and secret are used; all machines of a cluster share them.
        url: The base URL of the webhook, such as https://10.0.0.1.
        rate: The number of events per second.
    """

    def __init__(self, machine: Machine, url: str, *, rate: float) -> None:
        self._url = url + PATH
        self._directory = tempfile.TemporaryDirectory()
        self.ledger = Path(self._directory.name) / "answered.jsonl"
        certificate = Path(self._directory.name) / "certificate.pem"
        certificate.write_text(machine.run(f"cat {CERTIFICATE}"))
        secret = machine.run(f"cat {SECRETS}").strip()
        self._environment = {
            **os.environ,
            "SSL_CERT_FILE": str(certificate),
            "OM_WEBHOOK_SECRETS": secret,
        }
        self._command = [
            *(sys.executable, "-m", "omctl", "simulate", self._url, "--rate", str(rate)),
            *("--events", "1000000", "--conversations", "500", "--malformed", "1", "--dialect", "both"),
            *("--concurrency", "64", "--ledger", str(self.ledger), "--json"),
        ]
        self._sender: subprocess.Popen[str] | None = None
        self._excused = [(0.0, time.time())]

    def __enter__(self) -> Self:
        # SIGINT stops the sender. But a process that a shell starts in the background ignores SIGINT, and the
        # sender would inherit that setting.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._sender = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._sender is not None
        self._sender.send_signal(signal.SIGINT)
        self._sender.communicate(timeout=120)

    def reaches(self) -> bool:
        """Return whether an edge now answers an unsigned request with 401, as it must."""
        try:
            answer = requests.post(self._url, timeout=2.0, verify=self._environment["SSL_CERT_FILE"])
        except requests.RequestException:
            return False
        return answer.status_code == 401

    def post(self) -> float:
        """Post a signed event on a new connection, and return the number of seconds until the 200 arrived.

        Raises:
            MachineError: The event was not answered with 200.
        """
        body = render_event(f"probe-{secrets.token_hex(8)}")
        headers = {
            SIGNATURE_HEADER: sign(body, self._environment["OM_WEBHOOK_SECRETS"].split(",")[0].encode())
        }
        began = time.monotonic()
        answer = requests.post(
            self._url, data=body, headers=headers, timeout=30.0, verify=self._environment["SSL_CERT_FILE"]
        )
        if answer.status_code != 200:
            raise MachineError(f"a signed event was answered {answer.status_code}")
        return time.monotonic() - began

    def wait_for(self, events: int) -> None:
        """Block until *events* more bodies have been answered with 200.

        Raises:
            MachineError: Fewer bodies were answered in time.
        """
        wanted = self._answered() + events
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._answered() < wanted:
            if time.monotonic() > deadline:
                raise MachineError(f"not {events} events were answered in {ANSWER_SECONDS:.0f} s")
            time.sleep(1.0)

    @contextmanager
    def excuse(self) -> Iterator[None]:
        """Leave a step that stops the edge or the gateway out of `slowest_answer`."""
        began = time.time()
        yield
        self._excused.append((began, time.time()))

    def slowest_answer(self, machine: Machine) -> float:
        """Return the longest time in seconds until nginx sent a 200, except during excused steps."""
        slowest = 0.0
        for line in machine.run(f"grep ' POST 200 ' {ACCESS_LOG}").splitlines():
            _, written, _, _, _, seconds, *_ = line.split()
            # nginx writes a line when the request ends, and its times are whole seconds.
            ended = datetime.fromisoformat(written).timestamp()
            if not any(begin <= ended + 1 and ended - float(seconds) <= end for begin, end in self._excused):
                slowest = max(slowest, float(seconds))
        return slowest

    def given_up(self) -> int:
        """Return how many bodies the sender has given up on so far, after all of its retries."""
        time.sleep(FLUSH_SECONDS)
        return sum(not row.answered for row in self._rows())

    def refusals(self) -> list[str]:
        """Return a line for each body that was given up on, with its number of attempts and last answer."""
        return [
            f"{row.kind}, sent {row.attempts} times, at last answered {row.status or 'nothing'}"
            for row in self._rows()
            if not row.answered
        ]

    def _answered(self) -> int:
        return sum(row.answered for row in self._rows())

    def _rows(self) -> list[Any]:
        return list(read_ledger(self.ledger)) if self.ledger.exists() else []


def settle(machines: list[Machine], traffic: Traffic) -> dict[str, int]:
    """Wait until all events are processed; compare the ledger with the tables, on the first of *machines*."""
    for machine in machines:
        _account(machine, "rest")
    machines[0].run("cat > /tmp/ledger", text=traffic.ledger.read_text())
    return dict(json.loads(_account(machines[0], "settle /tmp/ledger")))


def _account(machine: Machine, command: str) -> str:
    prefix = machine.run("sed -n 's,^exec \\(.*\\)/bin/omctl.*,\\1,p' /usr/local/sbin/omctl").strip()
    trusted = "REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt"
    return machine.run(f"{trusted} {prefix}/bin/python -m tests.machines.account {command}")
