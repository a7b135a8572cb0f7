"""Run the whole service with its servers, a simulated platform, destinations, a gateway and a Prometheus."""

import random
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
from flask import abort, request
from sqlalchemy import NullPool, create_engine, text

from simulator.demonstration import SUBSCRIPTIONS_KNOWN, query, serve_services
from simulator.ledger import Ledger
from simulator.sender import RetryPolicy, WebhookEndpoint, WebhookSender
from simulator.traffic import Post, compact, guide_envelope, platform_timestamp
from simulator.traffic.conversations import guide_conversation, native_conversation
from tests.alerts.scaled import FACTOR, SHIPPED, Prometheus
from tests.chaos.behind import Contacts
from tests.gateway import Gateway
from tests.servers import LOOPBACK, PrivatePostgreSQL, PrivateRabbitMQ, ServerProcess, answers, free_port
from tests.services import SECRET, WEBHOOK_PATH, post, running
from tests.stand.product import Product
from tests.waiting import wait_until
from workers.db.migrations import schema

RATE = 8.0
CONVERSATIONS, LENGTH = 12, 40
SMALL = {
    "OM_EDGE_PROCESSES": "1",
    "OM_JOURNAL_MAX_BYTES": "4000000",
    "OM_QUEUE_DEPTH_HIGH": "800",
    "OM_QUEUE_DEPTH_LOW": "400",
    "OM_ROUTING_GIVE_UP_SECONDS": str(600 // FACTOR),
}
"""Limits so low that a fault reaches them within seconds."""
DISK, PRIORITY = "256m", "-10"
SCALED_WORKER = (str(SHIPPED.parents[1] / "tests" / "alerts" / "short_intervals.py"),)


class Refusing(dict):
    """The platform's history, which refuses to show one conversation."""

    forbidden = ""

    def __getitem__(self, conversation_id):
        if conversation_id == self.forbidden and "/conversations/messages/" in request.path:
            abort(403)
        return super().__getitem__(conversation_id)


class Now:
    """A clock for conversations that always returns the present time."""

    def advance(self):
        return platform_timestamp(datetime.now(UTC))

    advance_or_collide = advance


class Traffic:
    """A steady stream of events in two dialects, sent and retried as the platform would."""

    def __init__(self, history):
        self.history = history
        self.is_stopped = False
        self.loses_webhooks = False

    def posts(self):
        """Yield events until `is_stopped`; with `loses_webhooks`, many of them appear only in the history."""
        chance, conversations = random.Random(), []
        while not self.is_stopped:
            if len(conversations) < CONVERSATIONS:
                make = chance.choice((guide_conversation, native_conversation))
                conversations.append([make(chance, Now()), 0])
            conversation = chance.choice(conversations)
            payload = next(conversation[0])
            conversation[1] += 1
            self.history.record(payload)
            if conversation[1] >= LENGTH:
                conversations.remove(conversation)
                self.history.end(payload["conversationId"], payload.get("timestamp") or Now().advance())
            if self.loses_webhooks and conversation[1] > 3 and "message" in payload and chance.random() < 0.8:
                continue
            yield Post(None, "event", compact(payload))

    def send(self, url):
        """Send events until `is_stopped` is set."""
        policy = RetryPolicy((5.0 / FACTOR,) * 5)
        endpoint = WebhookEndpoint(url, secret=SECRET.encode(), timeout=10.0, connections=64, headers={})
        WebhookSender(endpoint, self.posts(), Ledger(None), policy, RATE).run(64, lambda _: None)


class Service:
    """All processes of the service and of its servers. Faults act on this object's attributes."""

    def __init__(self, directory, stack: ExitStack):
        self.directory, self._stack = directory, stack
        self.broker = stack.enter_context(PrivateRabbitMQ(directory / "rabbitmq"))
        self.postgresql = stack.enter_context(PrivatePostgreSQL(directory / "postgresql"))
        self.database_url = self.postgresql.create_database("alerts")
        schema.upgrade(self.database_url)
        self.state = directory / "state"
        self.state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", self.state], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", self.state], check=True)
        self.platform_list = directory / "networks"
        self.platform_list.touch()
        (directory / "platform").mkdir()
        served = serve_services(directory / "platform", free_port())
        self.organisation, self.inbox, settings = stack.enter_context(served)
        self.contacts = self.organisation.conversations = Contacts()
        self.history = self.organisation.history
        self.history.conversations = self.shown = Refusing()
        self.statuses = {}
        self.product = Product(
            directory / "product",
            {
                "OM_AMQP_URL": self.broker.amqp_url,
                "OM_MANAGEMENT_URL": self.broker.management_url,
                "OM_DATABASE_URL": self.database_url,
                "OM_STATE_DIRECTORY": str(self.state),
                "OM_WEBHOOK_SECRETS": SECRET,
                **SMALL,
                **settings,
            },
        )
        stack.callback(self.product.close)
        self.url = f"http://{LOOPBACK}:{self.product.port}{WEBHOOK_PATH}"
        self.traffic = Traffic(self.history)

    def start(self):
        """Start all processes in order, and return once each of them is known to work."""
        self.product.omctl("setup")
        self.edge = self._run(self.product.edge(configuration="tests.alerts.edge_configuration"))
        self.intake, self.settle, self.deliver, self.spare = (
            self._run(self.product.worker(name, role=role))
            for name, role in (("i", "intake"), ("s", "settle"), ("d", "deliver"), ("spare", "settle"))
        )
        self.reconcile = self._run(self.product.worker("r", runs=SCALED_WORKER, role="reconcile"))
        self.gateway = self._gateway("gateway", days=30)
        self._stack.enter_context(running(self.gateway)).start()
        self.later_gateway = self._gateway("expiring", days=2)
        trusted = self.directory / "trusted.pem"
        both = [gateway.certificate.read_text() for gateway in (self.gateway, self.later_gateway)]
        trusted.write_text("".join(both))
        wait_until(lambda: self.product.is_connected(1))
        wait_until(lambda: query(self.database_url, SUBSCRIPTIONS_KNOWN)["number"])
        wait_until(lambda: "consumer_up" in self.intake.log.read_text())
        ports = free_port(), free_port()
        observe, exporter = (f"{LOOPBACK}:{port}" for port in ports)
        canary = {"OM_CANARY_URL": self.gateway.url + WEBHOOK_PATH, "REQUESTS_CA_BUNDLE": str(trusted)}
        self._start(
            "observe", [sys.executable, "-m", "workers", "observe"], OM_METRICS_BIND=observe, **canary
        )
        command = ["prometheus-blackbox-exporter", f"--config.file={SHIPPED / 'blackbox.yml'}"]
        self._start("blackbox", [*command, f"--web.listen-address={exporter}"], SSL_CERT_FILE=str(trusted))
        wait_until(lambda: all(map(answers, ports)))
        self.inbox.fault_for = lambda event: self.statuses.get(event.destination)
        sender = threading.Thread(target=self.traffic.send, args=(self.url,))
        sender.start()
        self._stack.callback(sender.join)
        self._stack.callback(setattr, self.traffic, "is_stopped", True)
        self.prometheus = self._stack.enter_context(running(Prometheus(self._folder("prometheus"))))
        changes = {"127.0.0.1:8080": f"{LOOPBACK}:{self.product.port}", "127.0.0.1:9464": observe}
        public = {
            "https://events.example.com/webhooks/genesys/openmessaging": self.gateway.url + WEBHOOK_PATH
        }
        self.prometheus.start(changes | public | {"127.0.0.1:9115": exporter}, RATE)
        for process in psutil.Process().children(recursive=True):
            with suppress(OSError, psutil.NoSuchProcess):
                # The scaled time limits of scrapes are short, so give these processes priority over others.
                Path(f"/proc/{process.pid}/autogroup").write_text(PRIORITY)

    def worker(self, name, role, **settings):
        """Start one more worker, and return it."""
        return self._run(self.product.worker(name, role=role, **settings))

    def say(self, conversation_id, kind="message", **fields):
        """Post one event that is also in the platform's history, and return the answer's status."""
        content = {"message": {"id": uuid.uuid4().hex, "text": "hello"}} if kind == "message" else {}
        payload = guide_envelope(kind, conversation_id, Now().advance()) | content | fields
        self.history.record(payload)
        return post(self.url, compact(payload)).status_code

    def rows(self, sql):
        """Run a statement, and return the number of rows that it found or changed."""
        with create_engine(self.database_url, poolclass=NullPool).begin() as connection:
            return connection.execute(text(sql)).rowcount

    def _run(self, program):
        program.start()
        self._stack.callback(program.stop, signal.SIGKILL)
        return program

    def _start(self, name, command, **settings):
        process = self._stack.enter_context(running(ServerProcess(name, self.directory / f"{name}.log")))
        environment = self.product.environment() | settings
        process.launch(command, environment=environment, directory=self.directory)

    def _folder(self, name):
        (self.directory / name).mkdir()
        return self.directory / name

    def _gateway(self, name, days):
        return Gateway(self._folder(name), f"{LOOPBACK}:{self.product.port}", days=days)
