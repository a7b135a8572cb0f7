"""Combine a database, a receiver and the deliver role."""

import base64
import json
import time
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy import text

from messaging.clock import SystemClock
from tests.integration.workers.events import deliver, event
from tests.waiting import working
from workers.db.ingest import WindowBounds
from workers.deliver import EVENT_TYPES, DeadLetterPublisher, Deliverer, Destination
from workers.deliver.leasing import lease, read_leased
from workers.settle import Settler

SECRET = "whsec_" + base64.b64encode(b"constructed-secret-of-32-bytes-0").decode()
AT_ONCE = WindowBounds(0, 0)
SECONDS = 60.0
READ = """
    SELECT coalesce(sum(pg_stat_get_xact_tuples_returned(indexrelid)), 0)::int
    FROM pg_index WHERE indrelid = 'deliveries'::regclass"""
"""A query for the number of index entries of `deliveries` that the current transaction has read."""


class Stand:
    """A test rig: a database, a receiver, and the deliver role between them."""

    def __init__(self, engine, intake, inbox, receiver_url):
        self.engine = engine
        self.intake = intake
        self.inbox = inbox
        self.crm = Destination("crm", f"{receiver_url}/crm", (SECRET,), EVENT_TYPES, timeout=5.0)
        self.content = replace(self.crm, name="content", url=f"{receiver_url}/content")
        self._settler = Settler(engine, SystemClock(), window=AT_ONCE, verifies=False)

    def settle(self):
        """Settle every open window."""
        self.execute("UPDATE conversations SET window_closes_at = window_opened_at")
        while self._settler.settle_windows():
            pass

    def execute(self, sql):
        with self.engine.begin() as connection:
            connection.execute(text(sql))

    def query(self, sql, **parameters):
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql), parameters)]

    def waiting(self, name="crm"):
        sql = "SELECT count(*) FROM deliveries WHERE outcome IS NULL AND destination = :name"
        return self.query(sql, name=name)[0][0]

    def wait_for(self, condition):
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.query(
                "SELECT destination, outcome, status, reason, count(*), min(outbox_id), min(due_at)"
                " FROM deliveries GROUP BY destination, outcome, status, reason"
            )
            time.sleep(0.02)

    def publisher(self, amqp_url):
        return DeadLetterPublisher(self.engine, SystemClock(), (amqp_url,))

    def register(self, *destinations):
        """Subscribe destinations to events that are settled from now on."""
        with self.delivering(*destinations):
            pass

    def deliver_all(self, *deliveries, to=()):
        """Process *deliveries*, if any, and deliver until no event waits for *to* (by default `crm`)."""
        destinations = to or [self.crm]
        with self.delivering(*destinations):
            if deliveries:
                self.intake(*deliveries)
                self.settle()
            self.wait_for(lambda: not any(self.waiting(destination.name) for destination in destinations))

    @contextmanager
    def delivering(self, *destinations):
        """Deliver to destinations until the `with` block ends."""
        deliverer = Deliverer(self.engine, SystemClock(), destinations)
        deliverer.deliver()

        def work(stopped):
            while not stopped.is_set():
                deliverer.deliver()

        try:
            with working(work):
                yield
        finally:
            deliverer.finish(5.0)


def lease_runs(connection, now_us, *, lease_us, conversations=16, events=160):
    ids = lease(connection, "crm", now_us, lease_us=lease_us, conversations=conversations, events=events)
    runs = {}
    for delivery in read_leased(connection, "crm", ids):
        runs.setdefault(delivery.message.conversation_id, []).append(delivery)
    return list(runs.values())


def lease_texts(connection, now_us, lease_us):
    """Lease deliveries to the destination `crm` and return the texts of their messages."""
    runs = lease_runs(connection, now_us, lease_us=now_us + lease_us)
    return [json.loads(delivery.message.payload)["message"]["text"] for run in runs for delivery in run]


def new_conversations(stand, count=1, prefix="c"):
    stand.intake(*[deliver(event("new", conversation=f"{prefix}-{number}")) for number in range(count)])


def words_of(sent_events):
    return [
        sent.body["data"]["message"]["text"] for sent in sent_events if sent.event_type.endswith("message")
    ]
