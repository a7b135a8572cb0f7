"""A worker without its tables refuses to start; if they disappear later, it holds its deliveries."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from messaging.errors import ConfigurationError, RetryLaterError
from tests.integration.workers.consuming import processor
from tests.integration.workers.events import deliver, said
from tests.waiting import PATIENCE_SECONDS
from workers.db.engine import SCHEMA_REVISION, check_schema
from workers.db.migrations import schema


def test_the_required_revision_is_the_newest_migration():
    versions = Path(schema.__file__).with_name("versions").glob("[0-9]*.py")
    assert max(path.name for path in versions).startswith(f"{SCHEMA_REVISION}_")


@pytest.mark.parametrize("revision", ["0000", SCHEMA_REVISION, "0002"])
def test_an_older_revision_is_refused_and_a_newer_one_is_accepted(engine, revision):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    if revision < SCHEMA_REVISION:
        with pytest.raises(ConfigurationError, match=r"is at revision 0000 .* `omctl migrate`"):
            check_schema(engine)
    else:
        check_schema(engine)


@pytest.mark.parametrize("role", ["intake", "settle"])
def test_a_worker_whose_tables_are_missing_exits_with_status_78(start, postgres_url, tmp_path, role):
    for number, url in enumerate([postgres_url, f"sqlite:///{tmp_path}/empty.db"]):
        worker = start(role=role, OM_DATABASE_URL=url)
        assert worker.wait(PATIENCE_SECONDS) == 78
        assert re.search("has no tables .* `omctl migrate`", (tmp_path / f"worker-{number}.log").read_text())


@pytest.mark.parametrize(
    ("rename", "name"),
    [
        ("ALTER TABLE {} RENAME TO {}", "conversation_messages"),
        ("ALTER TABLE processed_events RENAME COLUMN {} TO {}", "request_id"),
    ],
)
def test_deliveries_are_held_while_a_table_or_a_column_is_missing(engine, handlers, query, rename, name):
    intake = processor(engine, handlers)
    batch = [deliver(said(f"m{number}")) for number in range(4)]
    with engine.begin() as connection:
        connection.execute(text(rename.format(name, "lost")))
    for _ in range(5):
        with pytest.raises(RetryLaterError, match="omctl migrate"):
            intake(*batch)
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]

    with engine.begin() as connection:
        connection.execute(text(rename.format("lost", name)))

    assert intake(*batch) == set()
    assert query("SELECT count(*) FROM conversation_messages") == [(4,)]
