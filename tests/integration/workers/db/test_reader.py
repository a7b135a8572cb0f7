"""`omctl migrate --read-only-role` grants what reports need, but no right to read message content."""

import secrets

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

from omctl.connect.prepare import migrate
from tests.integration.workers.consuming import processor
from tests.integration.workers.events import deliver, payload_of, said
from workers.db.engine import make_engine
from workers.db.migrations.reading import NoRolesError, grant_reading
from workers.db.models import metadata
from workers.handlers import OWN_HANDLERS

PRIVATE = {"event_payloads", "conversation_messages", "event_conflicts", "discarded_dead_letters"}
VERSIONED = "events conversations dead_letters event_conflicts latency messages receipts throughput"
REPORTED = {"events", "message_receipts", *[f"{name}_v1" for name in VERSIONED.split()]}
# TRUNCATE and DELETE are granted on whole tables; the other rights can be granted on single columns.
HAS_RIGHT = text(
    "SELECT CASE :right WHEN 'TRUNCATE' THEN has_table_privilege(:table, 'TRUNCATE')"
    " WHEN 'DELETE' THEN has_table_privilege(:table, 'DELETE')"
    " ELSE has_any_column_privilege(:table, :right) END"
)


@pytest.fixture
def reader(migrated_postgres_url):
    """A connection with the read-only role to a database with rows in every table."""
    engine = make_engine(migrated_postgres_url)
    native, receipt = payload_of("genesys/text"), payload_of("genesys/receipt-failed")
    payloads = said("Hello"), native, receipt, native | {"text": "another"}, b"{"
    processor(engine, dict(OWN_HANDLERS))(*map(deliver, payloads))
    engine.dispose()
    # A role belongs to the whole server, which other tests use too.
    role = f"reader-{secrets.token_hex(4)}"
    command = ["--read-only-role", role]
    for _ in range(2):
        done = CliRunner().invoke(migrate, command, env={"OM_DATABASE_URL": migrated_postgres_url})
        assert done.exit_code == 0, done.output
    owner = create_engine(migrated_postgres_url)
    try:
        with owner.connect() as connection:
            connection.execute(text(f'SET ROLE "{role}"'))
            connection.commit()
            yield connection
            connection.execute(text("RESET ROLE"))
            connection.commit()
    finally:
        with owner.begin() as connection:
            connection.execute(text(f'DROP OWNED BY "{role}"'))
            connection.execute(text(f'DROP ROLE "{role}"'))
        owner.dispose()


def test_a_reader_can_query_every_view_that_reports_need(reader):
    views = reader.scalars(text("SELECT viewname FROM pg_views WHERE schemaname = 'public'")).all()
    found = {name: reader.execute(text(f"SELECT * FROM {name}")).all() for name in {*views, *REPORTED}}  # noqa: S608  # fixed names
    assert all(found[name] for name in REPORTED), found


@pytest.fixture
def grafana(reader, migrated_postgres_url):
    """A connection with the read-only role to a database on which CONNECT must be granted explicitly."""
    name, url = f"grafana-{secrets.token_hex(4)}", make_url(migrated_postgres_url)
    owner, tool = create_engine(url), create_engine(url.set(username=name))
    with owner.begin() as connection:
        connection.execute(text(f'REVOKE ALL ON DATABASE "{url.database}" FROM PUBLIC'))
        connection.execute(text(f'CREATE ROLE "{name}" LOGIN'))
        connection.execute(text(f'GRANT "{reader.scalar(text("SELECT current_role"))}" TO "{name}"'))
    try:
        with tool.connect() as connection:
            yield connection
    finally:
        tool.dispose()
        with owner.begin() as connection:
            connection.execute(text(f'DROP ROLE "{name}"'))
        owner.dispose()


def test_a_tool_with_the_role_can_log_in_and_read_what_the_role_permits(grafana):
    assert grafana.execute(text("SELECT * FROM events_v1")).all()
    with pytest.raises(ProgrammingError, match="permission denied"):
        grafana.execute(text("SELECT * FROM event_payloads"))


def test_a_reader_sees_no_message_content_and_inserts_only_edge_statistics(reader):
    rights = {
        right: {
            table for table in metadata.tables if reader.scalar(HAS_RIGHT, {"table": table, "right": right})
        }
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE")
    }
    assert rights.pop("SELECT").isdisjoint(PRIVATE)
    assert rights == {"INSERT": {"edge_statistics"}, "UPDATE": set(), "DELETE": set(), "TRUNCATE": set()}


def test_no_view_contains_message_text(reader):
    columns = reader.scalars(
        text(
            "SELECT a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0"
        )
    )
    assert {"body", "text", "content"}.isdisjoint(columns)


def test_granting_a_role_on_sqlite_is_refused(migrated_sqlite_url):
    with pytest.raises(NoRolesError, match="file"):
        grant_reading(migrated_sqlite_url, "reader")


def test_an_owner_who_cannot_create_roles_gets_the_statement_for_a_superuser(migrated_postgres_url):
    owner, role = f"owner-{secrets.token_hex(4)}", f"reader-{secrets.token_hex(4)}"
    superuser = create_engine(migrated_postgres_url)
    with superuser.begin() as connection:
        connection.execute(text(f'CREATE ROLE "{owner}" LOGIN'))
    try:
        url = superuser.url.set(username=owner).render_as_string(hide_password=False)
        with pytest.raises(NoRolesError, match=f'CREATE ROLE "{role}" NOLOGIN'):
            grant_reading(url, role)
    finally:
        with superuser.begin() as connection:
            connection.execute(text(f'DROP ROLE "{owner}"'))
        superuser.dispose()
