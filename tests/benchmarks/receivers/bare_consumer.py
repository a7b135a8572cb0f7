"""Consume with pika, and insert each batch with one statement: the minimum for an idempotent consumer.

Run it as `python -m tests.benchmarks.receivers.bare_consumer DATABASE_URL`, with OM_AMQP_URL set. It reads
three fields of each body, and stores them with the key and the whole body. It checks and refuses nothing.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Final

import pika
import psycopg

from messaging.topology import EVENTS_QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pika.adapters.blocking_connection import BlockingChannel
    from pika.spec import Basic

BATCH: Final = 100
PREFETCH: Final = 5 * BATCH
IDLE_SECONDS: Final = 0.02
TABLE: Final = "bare_events"
COLUMNS: Final = "idempotency_key, conversation_id, event_type, occurred_at, body"
POSTGRESQL_TYPES: Final = ("bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "bytea")
SQLITE_TYPES: Final = ("INTEGER PRIMARY KEY", "blob")


def insert_into(url: str) -> Callable[[list[bytes]], None]:
    """Create the table, and return a function that inserts a batch of bodies in one committed statement."""
    if url.startswith("sqlite"):
        return _sqlite(url.removeprefix("sqlite:///"))
    return _postgresql(url.replace("+psycopg", ""))


def consume(insert: Callable[[list[bytes]], None]) -> None:
    """Insert deliveries, a hundred at a time, until the process is killed."""
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["OM_AMQP_URL"]))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    batch: list[tuple[int, bytes]] = []

    def commit() -> None:
        insert([body for _, body in batch])
        channel.basic_ack(batch[-1][0], multiple=True)
        batch.clear()

    def on_message(_channel: BlockingChannel, method: Basic.Deliver, _: object, body: bytes) -> None:
        batch.append((method.delivery_tag, body))
        if len(batch) == BATCH:
            commit()

    channel.basic_consume(EVENTS_QUEUE, on_message)
    while True:
        before = len(batch)
        connection.process_data_events(IDLE_SECONDS)
        if batch and len(batch) == before:
            commit()


def _table(id_type: str, body_type: str) -> str:
    return (
        f"CREATE TABLE {TABLE} (id {id_type}, idempotency_key text UNIQUE NOT NULL, conversation_id text,"
        f" event_type text, occurred_at text, body {body_type})"
    )


def _rows(bodies: list[bytes]) -> list[str | bytes]:
    values: list[str | bytes] = []
    for body in bodies:
        event = json.loads(body)
        conversation, moment = event["conversationId"], event["timestamp"]
        values += [f"{conversation}:{moment}", conversation, event["eventType"], moment, body]
    return values


def _statement(rows: int, mark: str) -> str:
    row = f"({', '.join([mark] * len(COLUMNS.split(',')))})"
    return f"INSERT INTO {TABLE} ({COLUMNS}) VALUES {', '.join([row] * rows)} ON CONFLICT DO NOTHING"  # noqa: S608


def _postgresql(url: str) -> Callable[[list[bytes]], None]:
    connection = psycopg.connect(url, autocommit=True)
    connection.execute(_table(*POSTGRESQL_TYPES).encode())

    def insert(bodies: list[bytes]) -> None:
        connection.execute(_statement(len(bodies), "%s").encode(), _rows(bodies))

    return insert


def _sqlite(path: str) -> Callable[[list[bytes]], None]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_table(*SQLITE_TYPES))

    def insert(bodies: list[bytes]) -> None:
        connection.execute(_statement(len(bodies), "?"), _rows(bodies))

    return insert


if __name__ == "__main__":
    consume(insert_into(sys.argv[1]))
