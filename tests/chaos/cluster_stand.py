"""The service on a cluster of three brokers with replicated quorum queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.stand import SOURCES, Stand
from tests.servers import PrivateRabbitMQ

if TYPE_CHECKING:
    from pathlib import Path

NODES = 3


class ClusterStand(Stand):
    """A stand whose edge and workers know three addresses.

    Args:
        directory: As of Stand.
        sources: As of Stand.
    """

    def __init__(self, directory: Path, *, sources: Path = SOURCES) -> None:
        first = PrivateRabbitMQ(directory / "rabbitmq", name="node-1")
        self.brokers = [first] + [
            PrivateRabbitMQ(directory / f"rabbitmq-{number}", name=f"node-{number}", peer=first)
            for number in range(2, NODES + 1)
        ]
        super().__init__(directory, sources=sources, broker=first)

    def start_servers(self) -> None:
        """Start the nodes, make one cluster of them, then the database server."""
        super().start_servers()
        for broker in self.brokers[1:]:
            broker.start()
            broker.join_cluster(self.broker)

    def stop(self) -> None:
        """Stop everything, the first node last: the port mapper is its."""
        for broker in reversed(self.brokers[1:]):
            broker.kill()
            broker.stop()
        super().stop()

    def is_complete(self) -> bool:
        """Tell whether every node holds a living copy of the events queue."""
        return self.queues.copies("events") == NODES

    def environment(self) -> dict[str, str]:
        """Return the settings, with all three addresses."""
        return {**super().environment(), "OM_AMQP_URL": ",".join(broker.amqp_url for broker in self.brokers)}
