"""omctl migrate runs on SQLite and PostgreSQL."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from messaging.errors import OpenMessagingError
from omctl.connect.prepare import migrate
from workers.db.engine import make_engine
from workers.db.migrations import schema

NEWER = "9999"


def run(url, *arguments, **options):
    return CliRunner().invoke(
        migrate, ["--json", *arguments], env={"OM_DATABASE_URL": url}, catch_exceptions=False, **options
    )


def test_tables_are_created_only_once_and_never_in_a_dry_run(database_url):
    report = json.loads(run(database_url, "--dry-run").output)
    assert (report["steps"][-1]["revision"], report["done"]) == (schema.head_revision(), False)
    assert schema.current_revision(database_url) is None
    assert json.loads(run(database_url).output)["steps"]
    assert schema.current_revision(database_url) == schema.head_revision()
    assert json.loads(run(database_url).output)["steps"] == []


def test_a_downgrade_asks_for_confirmation(migrated_url):
    assert run(migrated_url, "--down", "base", input="n\n").exit_code == 1
    assert schema.current_revision(migrated_url) == schema.head_revision()
    run(migrated_url, "--down", "base", "--yes")
    assert schema.current_revision(migrated_url) is None


def stamp(url, revision):
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    engine.dispose()


def test_tables_of_a_later_version_are_not_changed(migrated_url):
    stamp(migrated_url, NEWER)
    for arguments in ([], ["--dry-run"]):
        done = CliRunner().invoke(migrate, arguments, env={"OM_DATABASE_URL": migrated_url})
        assert done.exit_code == 0
        assert "newer than this version; nothing was changed" in done.output
    with pytest.raises(OpenMessagingError, match=f"at {NEWER}, newer than this version"):
        run(migrated_url, "--down", "base", "--yes")
    assert schema.current_revision(migrated_url) == NEWER


def test_the_error_for_an_unknown_revision_names_the_revision(migrated_url):
    with pytest.raises(OpenMessagingError, match="nowhere"):
        run(migrated_url, "--down", "nowhere", "--yes")
    assert schema.current_revision(migrated_url) == schema.head_revision()
    stamp(migrated_url, "ae1027a6acf0")
    with pytest.raises(OpenMessagingError, match="ae1027a6acf0"):
        run(migrated_url)
