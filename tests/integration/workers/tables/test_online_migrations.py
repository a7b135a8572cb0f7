"""Migrations of large tables beside the traffic: nobody waits long, whatever the tables hold."""

import threading
import time
from contextlib import contextmanager

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from migrations import schema

REVISIONS = [step.revision for step in ScriptDirectory(str(schema.DIRECTORY)).walk_revisions()][::-1]
WAITING = "SET lock_timeout = '3s'"
"""Less than a worker bears: PostgreSQL itself refuses a statement that waits longer for a lock."""

EVENTS = """
INSERT INTO processed_events (idempotency_key, conversation_id, event_type, outcome, occurred_at, received_at,
    processed_at, message_id, source, dialect, body_sha256)
SELECT gen_random_uuid(), gen_random_uuid(), 'openmessaging:conversation:message', 'processed', now(), now(),
    now(), gen_random_uuid(), 'webhook', 'guide', sha256(n::text::bytea)
FROM generate_series(1, :rows) AS n
"""
CONVERSATIONS = """
INSERT INTO conversations (conversation_id, status, routing_sequence, event_count, message_count,
    first_event_at, last_event_at, updated_at)
SELECT conversation_id, 'implied', 0, 1, 1, occurred_at, occurred_at, occurred_at FROM processed_events
"""
MESSAGES = """
INSERT INTO conversation_messages (event_id, conversation_id, occurred_at, sequence, received_at)
SELECT id, conversation_id, occurred_at, 0, received_at FROM processed_events
"""
FILL = (EVENTS.replace(":rows", "50000"), CONVERSATIONS, MESSAGES)
TRAFFIC = (
    EVENTS.replace(":rows", "1"),
    """
    UPDATE conversations SET event_count = event_count + 1
    WHERE conversation_id = (SELECT conversation_id FROM conversations LIMIT 1)
    """,
    "SELECT count(*) FROM (SELECT 1 FROM conversation_messages LIMIT 100) AS few",
    "SELECT message_id FROM dead_letters LIMIT 1",
)
NOTED = """
CREATE TABLE noted (tag text, identity text, statement text);
CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO noted
    SELECT command_tag, object_identity, current_query() FROM pg_event_trigger_ddl_commands();
END $$;
CREATE EVENT TRIGGER notes ON ddl_command_end EXECUTE FUNCTION note();
"""
TABLES = """
SELECT oid::regclass::text, relfilenode FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
LOCKING = """
SELECT n.statement FROM noted n LEFT JOIN pg_index i ON i.indexrelid = to_regclass(n.identity)
WHERE n.tag = 'CREATE INDEX' AND i.indrelid::regclass::text = ANY(%(tables)s)
    AND n.statement !~ 'CONCURRENTLY'
UNION ALL
SELECT statement FROM noted
WHERE tag = 'ALTER TABLE' AND statement ~* 'SET NOT NULL|ADD CONSTRAINT|ADD CHECK|ADD FOREIGN'
    AND statement !~* 'NOT VALID' AND split_part(identity, '.', 2) = ANY(%(tables)s)
"""


@pytest.fixture
def noting(postgres_url):
    """A connection to an empty database that notes every change of its structure."""
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(NOTED)
        yield connection


@contextmanager
def traffic(url):
    """Write and read beside what is done within; yields the waits in seconds, and raises what went wrong."""
    waits, faults, ended = [], [], threading.Event()

    def work():
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(WAITING)
            while not ended.is_set():
                began = time.monotonic()
                try:
                    for statement in TRAFFIC:
                        connection.execute(statement)
                except psycopg.Error as fault:
                    faults.append(fault)
                    return
                waits.append(time.monotonic() - began)
                ended.wait(0.002)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield waits
    finally:
        ended.set()
        worker.join()
    assert faults == []


def locking_steps(url, connection, revisions):
    """Return the statements of each revision that rewrite a table which was there, or close it for long."""
    found = {}
    for revision in revisions:
        before = dict(connection.execute(TABLES).fetchall())
        connection.execute("TRUNCATE noted")
        schema.upgrade(url, revision)
        after = dict(connection.execute(TABLES).fetchall())
        rewritten = [
            name for name in before.keys() & after.keys() if before[name] != after[name] and name != "noted"
        ]
        locking = connection.execute(LOCKING, {"tables": list(before)}).fetchall()
        found[revision] = rewritten + [statement for (statement,) in locking]
    return {revision: what for revision, what in found.items() if what}


def test_no_revision_rewrites_or_closes_a_table_that_is_there(postgres_url, noting):
    assert locking_steps(postgres_url, noting, REVISIONS) == {}


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE INDEX slow ON processed_events (reason)", "CREATE INDEX slow"),
        ("ALTER TABLE processed_events ADD CONSTRAINT c CHECK (deliveries > 0)", "ADD CONSTRAINT"),
        ("ALTER TABLE processed_events ADD COLUMN more float DEFAULT random()", "processed_events"),
    ],
)
def test_a_revision_that_does_is_named(postgres_url, noting, monkeypatch, statement, named):
    schema.upgrade(postgres_url)

    def upgrade(url, _revision):
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement)

    monkeypatch.setattr(schema, "upgrade", upgrade)
    [found] = locking_steps(postgres_url, noting, ["9999"]).values()
    assert any(named in what for what in found)


def test_every_revision_goes_through_beside_the_traffic(postgres_url):
    schema.upgrade(postgres_url, REVISIONS[0])
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        for statement in FILL:
            connection.execute(text(statement))
    longest = {}
    with traffic(postgres_url) as waits:
        for revision in REVISIONS[1:]:
            waits.clear()
            schema.upgrade(postgres_url, revision)
            longest[revision] = max(waits, default=0.0)
    with engine.connect() as connection:
        invalid = connection.execute(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid")).scalar_one()
    engine.dispose()
    print("longest waits in seconds:", {revision: round(wait, 2) for revision, wait in longest.items()})
    assert invalid == 0
