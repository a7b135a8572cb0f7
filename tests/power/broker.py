"""Cut RabbitMQ's power while an edge is publishing to it, and compare the queue with the answered events."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pika

from messaging import topology
from tests.power.cut import ANSWER_SECONDS, Senders
from tests.power.disk import Disk
from tests.servers import PrivateRabbitMQ
from tests.services import Edge, Service, declare_topology, running

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_BYTES = 256 * 1024 * 1024
AFTERWARDS_SECONDS = 2.0
"""How long the senders continue after the broker restarts, while the edge is publishing its journal."""
SILENT_SECONDS = 15.0
"""If no event arrives for this number of seconds, no more events are expected. The edge publishes unproven
events again after the grace period, which is shorter."""


@dataclass(frozen=True, slots=True)
class BrokerCut:
    """The result of one power cut of the broker, as numbers of events.

    Args:
        answered: The number of events answered with 200.
        taken: The number of events answered before the cut that the broker did not have after its restart.
        lost: The number of answered events that were not in the queue at the end.
    """

    answered: int
    taken: int
    lost: int


def cut_broker(directory: Path, seconds: float) -> BrokerCut:
    """Run RabbitMQ on a disk, and an edge under load, for *seconds*. Then cut the disk's power."""
    directory.mkdir()
    disk, after = Disk(directory / "disk", directory / "broker"), directory / "disk-after"
    disk.format(IMAGE_BYTES)
    with ExitStack() as stack:
        with disk.mounted() as mounted:
            server = PrivateRabbitMQ(mounted / "rabbitmq")
            edge = Edge(Service(directory, server.amqp_url))
            stack.enter_context(running(edge))
            try:
                server.start()
                declare_topology(server.amqp_url)
                # Flush the declarations now. RabbitMQ itself does so only after a few seconds, which have
                # long passed in a real installation.
                server.evaluate("mnesia:sync_log()")
                edge.start()
                senders = Senders(edge.url)
                time.sleep(seconds)
                server.freeze()
                # The frozen broker reads nothing, so events that are published now stay in its sockets.
                time.sleep(ANSWER_SECONDS)
                os.killpg(edge.pid, signal.SIGSTOP)
                answered = len(senders.answered)
                disk.copy_as_cut(after)
            finally:
                server.kill()
                server.stop()
        stack.enter_context(Disk(after, directory / "broker").mounted())
        stack.enter_context(server)
        taken = answered - _depth(server.amqp_url)
        os.killpg(edge.pid, signal.SIGCONT)
        time.sleep(AFTERWARDS_SECONDS)
        os.killpg(edge.pid, signal.SIGKILL)
        edge.end(signal.SIGKILL, timeout=15)
        senders.join()
        # A new edge process adopts the journal of the stopped process.
        edge.start()
        lost = senders.answered.keys() - _drain(server.amqp_url, set(senders.answered))
    return BrokerCut(len(senders.answered), taken, len(lost))


def _depth(amqp_url: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        declared = connection.channel().queue_declare(topology.EVENTS_QUEUE, passive=True)
        return int(declared.method.message_count)


def _drain(amqp_url: str, wanted: set[bytes]) -> set[bytes]:
    """Consume events until all wanted events have arrived or no more arrive, and return their bodies."""
    found: set[bytes] = set()
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for _, _, body in channel.consume(
            topology.EVENTS_QUEUE, auto_ack=True, inactivity_timeout=SILENT_SECONDS
        ):
            if body is None:
                break
            found.add(body)
            if wanted <= found:
                break
        channel.cancel()
    return found
