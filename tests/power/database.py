"""Cut PostgreSQL's power while a worker is using it, and compare its tables with the published events."""

from __future__ import annotations

import json
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pika
import psutil
from sqlalchemy import NullPool, create_engine, text

from messaging import topology
from tests.power.disk import Disk
from tests.servers import PrivatePostgreSQL
from tests.services import IntakeWorker, Service, declare_topology
from workers.db.migrations import schema

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_BYTES = 256 * 1024 * 1024
END_SECONDS = 60.0
COUNT = """SELECT (SELECT count(*) FROM processed_events), coalesce(sum(event_count), 0) FROM conversations"""


@dataclass(frozen=True, slots=True)
class DatabaseCut:
    """The result of one power cut of PostgreSQL, as numbers of events.

    Args:
        published: The number of events that the broker has confirmed.
        kept: The number of events that were in the tables after PostgreSQL's recovery.
        lost: The number of published events that were not in the tables at the end, after the broker had
            redelivered events.
        torn: The difference between the numbers of keys and effects after recovery or, if larger, at the end.
    """

    published: int
    kept: int
    lost: int
    torn: int


class Publisher:
    """A thread that publishes events until it is stopped. `count` is the number of confirmed events."""

    def __init__(self, amqp_url: str) -> None:
        self.count = 0
        self._url = amqp_url
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            while not self._is_stopped:
                body = {
                    "eventType": "openmessaging:conversation:message",
                    "conversationId": f"c-{self.count % 50}",
                    "timestamp": "2026-01-01T00:00:00.000Z",
                    "message": {"id": f"m-{self.count}", "text": "hello", "direction": "inbound"},
                }
                channel.basic_publish(
                    topology.EXCHANGE, topology.EVENT_ROUTING_KEY, json.dumps(body).encode()
                )
                self.count += 1

    def stop(self) -> int:
        """Stop publishing, and return the number of confirmed events."""
        self._is_stopped = True
        self._thread.join()
        return self.count


def cut_database(directory: Path, amqp_url: str, seconds: float, *, durable: bool = True) -> DatabaseCut:
    """Run PostgreSQL on a disk, and a worker under load, for *seconds*. Then cut the disk's power.

    Args:
        directory: The directory for all files, which must not exist yet.
        amqp_url: The URL of a virtual host on a broker whose power is not cut.
        durable: Whether PostgreSQL flushes its commits.
    """
    directory.mkdir()
    disk, after = Disk(directory / "disk", directory / "before"), directory / "disk-after"
    disk.format(IMAGE_BYTES)
    declare_topology(amqp_url)
    service = Service(directory, amqp_url)
    with disk.mounted() as mounted:
        server = PrivatePostgreSQL(mounted / "postgresql", durable=durable)
        server.start()
        try:
            schema.upgrade(server.url())
            worker, publisher = IntakeWorker(service, server.url(), "before"), Publisher(amqp_url)
            worker.start()
            time.sleep(seconds)
            running = [one for pid in (worker.pid, server.pid) for one in _family(pid)]
            _signal(running, signal.SIGSTOP)
            disk.copy_as_cut(after)
            _signal(running, signal.SIGKILL)
            worker.end(signal.SIGKILL, timeout=15)
            published = publisher.stop()
        finally:
            server.kill_immediate()
    with (
        Disk(after, directory / "after").mounted() as mounted,
        PrivatePostgreSQL(mounted / "postgresql") as server,
    ):
        kept, effects = _count(server.url())
        worker = IntakeWorker(service, server.url(), "after")
        worker.start()
        at_end = _settle(server.url(), published)
        worker.end(signal.SIGTERM, timeout=15)
    return DatabaseCut(
        published, kept, published - at_end[0], max(abs(kept - effects), abs(at_end[0] - at_end[1]))
    )


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        process.send_signal(number)


def _count(url: str) -> tuple[int, int]:
    """Return the number of keys and the number of effects in the tables."""
    with create_engine(url, poolclass=NullPool).connect() as connection:
        row: Any = connection.execute(text(COUNT)).one()
    return int(row[0]), int(row[1])


def _settle(url: str, published: int) -> tuple[int, int]:
    """Wait until the tables have all events or stop growing; return the numbers of keys and effects."""
    deadline, before = time.monotonic() + END_SECONDS, (0, 0)
    while (now := _count(url))[0] < published and time.monotonic() < deadline:
        if now != before:
            before, deadline = now, time.monotonic() + END_SECONDS / 6
        time.sleep(0.2)
    return now
