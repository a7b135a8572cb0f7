"""Measure the dead-letter commands on a million messages: `python -m tests.benchmarks.dead_letters`.

The records are written with one SQL statement, and the messages directly to the dead-letter queue, because
their way through the service is measured elsewhere. The commands are the installed ones, each a process of
its own. Nothing consumes the events queue, so the run can count what a replay has published.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import click
import pika
from sqlalchemy import create_engine

from messaging import topology
from messaging.admin import set_up
from messaging.envelope import WEBHOOK
from tests.benchmarks import events
from tests.servers import PrivatePostgreSQL, PrivateRabbitMQ, ensure_postgresql, ensure_rabbitmq
from workers.db.migrations import schema

OMCTL: Final = Path(sys.executable).with_name("omctl")
MOST_LIST_SECONDS: Final = 2.0
MOST_SHOW_SECONDS: Final = 1.0
MOST_REPLAY_MEGABYTES: Final = 150.0
TIMES: Final = 5
RECORDS: Final = """
    INSERT INTO dead_letters (message_id, code, reason, body_sha256, source, received_at, recorded_at,
        attempts, event_type, conversation_id)
    SELECT 'dead-' || n, 'handler_failed', 'constructed', sha256(n::text::bytea), 'webhook', t, t, 1,
        'openmessaging:conversation:message', 'conversation-' || n / 10
    FROM generate_series(0, %(count)s - 1) AS n,
        LATERAL (SELECT now() - n * interval '10 ms' AS t) AS times"""


class Omctl:
    """Runs omctl with the private servers."""

    def __init__(self, broker: PrivateRabbitMQ, database_url: str) -> None:
        self._environment = {
            **os.environ,
            "OM_AMQP_URL": broker.amqp_url,
            "OM_MANAGEMENT_URL": broker.management_url,
            "OM_DATABASE_URL": database_url,
        }

    def run(self, *arguments: str) -> tuple[float, float]:
        """Run one command to its end; return its seconds and its largest resident memory in MB."""
        command = [str(OMCTL), *arguments]
        began = time.monotonic()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            assert process.returncode == 0, output.read()[-2000:].decode()
        return time.monotonic() - began, usage.ru_maxrss / 1e3

    def slowest_of(self, *arguments: str) -> float:
        """Run one command several times, and return the most seconds that it took."""
        return max(self.run(*arguments)[0] for _ in range(TIMES))


@click.command()
@click.option("--count", type=int, default=1_500_000, show_default=True, help="How many dead letters.")
@click.option("--replay", type=click.IntRange(1), help="Replay only this many; by default, all.")
def main(count: int, replay: int | None) -> None:
    """Time list and show, measure a replay's memory, and check that it published every event."""
    ensure_rabbitmq()
    ensure_postgresql()
    # /tmp can be in memory, but these servers belong on a disk.
    with tempfile.TemporaryDirectory(prefix="dead-letters-", dir="/var/tmp") as directory:
        broker = PrivateRabbitMQ(Path(directory) / "rabbitmq", as_installed=True)
        broker.launch()
        try:
            with PrivatePostgreSQL(Path(directory) / "postgresql") as server:
                broker.wait_ready()
                url = server.create_database("dead_letters")
                fill(broker, url, count)
                is_good = measure(broker, Omctl(broker, url), count, replay or count)
        finally:
            broker.stop()
    sys.exit(not is_good)


def fill(broker: PrivateRabbitMQ, url: str, count: int) -> None:
    """Write the records and the messages of *count* dead letters."""
    click.echo(f"writing {count:,} dead letters", err=True)
    schema.upgrade(url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(RECORDS, {"count": count})
        connection.exec_driver_sql("VACUUM ANALYZE dead_letters")
    engine.dispose()
    received_at_us = time.time_ns() // 1000
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        set_up(connection)
        channel = connection.channel()
        for number, body in enumerate(events.bodies(count, "dead letters")):
            message_id = f"dead-{number}"
            headers = {"received-at-us": received_at_us, "request-id": message_id, "source": WEBHOOK}
            properties = pika.BasicProperties(message_id=message_id, delivery_mode=2, headers=headers)
            channel.basic_publish("", topology.DEAD_LETTERS, body, properties)
    while counts(broker) != [count, 0]:
        time.sleep(1)


def measure(broker: PrivateRabbitMQ, omctl: Omctl, count: int, replayed: int) -> bool:
    """Run the commands, print their figures, and return whether all keep their limits."""
    listed = omctl.slowest_of("dead-letters", "list", "--limit", "50")
    shown = omctl.slowest_of("dead-letters", "show", f"dead-{count // 2}")
    click.echo(f"list {listed:.2f} s, show {shown:.2f} s; replaying {replayed:,}", err=True)
    seconds, megabytes = omctl.run(
        "dead-letters", "replay", "--limit", str(replayed), "--reason", "measured", "--yes"
    )
    left, published = counts(broker)
    click.echo(
        f"dead-letters: count={count} list_s={listed:.2f} show_s={shown:.2f} replay_mb={megabytes:.0f} "
        f"replay_s={seconds:.0f} published={published} left={left}"
    )
    is_fast = listed <= MOST_LIST_SECONDS and shown <= MOST_SHOW_SECONDS
    return (
        is_fast and megabytes <= MOST_REPLAY_MEGABYTES and (left, published) == (count - replayed, replayed)
    )


def counts(broker: PrivateRabbitMQ) -> list[int]:
    """Return the numbers of messages in the dead-letter queue and in the events queue."""
    with pika.BlockingConnection(pika.URLParameters(broker.amqp_url)) as connection:
        channel = connection.channel()
        names = (topology.DEAD_LETTERS, topology.EVENTS_QUEUE)
        return [channel.queue_declare(name, passive=True).method.message_count for name in names]


if __name__ == "__main__":
    main()
